//! Everything that reads or writes a frame or its context by raw pointer, and the helpers on it.
//!
//! A pointer into the frame is used up inside one function, so none outlives a helper that
//! can move the data.

#![allow(unsafe_code, reason = "raw pointers to the frame and its context")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "offsets and lengths are within the headers"
)]

use aya_ebpf::{
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT},
    helpers::generated::{
        bpf_redirect, bpf_redirect_peer, bpf_skb_change_tail, bpf_skb_load_bytes,
    },
    programs::TcContext,
};
use bridge_common::{EVENT_BYTES, Event};
use bridge_ebpf::{
    ARP_OPERATION, Answer, Frame, HEADERS_MAX, Weight, arp_reply, neighbour_advertisement,
};

/// `PACKET_HOST` of `include/uapi/linux/if_packet.h`: the frame is for the host that gets it.
const PACKET_HOST: u32 = 0;

/// Length of Ethernet, IPv6 and the start of UDP or ICMPv6: where it is linear, all that is read of
/// plain frames is.
const LINEAR_MIN: usize = 14 + 40 + 8;

/// A socket buffer as a frame, its headers in the linear part ([`pull_headers`]).
pub(crate) struct Skb<'c>(pub(crate) &'c TcContext);

impl Frame for Skb<'_> {
    /// By a helper: the length of a copy is a constant, its place is not, and it may be past the
    /// linear part.
    #[inline(always)]
    fn far<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        if at > HEADERS_MAX {
            return None;
        }
        let mut bytes = [0_u8; N];
        let (skb, to) = (self.0.skb.skb.cast(), bytes.as_mut_ptr().cast());
        // SAFETY: the context is valid until the program returns, `to` points to `N` bytes.
        let result = unsafe { bpf_skb_load_bytes(skb, at as u32, to, N as u32) };
        (result == 0).then_some(bytes)
    }

    #[inline(always)]
    fn u8(&self, at: usize) -> Option<u8> {
        // SAFETY: two bytes are there. One would do, but the verifier learns nothing from a check that
        // the place is just before the end (`find_good_pkt_pointers`, kernel/bpf/verifier.c, v6.18).
        self.place(at, 2).map(|place| unsafe { *place })
    }

    #[inline(always)]
    fn u16(&self, at: usize) -> Option<u16> {
        // SAFETY: as in `units`.
        self.place(at, 2).map(|place| unsafe { *place.cast() })
    }

    #[inline(always)]
    fn u32(&self, at: usize) -> Option<u32> {
        let [a, b] = self.units::<2>(at)?;
        Some(u32::from(a) | u32::from(b) << 16)
    }

    #[inline(always)]
    fn u64(&self, at: usize) -> Option<u64> {
        let [a, b, c, d] = self.units::<4>(at)?;
        Some(u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48)
    }
}

impl Skb<'_> {
    /// Units of two bytes, little endian as the target is. Larger ones would need an alignment that
    /// frames do not have, and LLVM would load byte by byte.
    #[inline(always)]
    fn units<const N: usize>(&self, at: usize) -> Option<[u16; N]> {
        let place = self.place(at, 2 * N)?;
        // SAFETY: the bytes are there, any are a value, and frames begin at even addresses: network
        // drivers and the kernel's own protocols align the IP header, which is 14 bytes on
        // (NET_IP_ALIGN, include/linux/skbuff.h, v6.18).
        Some(unsafe { *place.cast() })
    }

    /// Where `length` bytes are, if the linear part has them all. The verifier asks for this check.
    #[inline(always)]
    fn place(&self, at: usize, length: usize) -> Option<*const u8> {
        let place = self.0.data() + at;
        (place + length <= self.0.data_end()).then_some(place as *const u8)
    }
}

/// Makes plain headers be in the frame's linear part, where a sender with a raw socket may have put
/// less. Frames of the kernel's own have all their headers there.
#[inline(always)]
pub(crate) fn pull_headers(ctx: &TcContext) {
    if ctx.data_end() - ctx.data() < LINEAR_MIN {
        // Without memory the frame stays as it is, and reads as cut short.
        let _ = ctx.pull_data(ctx.len().min(LINEAR_MIN as u32));
    }
}

