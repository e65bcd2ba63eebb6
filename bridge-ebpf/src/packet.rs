//! Everything that reads a frame or its context by raw pointer, and the helpers on a frame.
//!
//! A pointer into the frame is used up inside one function, so none outlives a helper that
//! can move the data.

#![allow(unsafe_code, reason = "raw pointers to the frame and its context")]

use aya_ebpf::{bindings::TC_ACT_SHOT, helpers::generated::bpf_redirect_peer, programs::TcContext};
use bridge_ebpf::Weight;
use network_types::eth::EthHdr;

/// `PACKET_HOST` of `include/uapi/linux/if_packet.h`: the frame is for the host that gets it.
const PACKET_HOST: u32 = 0;

/// Index of the interface that the frame came in on.
#[inline(always)]
pub(crate) fn ifindex(ctx: &TcContext) -> u32 {
    // SAFETY: the kernel passes a valid context and keeps it until the program returns.
    unsafe { (*ctx.skb.skb).ifindex }
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

/// Destination MAC address, or `None` if the frame is too short for an Ethernet header.
///
/// The header is always in the linear part: `eth_type_trans` has pulled it before a frame
/// comes to this hook.
#[inline(always)]
pub(crate) fn destination(ctx: &TcContext) -> Option<[u8; 6]> {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + EthHdr::LEN > end {
        return None;
    }
    let header = start as *const EthHdr;
    // SAFETY: the check above (which is also what the verifier asks for) leaves a whole
    // header before the end of the frame, and any bytes are one; its alignment is not known.
    Some(unsafe { (&raw const (*header).dst_addr).read_unaligned() })
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
