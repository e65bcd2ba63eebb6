//! Two hosts with the same topology, one of them with the datapath off, and the same steps on both.

use std::fs;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::case::Case;
use super::compare::{Difference, Rules, compare};
use super::play::{Burst, PATIENCE, Step, play};
use super::shrink::shrink;
use super::stage::Stage;
use super::tell;

/// How long an end may take while a case is shrunk: it may be what is lost.
const IMPATIENCE: Duration = Duration::from_millis(100);

/// How often steps are played while backlogs overflow.
const TRIES: usize = 3;

/// The hosts.
pub(super) struct Pair {
    pub(super) fast: Stage,
    off: Stage,
    rules: Rules,
}

impl Pair {
    pub(super) fn build(case: &Case) -> Self {
        let queues = case.datapath == "xdp";
        let (fast, off) = both(
            || Stage::build(&case.topology, case.datapath, queues),
            || Stage::build(&case.topology, "off", queues),
        );
        Self {
            fast,
            off,
            rules: Rules::of(case.datapath),
        }
    }

    /// Plays the steps on both. CPUs' backlogs are everybody's: where one overflowed meanwhile, a
    /// difference says nothing, and the steps are played again.
    pub(super) fn play(
        &mut self,
        steps: &[Step],
        patience: Duration,
    ) -> (Vec<Burst>, Option<Difference>) {
        for _ in 0..TRIES {
            let before = overflows();
            let (fast, off) = both(
                || play(&mut self.fast, steps, patience),
                || play(&mut self.off, steps, patience),
            );
            let difference = compare(&fast, &off, &self.fast.topology, self.rules);
            if difference.is_none() || overflows() == before {
                return (fast, difference);
            }
            tell("a backlog of this machine overflowed; the steps are played again");
            both(|| self.fast.reset(), || self.off.reset());
        }
        panic!("backlogs of this machine overflowed {TRIES} times: what else runs here?");
    }

    /// The same from the first state on.
    pub(super) fn play_again(&mut self, steps: &[Step], patience: Duration) -> Option<Difference> {
        both(|| self.fast.reset(), || self.off.reset());
        self.play(steps, patience).1
    }

    /// The same case with as few steps as part these hosts, and how.
    pub(super) fn shrink(&mut self, case: &Case) -> Option<(Case, Difference)> {
        let whole = self.play_again(&case.steps, PATIENCE)?;
        let steps = shrink(&case.steps, |steps| {
            whole.is_like(self.play_again(steps, IMPATIENCE).as_ref())
        });
        let difference = self.play_again(&steps, PATIENCE)?;
        Some((case.with(&steps), difference))
    }
}

/// The same case with as few endpoints as part new hosts, and how; `None` where it parts none.
pub(super) fn with_fewer_endpoints(case: &Case) -> Option<(Case, Difference)> {
    let afresh = |case: &Case, patience| Pair::build(case).play(&case.steps, patience).1;
    let whole = afresh(case, PATIENCE)?;
    let mut least = case.clone();
    for endpoint in 0..case.topology.endpoints.len() {
        let fewer = least.without(endpoint);
        if whole.is_like(afresh(&fewer, IMPATIENCE).as_ref()) {
            least = fewer;
        }
    }
    let difference = afresh(&least, PATIENCE)?;
    Some((least, difference))
}

/// Frames that found a CPU's backlog full, of the whole machine: the second column of each CPU
/// (`softnet_seq_show`, net/core/net-procfs.c, v6.18).
fn overflows() -> u64 {
    let text = fs::read_to_string("/proc/net/softnet_stat").expect("every kernel has it");
    let dropped = |cpu: &str| {
        let column = cpu.split_whitespace().nth(1);
        column.and_then(|hex| u64::from_str_radix(hex, 16).ok())
    };
    let counts = text.lines().map(dropped);
    counts
        .map(|count| count.expect("a column of hexadecimal"))
        .sum()
}

/// Runs one piece of work for each host at the same time, each on one CPU, in whose queue frames
/// stay in order.
fn both<A: Send, B: Send>(
    fast: impl FnOnce() -> A + Send,
    off: impl FnOnce() -> B + Send,
) -> (A, B) {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("a thread may ask");
    let mut cpus = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true));
    let first = cpus.next().expect("the thread runs somewhere");
    let last = cpus.next_back().unwrap_or(first);
    thread::scope(|scope| {
        let off = scope.spawn(move || {
            stay_on(last);
            off()
        });
        let fast = scope.spawn(move || {
            stay_on(first);
            fast()
        });
        (
            fast.join().unwrap_or_else(|panic| resume_unwind(panic)),
            off.join().unwrap_or_else(|panic| resume_unwind(panic)),
        )
    })
}

fn stay_on(cpu: usize) {
    let mut set = CpuSet::new();
    let chosen = set.set(cpu);
    let stays = chosen.and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    stays.expect("it is one of the allowed CPUs");
}
