//! The TC hook at the egress of a network's bridge: what the host itself sends into the network. It
//! holds no policy: that is `bridge_ebpf::host_leg`.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, programs::TcContext};
use bridge_ebpf::host_leg;

use super::Maps;
use crate::packet::{Packet, skb};

/// Sends a frame for an endpoint out of its host leg, or leaves it to the bridge.
#[inline(always)]
pub(crate) fn bridge_egress(ctx: &TcContext) -> i32 {
    let (bridge, tagged) = (skb::ifindex(ctx), skb::tagged(ctx));
    match host_leg(&Packet(ctx), tagged, bridge, &Maps { unlimited: true }) {
        Some(ifindex) => skb::redirect(ifindex),
        // Never TC_ACT_OK: it would end the chain and hide other people's filters.
        None => TC_ACT_UNSPEC,
    }
}