/// Index of the interface that the frame came in on.
#[inline(always)]
pub(crate) fn ifindex(ctx: &TcContext) -> u32 {
    // SAFETY: the kernel passes a valid context and keeps it until the program returns.
    unsafe { (*ctx.skb.skb).ifindex }
}

/// The frame's mark.
#[inline(always)]
pub(crate) fn mark(ctx: &TcContext) -> u32 {
    // SAFETY: as in `ifindex`.
    unsafe { (*ctx.skb.skb).mark }
}

/// Whether the frame has a VLAN tag that is not among its bytes.
#[inline(always)]
pub(crate) fn tagged(ctx: &TcContext) -> bool {
    // SAFETY: as in `ifindex`.
    unsafe { (*ctx.skb.skb).vlan_present != 0 }
}

/// Length of the frame, and how many segments it stands for.
#[inline(always)]
pub(crate) fn weight(ctx: &TcContext) -> Weight {
    Weight {
        bytes: ctx.len(),
        // SAFETY: as in `ifindex`.
        gso_segs: unsafe { (*ctx.skb.skb).gso_segs },
    }
}

/// Copies the frame's first bytes into an event.
#[inline(always)]
pub(crate) fn head(ctx: &TcContext, event: &mut Event) {
    // The verifier wants to see the bounds of the length; an Ethernet header is always there.
    let length = ctx.len().clamp(1, EVENT_BYTES as u32);
    let to = event.head.as_mut_ptr().cast();
    // SAFETY: the context is valid, and `to` points to `EVENT_BYTES` bytes, as many as are copied
    // at most.
    if unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), 0, to, length) } == 0 {
        event.head_length = length;
    }
}

/// Hands the frame to the other end of the veth pair whose host leg is `ifindex` (Linux 5.10),
/// and returns the program's return code.
#[inline(always)]
pub(crate) fn redirect_peer(ctx: &TcContext, ifindex: u32) -> i32 {
    // To this host leg the frame is somebody else's (PACKET_OTHERHOST); kernels before 6.15
    // (stable: 6.1.139) keep that, and the receiver's IP layer would drop it. It can only fail
    // for a type out of range.
    let _ = ctx.change_type(PACKET_HOST);
    // SAFETY: the helper takes no pointer.
    let code = unsafe { bpf_redirect_peer(ifindex, 0) };
    // It answers TC_ACT_REDIRECT, or TC_ACT_SHOT for flags other than 0: both fit.
    i32::try_from(code).unwrap_or(TC_ACT_SHOT)
}

/// Hands the frame to the host as if the bridge `ifindex` had received it.
#[inline(always)]
pub(crate) fn to_host(ifindex: u32) -> i32 {
    // SAFETY: the helper takes no pointer.
    let code = unsafe { bpf_redirect(ifindex, u64::from(BPF_F_INGRESS)) };
    i32::try_from(code).unwrap_or(TC_ACT_SHOT)
}

/// Turns the frame, a request, into its answer, and sends it back out of `ifindex`.
#[inline(always)]
pub(crate) fn answer(ctx: &TcContext, answer: Answer, ifindex: u32) -> i32 {
    let made = match answer {
        Answer::Arp { mac } => arp_reply(&Skb(ctx), mac).is_some_and(|reply| {
            ctx.store(0, &reply.ethernet, 0).is_ok()
                && ctx.store(ARP_OPERATION, &reply.message, 0).is_ok()
        }),
        Answer::Neighbour { mac, router } => {
            match neighbour_advertisement(&Skb(ctx), mac, router) {
                Some(reply) => resize(ctx, reply.len()) && ctx.store(0, &reply, 0).is_ok(),
                None => false,
            }
        }
    };
    if !made {
        return TC_ACT_SHOT;
    }
    // SAFETY: the helper takes no pointer.
    let code = unsafe { bpf_redirect(ifindex, 0) };
    i32::try_from(code).unwrap_or(TC_ACT_SHOT)
}

#[inline(always)]
fn resize(ctx: &TcContext, length: usize) -> bool {
    // SAFETY: the context is valid until the program returns.
    unsafe { bpf_skb_change_tail(ctx.skb.skb.cast(), length as u32, 0) == 0 }
}
