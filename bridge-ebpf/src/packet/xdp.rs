//! A frame before it is a socket buffer: what XDP programs get.

use core::mem::size_of;

use aya_ebpf::{
    bindings::xdp_action::XDP_ABORTED,
    helpers::generated::{
        bpf_redirect, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_load_bytes,
        bpf_xdp_store_bytes,
    },
    programs::XdpContext,
};
use bridge_ebpf::{ARP_OPERATION, Answer, NA_LENGTH, Weight, arp_reply, neighbour_advertisement};

use super::{Context, Packet};

impl Context for XdpContext {
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
        // SAFETY: the context is valid until the program returns.
        unsafe { bpf_xdp_get_buff_len(self.ctx) }
    }

    #[inline(always)]
    unsafe fn load(&self, at: u32, to: *mut u8, length: u32) -> bool {
        // SAFETY: as in `length`; the caller has the room.
        unsafe { bpf_xdp_load_bytes(self.ctx, at, to.cast(), length) == 0 }
    }
}

/// Index of the interface that the frame came in on.
#[inline(always)]
pub(crate) fn ifindex(ctx: &XdpContext) -> u32 {
    // SAFETY: the kernel passes a valid context and keeps it until the program returns.
    unsafe { (*ctx.ctx).ingress_ifindex }
}

/// Length of the frame. XDP knows no GSO.
#[inline(always)]
pub(crate) fn weight(ctx: &XdpContext) -> Weight {
    Weight {
        bytes: ctx.length() as u32,
        gso_segs: 0,
    }
}

/// Sends the frame out of the host leg `ifindex`, that is into its container leg, which takes it if
/// it has GRO on (`veth_xdp_xmit`, drivers/net/veth.c, v6.18).
#[inline(always)]
pub(crate) fn redirect(ifindex: u32) -> u32 {
    // SAFETY: the helper takes no pointer.
    let code = unsafe { bpf_redirect(ifindex, 0) };
    u32::try_from(code).unwrap_or(XDP_ABORTED)
}

/// Turns the frame, a request, into its answer, and sends it back out of `ifindex`.
///
/// Not by `XDP_TX`: that does not wake a receiver that has GRO but no XDP program of its own
/// (`veth_xdp_flush`, drivers/net/veth.c, v6.18).
#[inline(always)]
pub(crate) fn answer(ctx: &XdpContext, answer: Answer, ifindex: u32) -> u32 {
    let made = match answer {
        Answer::Arp { mac } => arp_reply(&Packet(ctx), mac).is_some_and(|reply| {
            store(ctx, 0, &reply.ethernet) && store(ctx, ARP_OPERATION, &reply.message)
        }),
        Answer::Neighbour { mac, router } => {
            let mut reply = [0; NA_LENGTH];
            neighbour_advertisement(&Packet(ctx), mac, router, &mut reply).is_some()
                && resize(ctx, reply.len())
                && store(ctx, 0, &reply)
        }
    };
    if made { redirect(ifindex) } else { XDP_ABORTED }
}

#[inline(always)]
fn store<T>(ctx: &XdpContext, at: usize, value: &T) -> bool {
    let from = core::ptr::from_ref(value).cast_mut().cast();
    // SAFETY: the context is valid until the program returns; the helper reads as many bytes as a
    // value has, and answers are plain bytes.
    unsafe { bpf_xdp_store_bytes(ctx.ctx, at as u32, from, size_of::<T>() as u32) == 0 }
}

#[inline(always)]
fn resize(ctx: &XdpContext, length: usize) -> bool {
    let by = (length as u32).wrapping_sub(ctx.length() as u32);
    // SAFETY: as in `store`.
    unsafe { bpf_xdp_adjust_tail(ctx.ctx, by.cast_signed()) == 0 }
}
