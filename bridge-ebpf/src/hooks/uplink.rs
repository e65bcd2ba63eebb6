//! The TC hooks at uplinks: what comes from outside for published ports, and what leaves for there. They
//! hold no policy: that is `bridge_ebpf::{inward, came_out}`, which says what this is about.

use aya_ebpf::{bindings::TC_ACT_UNSPEC, programs::TcContext};
use bridge_common::FlowEntry;
use bridge_ebpf::{Frame, Inward, Seen, Segment, came_out, inward, longest};

use super::{Maps, cgroup::Published};
use crate::{
    maps::{flows, passing},
    packet::{Packet, nat, skb},
};

/// Hands a packet for a published port to its endpoint, or leaves it to the stack and the firewall.
/// Never TC_ACT_OK: it would end the chain and hide other people's filters.
#[inline(always)]
pub(crate) fn ingress(ctx: &TcContext) -> i32 {
    if !nat::is_for_host(ctx) {
        return TC_ACT_UNSPEC;
    }
    skb::pull_segment(ctx);
    let Some(segment) = Segment::read(&Packet(ctx), skb::tagged(ctx)) else {
        return TC_ACT_UNSPEC;
    };
    let Some(endpoint) = segment.asked(&Published) else {
        return TC_ACT_UNSPEC;
    };
    let key = segment.flow_to(&endpoint);
    let flow = flows::find(&key);
    let at = (skb::ifindex(ctx), flows::now());
    let entry = flow.as_ref().map(flows::Flow::get);
    let (passing, maps) = (passing::is_set(), Maps { unlimited: true });
    match inward(&segment, &key, entry, at, passing, &maps) {
        Inward::Endpoint(ifindex, to) if nat::fits(ctx, ifindex) => {
            if nat::translate(ctx, &segment, &to) {
                skb::redirect_peer(ctx, ifindex)
            } else {
                skb::drop_damaged()
            }
        }
        Inward::Tried | Inward::Endpoint(..) => {
            if let Some(flow) = flow {
                flow.try_in(nat::hash(ctx), segment.ends());
            }
            TC_ACT_UNSPEC
        }
        Inward::New(entry) => {
            let hash_in = nat::hash(ctx);
            flows::set(&key, &FlowEntry { hash_in, ..entry });
            TC_ACT_UNSPEC
        }
        Inward::Stack => TC_ACT_UNSPEC,
    }
}

/// Notes that the firewall let a packet of an endpoint out, if it is one of a published port, and how it
/// leaves.
#[inline(always)]
pub(crate) fn egress(ctx: &TcContext) -> i32 {
    let from = nat::ifindex_in(ctx);
    if from != 0 && !nat::is_translated(ctx) {
        note_flow(ctx, from);
    }
    TC_ACT_UNSPEC
}

#[inline(always)]
fn note_flow(ctx: &TcContext, from: u32) {
    let packet = Packet(ctx);
    let Some(segment) = Segment::read(&packet, skb::tagged(ctx)) else {
        return;
    };
    let Some(endpoint) = segment.answering(&Published) else {
        return;
    };
    let key = segment.flow_from(&endpoint);
    let Some(flow) = flows::find(&key) else {
        return;
    };
    let seen = Seen {
        ifindex: from,
        hash: nat::hash_there(ctx),
        now: flows::now(),
    };
    let there = flow.get();
    let (passing, maps) = (passing::is_set(), Maps { unlimited: true });
    if !came_out(&segment, there, &seen, passing, &maps) {
        return;
    }
    let (ifindex_out, Some(link)) = (skb::ifindex(ctx), packet.units()) else {
        return;
    };
    let longest_out = longest(there, nat::length(ctx, &segment), seen.now);
    if there.passed_out == 0 {
        flow.begin_way(ifindex_out, link);
        flow.pass_out(longest_out, seen.now);
    } else if there.link == link && there.ifindex_out == ifindex_out {
        flow.pass_out(longest_out, seen.now);
    } else {
        // At once: half of one way and half of another is none.
        let entry = FlowEntry {
            passed_out: seen.now,
            ifindex_out,
            link,
            longest_out,
            ..*there
        };
        flows::set(&key, &entry);
    }
}
