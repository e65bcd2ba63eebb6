//! A socket buffer: what TC programs get.

use aya_ebpf::{
    Global,
    bindings::{BPF_F_INGRESS, TC_ACT_SHOT},
    helpers::generated::{
        bpf_redirect, bpf_redirect_peer, bpf_skb_change_tail, bpf_skb_load_bytes,
    },
    programs::TcContext,
};
use bridge_ebpf::{ARP_OPERATION, Answer, NA_LENGTH, Weight, arp_reply, neighbour_advertisement};

use super::{Context, Packet};

/// `PACKET_HOST` of `include/uapi/linux/if_packet.h`: the frame is for the host that gets it.
pub(super) const PACKET_HOST: u32 = 0;

/// Length of Ethernet, IPv6 and the start of UDP or ICMPv6: where it is linear, all that is read of
/// plain frames is.
const LINEAR_MIN: usize = 14 + 40 + 8;

/// Length of Ethernet, IP and TCP without options, by family. What a socket sends has no more of it in its
/// linear part, and to pull costs.
const SEGMENT4_MIN: usize = 14 + 20 + 20;
const SEGMENT6_MIN: usize = 14 + 40 + 20;
/// `ETH_P_IPV6` of `include/uapi/linux/if_ether.h`.
const ETH_P_IPV6: u16 = 0x86dd;

/// Whether `bpf_redirect_peer` makes the frame the receiver's (Linux 6.15, `skb_do_redirect` in
/// net/core/filter.c); bridge-user says so when it loads. Where it does not, the frame stays what it
/// is to this host leg, somebody else's (PACKET_OTHERHOST), and the receiver's IP layer would drop it.
///
/// Constant to the verifier, which leaves out what is not needed: a call costs 7 ns.
#[unsafe(no_mangle)]
static PEER_SCRUBS: Global<u8> = Global::new(0);

impl Context for TcContext {
    #[inline(always)]
    fn start(&self) -> usize {
        self.data()
    }

    #[inline(always)]
    fn end(&self) -> usize {
        self.data_end()
    }

    #[inline(always)]
    fn length(&self) -> u64 {
        self.len().into()
    }

    #[inline(always)]
    unsafe fn load(&self, at: u32, to: *mut u8, length: u32) -> bool {
        // SAFETY: the context is valid until the program returns; the caller has the room.
        unsafe { bpf_skb_load_bytes(self.skb.skb.cast(), at, to.cast(), length) == 0 }
    }
}

/// Makes plain headers be in the frame's linear part, where a sender with a raw socket may have put
/// less. Frames of the kernel's own have all their headers there.
#[inline(always)]
pub(crate) fn pull_headers(ctx: &TcContext) {
    pull(ctx, LINEAR_MIN);
}

/// Likewise of a TCP segment's, at a device that may leave them elsewhere.
#[inline(always)]
pub(crate) fn pull_segment(ctx: &TcContext) {
    // SAFETY: the kernel passes a valid context and keeps it until the program returns.
    let protocol = unsafe { (*ctx.skb.skb).protocol };
    if protocol == u32::from(ETH_P_IPV6.to_be()) {
        pull(ctx, SEGMENT6_MIN);
    } else {
        pull(ctx, SEGMENT4_MIN);
    }
}

#[inline(always)]
fn pull(ctx: &TcContext, length: usize) {
    let linear = ctx.data_end() - ctx.data();
    if linear < length && linear < ctx.len() as usize {
        // Without memory the frame stays as it is, and reads as cut short.
        let _ = ctx.pull_data(ctx.len().min(length as u32));
    }
}

/// Index of the interface that the frame came in on, or is to leave by.
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

/// Hands the frame to the other end of the veth pair whose host leg is `ifindex` (Linux 5.10),
/// and returns the program's return code.
#[inline(always)]
pub(crate) fn redirect_peer(ctx: &TcContext, ifindex: u32) -> i32 {
    if PEER_SCRUBS.load() == 0 {
        // It can only fail for a type out of range.
        let _ = ctx.change_type(PACKET_HOST);
    }
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

/// As [`to_host`], with the bridge's MAC address as the destination: the host would not take a frame for
/// another.
#[inline(always)]
pub(crate) fn to_router(ctx: &TcContext, ifindex: u32, gateway: [u16; 3]) -> i32 {
    if ctx.store(0, &gateway, 0).is_ok() {
        to_host(ifindex)
    } else {
        drop_damaged()
    }
}

/// Sends the frame out of the host leg `ifindex`, as the bridge would.
#[inline(always)]
pub(crate) fn redirect(ifindex: u32) -> i32 {
    // SAFETY: the helper takes no pointer.
    let code = unsafe { bpf_redirect(ifindex, 0) };
    i32::try_from(code).unwrap_or(TC_ACT_SHOT)
}

/// What becomes of a frame that is half of one and half of another.
#[inline(always)]
pub(crate) fn drop_damaged() -> i32 {
    TC_ACT_SHOT
}

/// Turns the frame, a request, into its answer, and sends it back out of `ifindex`.
#[inline(always)]
pub(crate) fn answer(ctx: &TcContext, answer: Answer, ifindex: u32) -> i32 {
    let made = match answer {
        Answer::Arp { mac } => arp_reply(&Packet(ctx), mac).is_some_and(|reply| {
            ctx.store(0, &reply.ethernet, 0).is_ok()
                && ctx.store(ARP_OPERATION, &reply.message, 0).is_ok()
        }),
        Answer::Neighbour { mac, router } => {
            let mut reply = [0; NA_LENGTH];
            neighbour_advertisement(&Packet(ctx), mac, router, &mut reply).is_some()
                && resize(ctx, reply.len())
                && ctx.store(0, &reply, 0).is_ok()
        }
    };
    if made { redirect(ifindex) } else { TC_ACT_SHOT }
}

#[inline(always)]
fn resize(ctx: &TcContext, length: usize) -> bool {
    // SAFETY: the context is valid until the program returns.
    unsafe { bpf_skb_change_tail(ctx.skb.skb.cast(), length as u32, 0) == 0 }
}
