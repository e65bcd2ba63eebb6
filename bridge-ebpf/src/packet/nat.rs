//! Translating a segment in its socket buffer.

use aya_ebpf::{
    bindings::{BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_RECOMPUTE_CSUM},
    helpers::generated::{
        bpf_check_mtu, bpf_get_hash_recalc, bpf_l4_csum_replace, bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use bridge_ebpf::{HEADERS4, HEADERS6, Segment, Translated, Translation, translated4, translated6};

use super::Packet;

/// Length of frames that every link takes: IPv6's least MTU (RFC 8200, 5), and the Ethernet header.
const SHORT: u32 = 1280 + 14;
/// `BPF_MTU_CHK_SEGS` of `include/uapi/linux/bpf.h`: the segments that a frame stands for.
const CHECK_SEGMENTS: u64 = 1;
/// Where the checksum is behind the IP header: TCP's (RFC 9293, 3.1), UDP's (RFC 768).
const TCP_CHECKSUM: u32 = 16;
const UDP_CHECKSUM: u32 = 6;
const PROTO_UDP: u8 = 17;
/// Parts of IPv6's headers, in bytes: the link's, the one with what is in the frame's checksum.
const LINK: u32 = 12;
const HOPS6: u32 = 20;
const PORTS6: u32 = 54;
/// Where the ports are behind a plain IPv4 header.
const PORTS4: u32 = 34;
/// What a unit that stays as it is changes of a sum.
const UNCHANGED: u32 = 0xffff;

/// The kernel's hash of the frame, which stays with it; 0 where there is none.
#[inline(always)]
pub(crate) fn hash(ctx: &TcContext) -> u32 {
    // SAFETY: the context is valid until the program returns.
    unsafe { bpf_get_hash_recalc(ctx.skb.skb) }
}

/// The hash that the frame already has, or 0.
#[inline(always)]
pub(crate) fn hash_there(ctx: &TcContext) -> u32 {
    // SAFETY: the kernel passes a valid context and keeps it until the program returns.
    unsafe { (*ctx.skb.skb).hash }
}

/// Index of the link that the frame came in by, wherever it is now; 0 where the host made it.
#[inline(always)]
pub(crate) fn ifindex_in(ctx: &TcContext) -> u32 {
    // SAFETY: as in `hash_there`.
    unsafe { (*ctx.skb.skb).ingress_ifindex }
}

/// What a frame has in its control block that we translated: to the program at the egress of the link
/// that it leaves by it is nothing new.
const TRANSLATED: u32 = 0x6275_6e61;

/// Marks the frame as translated.
#[inline(always)]
pub(crate) fn mark_translated(ctx: &TcContext) {
    // SAFETY: as in `hash_there`; the field may be written.
    unsafe { (*ctx.skb.skb).cb[0] = TRANSLATED };
}

/// Whether it is marked so. Other layers use the field, too: they have other values.
#[inline(always)]
pub(crate) fn is_translated(ctx: &TcContext) -> bool {
    // SAFETY: as in `hash_there`.
    unsafe { (*ctx.skb.skb).cb[0] == TRANSLATED }
}

/// Whether the frame is for this host, by its destination MAC address.
#[inline(always)]
pub(crate) fn is_for_host(ctx: &TcContext) -> bool {
    // SAFETY: as in `hash_there`.
    unsafe { (*ctx.skb.skb).pkt_type == super::skb::PACKET_HOST }
}

/// Length of the frame, or of each segment that it stands for.
#[inline(always)]
pub(crate) fn length(ctx: &TcContext, segment: &Segment) -> u32 {
    // SAFETY: as in `hash_there`.
    match unsafe { (*ctx.skb.skb).gso_size } {
        0 => ctx.len(),
        size => size + segment.headers(&Packet(ctx)),
    }
}

/// Whether the link of an index takes the frame, or each of the segments that it stands for.
#[inline(always)]
pub(crate) fn fits(ctx: &TcContext, ifindex: u32) -> bool {
    if ctx.len() <= SHORT {
        return true;
    }
    let mut mtu = 0;
    // SAFETY: the context is valid, and `mtu` has room for the answer.
    unsafe { bpf_check_mtu(ctx.skb.skb.cast(), ifindex, &raw mut mtu, 0, CHECK_SEGMENTS) == 0 }
}

/// Translates the frame, and its checksums; `false`: it is damaged now.
#[inline(always)]
pub(crate) fn translate(ctx: &TcContext, segment: &Segment, to: &Translation) -> bool {
    let (at, flags) = if segment.protocol == PROTO_UDP {
        // A datagram without a checksum stays so.
        (UDP_CHECKSUM, BPF_F_MARK_MANGLED_0)
    } else {
        (TCP_CHECKSUM, 0)
    };
    if segment.ipv6 {
        let Some(translated) = translated6(&Packet(ctx), to) else {
            return false;
        };
        checksum(ctx, PORTS6 + at, flags, &translated) && store6(ctx, &translated)
    } else {
        let Some(translated) = translated4(&Packet(ctx), to) else {
            return false;
        };
        // The sum of an IPv4 header is always the same, so a sum of all the frame stays right.
        checksum(ctx, PORTS4 + at, flags, &translated)
            && store(ctx, &translated.headers, 0, 2 * HEADERS4 as u32, 0)
    }
}

/// Makes the checksum at `at` right for new addresses and ports. Addresses are in the pseudo-header,
/// which is all that the sum of a frame is about that a device is to complete.
#[inline(always)]
fn checksum<const N: usize>(
    ctx: &TcContext,
    at: u32,
    flags: u32,
    translated: &Translated<N>,
) -> bool {
    replace(ctx, at, translated.addresses, flags | BPF_F_PSEUDO_HDR)
        && (translated.ports == UNCHANGED || replace(ctx, at, translated.ports, flags))
}

#[inline(always)]
fn replace(ctx: &TcContext, at: u32, changed: u32, flags: u32) -> bool {
    // SAFETY: the context is valid until the program returns. Without a size in the flags it is a
    // difference that is given.
    unsafe { bpf_l4_csum_replace(ctx.skb.skb, at, 0, changed.into(), flags.into()) == 0 }
}

/// IPv6's headers count in a sum of all the frame, and so do the ports, which the checksum makes up for.
#[inline(always)]
fn store6(ctx: &TcContext, translated: &Translated<HEADERS6>) -> bool {
    let headers = &translated.headers;
    store(ctx, headers, 0, LINK, 0)
        && store(ctx, headers, HOPS6, PORTS6 - HOPS6, BPF_F_RECOMPUTE_CSUM)
        && store(ctx, headers, PORTS6, 4, 0)
}

/// Puts `length` bytes of the headers, from `at` on, into the frame.
#[inline(always)]
fn store<const N: usize>(
    ctx: &TcContext,
    headers: &[u16; N],
    at: u32,
    length: u32,
    flags: u32,
) -> bool {
    debug_assert!((at + length) as usize <= 2 * N, "it is within the headers");
    // SAFETY: the context is valid until the program returns, and the headers have the bytes.
    unsafe {
        let from = headers.as_ptr().cast::<u8>().add(at as usize);
        bpf_skb_store_bytes(ctx.skb.skb, at, from.cast(), length, flags.into()) == 0
    }
}
