//! The TC hook at the ingress of a host leg. It holds no policy: that is `bridge_ebpf::decide`.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    programs::TcContext,
};
use bridge_common::EXPLAIN_MARK;
use bridge_ebpf::{
    Decision, Outward, Segment, Translation, Verdict, count, decide, outward, takes_flows,
};

use super::Maps;
use crate::{
    maps::{self, flows, passing},
    packet::{self, Packet, nat, skb},
};

/// Forwards, answers, passes on or drops a frame that a sandbox sent.
#[inline(always)]
pub(crate) fn port_ingress(ctx: &TcContext) -> i32 {
    skb::pull_headers(ctx);
    let ifindex = skb::ifindex(ctx);
    let dry = skb::mark(ctx) == EXPLAIN_MARK;
    let decision = decide(
        &Packet(ctx),
        ifindex,
        skb::tagged(ctx),
        &Maps { unlimited: dry },
    );
    #[cfg(feature = "log")]
    super::log::tell(ctx, "tc", &decision, ifindex);
    if dry {
        maps::events::leave(decision.record(ifindex));
        return code(&decision);
    }
    let weight = skb::weight(ctx);
    if let Verdict::Host { .. } = decision.verdict
        && let Some((ifindex, segment, to)) = past_firewall(ctx, decision.slot)
    {
        maps::stats::update(decision.slot, |stats| {
            count(stats, Verdict::Redirect { ifindex }, weight);
        });
        return if nat::translate(ctx, &segment, &to) {
            nat::mark_translated(ctx);
            skb::redirect(ifindex)
        } else {
            skb::drop_damaged()
        };
    }
    maps::stats::update(decision.slot, |stats| {
        count(stats, decision.verdict, weight);
    });
    act(ctx, &decision, ifindex)
}

/// The link that an answer of a published port leaves by, where its flow has passed the firewall, and
/// how it is to be translated.
#[inline(always)]
fn past_firewall(ctx: &TcContext, slot: u16) -> Option<(u32, Segment, Translation)> {
    if !takes_flows(maps::endpoints::find(slot)?, passing::is_set()) {
        return None;
    }
    let segment = Segment::read(&Packet(ctx), false)?;
    let flow = flows::find(&segment.flow_out())?;
    let frame = (slot, nat::length(ctx, &segment));
    match outward(&segment, flow.get(), frame, flows::now()) {
        Outward::Uplink(ifindex, to) if nat::fits(ctx, ifindex) => Some((ifindex, segment, to)),
        _ => {
            flow.try_out(nat::hash(ctx), segment.ends());
            None
        }
    }
}

#[inline(always)]
fn act(ctx: &TcContext, decision: &Decision, ifindex: u32) -> i32 {
    match decision.verdict {
        Verdict::Redirect { ifindex } => skb::redirect_peer(ctx, ifindex),
        Verdict::Answer(answer) => skb::answer(ctx, answer, ifindex),
        Verdict::Host { ifindex } => skb::to_host(ifindex),
        Verdict::Route { ifindex } => match maps::endpoints::find(decision.slot) {
            Some(endpoint) => skb::to_router(ctx, ifindex, endpoint.gateway_mac),
            None => skb::drop_damaged(),
        },
        Verdict::Next | Verdict::Drop(_) => {
            let record = decision.record(ifindex);
            maps::events::tell(record, ctx.len(), |event| packet::head(ctx, event));
            code(decision)
        }
    }
}

/// What the program returns where it does nothing to the frame itself.
#[inline(always)]
fn code(decision: &Decision) -> i32 {
    match decision.verdict {
        Verdict::Drop(_) => TC_ACT_SHOT,
        // Never TC_ACT_OK: it would end the chain and hide other people's filters.
        _ => TC_ACT_UNSPEC,
    }
}
