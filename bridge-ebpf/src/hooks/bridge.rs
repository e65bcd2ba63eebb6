//! The TC hook at the egress of a network's bridge: what the host itself sends into the network. It
//! holds no policy: that is `bridge_ebpf::host_leg`.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, programs::TcContext};
use bridge_ebpf::{Seen, Segment, asked, came_in, host_leg, passed, passes_bridge, takes_flows};

use super::Maps;
use crate::{
    maps::{flows, hairpins, passing},
    packet::{Packet, nat, skb},
};

/// Sends a frame for an endpoint out of its host leg, or leaves it to the bridge.
#[inline(always)]
pub(crate) fn bridge_egress(ctx: &TcContext) -> i32 {
    let (bridge, tagged) = (skb::ifindex(ctx), skb::tagged(ctx));
    let from = nat::ifindex_in(ctx);
    if from == bridge && !tagged {
        note_hairpin(ctx);
    }
    match host_leg(&Packet(ctx), tagged, bridge, &Maps { unlimited: true }) {
        Some((slot, endpoint)) => {
            if from != 0 && from != bridge && takes_flows(endpoint, passing::is_set()) {
                note_flow(ctx, from, slot);
            }
            if passes_bridge(endpoint) {
                skb::redirect(endpoint.ifindex)
            } else {
                TC_ACT_UNSPEC
            }
        }
        // Never TC_ACT_OK: it would end the chain and hide other people's filters.
        None => TC_ACT_UNSPEC,
    }
}

/// Notes that a neighbour asks an endpoint by an address of the host, so that it is answered by it:
/// whoever that is, also behind a trusted one.
#[inline(always)]
fn note_hairpin(ctx: &TcContext) {
    if let Some(asked) = asked(&Packet(ctx)) {
        hairpins::ensure(&asked.flow);
        hairpins::ensure(&asked.pair);
    }
}

/// Notes that the firewall let a packet from outside pass, if it is one of a published port.
#[inline(always)]
fn note_flow(ctx: &TcContext, from: u32, slot: u16) {
    let Some(segment) = Segment::read(&Packet(ctx), false) else {
        return;
    };
    let Some(flow) = flows::find(&segment.flow_in()) else {
        return;
    };
    let seen = Seen {
        ifindex: from,
        hash: nat::hash_there(ctx),
        now: flows::now(),
    };
    if came_in(flow.get(), &seen) {
        flow.pass_in(slot, passed(&segment, &seen));
    }
}
