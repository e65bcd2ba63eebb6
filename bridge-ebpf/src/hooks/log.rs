//! Lines for whoever debugs the programs: compiled in with the feature `log` only, for each costs
//! more than the decision that it tells of.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;
use bridge_ebpf::{Decision, Verdict};

/// Tells what `hook` does with a frame that came in on the host leg `ifindex`.
#[inline(always)]
pub(super) fn tell(ctx: &impl EbpfContext, hook: &str, decision: &Decision, ifindex: u32) {
    let check = decision.check.name();
    match decision.verdict {
        Verdict::Redirect { ifindex: to } => {
            debug!(
                ctx,
                "{}: ifindex {}: fast to ifindex {} at {}", hook, ifindex, to, check
            );
        }
        Verdict::Answer(_) => debug!(ctx, "{}: ifindex {}: answered at {}", hook, ifindex, check),
        Verdict::Host { .. } | Verdict::Route { .. } | Verdict::Next => {
            debug!(ctx, "{}: ifindex {}: slow at {}", hook, ifindex, check);
        }
        Verdict::Drop(reason) => {
            debug!(
                ctx,
                "{}: ifindex {}: dropped, {}, at {}",
                hook,
                ifindex,
                reason.name(),
                check
            );
        }
    }
}
