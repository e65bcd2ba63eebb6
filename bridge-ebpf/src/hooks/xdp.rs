//! The XDP hook of a host leg. It holds no policy: that is `bridge_ebpf::decide`.
//!
//! It takes what the fast path can end: frames that are redirected, answered or dropped. All
//! others go on to the TC hook of the same port, which decides again, and counts them; the limit
//! of broadcast and multicast is its alone.

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    programs::XdpContext,
};
use bridge_ebpf::{Verdict, count, decide};

use super::Maps;
use crate::{
    maps,
    packet::{self, Packet, xdp},
};

/// Forwards, answers or drops a frame that a sandbox sent, or passes it on.
#[inline(always)]
pub(crate) fn port_ingress(ctx: &XdpContext) -> u32 {
    let ifindex = xdp::ifindex(ctx);
    // A container leg of this datapath has tags among the bytes: its offload is off.
    let decision = decide(&Packet(ctx), ifindex, false, &Maps { unlimited: true });
    #[cfg(feature = "log")]
    super::log::tell(ctx, "xdp", &decision, ifindex);
    if let Verdict::Next | Verdict::Host { .. } | Verdict::Route { .. } = decision.verdict {
        return XDP_PASS;
    }
    let weight = xdp::weight(ctx);
    maps::stats::update(decision.slot, |stats| {
        count(stats, decision.verdict, weight);
    });
    match decision.verdict {
        Verdict::Redirect { ifindex } => xdp::redirect(ifindex),
        Verdict::Answer(answer) => xdp::answer(ctx, answer, ifindex),
        _ => {
            let record = decision.record(ifindex);
            maps::events::tell(record, weight.bytes, |event| packet::head(ctx, event));
            XDP_DROP
        }
    }
}
