//! The TC hook at the ingress of a host leg. It holds no policy: that is `bridge_ebpf::decide`.

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    programs::TcContext,
};
use bridge_common::NO_SLOT;
use bridge_ebpf::{Facts, Verdict, count, decide, fdb_key};

use crate::{maps, packet};

/// Forwards, passes on or drops a frame that a container sent.
#[inline(always)]
pub(crate) fn port_ingress(ctx: &TcContext) -> i32 {
    let facts = gather(ctx);
    let verdict = decide(&facts);
    let slot = facts.port.map_or(NO_SLOT, |port| port.slot);
    maps::stats::update(slot, |stats| count(stats, verdict, packet::weight(ctx)));
    act(ctx, verdict)
}

/// Reads what the decision needs, and the FDB only where it needs that.
#[inline(always)]
fn gather(ctx: &TcContext) -> Facts {
    let ifindex = packet::ifindex(ctx);
    let port = maps::ports::find(ifindex);
    let destination = packet::destination(ctx);
    let target = fdb_key(port, destination).and_then(|key| maps::fdb::find(&key));
    Facts {
        ifindex,
        port,
        destination,
        target,
    }
}

#[inline(always)]
fn act(ctx: &TcContext, verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Redirect { ifindex } => packet::redirect_peer(ctx, ifindex),
        // Never TC_ACT_OK: it would end the chain and hide other people's filters.
        Verdict::Next => TC_ACT_UNSPEC,
        Verdict::Drop(_) => TC_ACT_SHOT,
    }
}
