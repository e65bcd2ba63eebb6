//! The differential oracle: what arrives anywhere in a random topology is the same with the fast
//! path and without.
//!
//! The same commands, moves and frames are played on two hosts, one of them with the datapath off, and
//! all that each endpoint and each bridge receives is compared, burst by burst. A difference is shrunk
//! and printed as commands and frames. `BRIDGE_USER_TEST_SEED` repeats a case as the first one;
//! `BRIDGE_USER_TEST_FRAMES` says how many frames are sent in all.

mod case;
mod compare;
mod frames;
mod payload;
mod play;
mod shrink;
mod stage;
mod topology;

use std::io::Write as _;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::random::{number, seed};
use case::Case;
use compare::{Difference, Rules, compare};
use play::{Burst, PATIENCE, Step, play};
use stage::{Counted, Stage};
use topology::Topology;

/// Frames of a normal run, both datapaths together.
const FRAMES: u64 = 105_000;

/// Frames of a case.
const CASE: usize = 8_750;

/// How long an end may take while a case is shrunk: it may be what is lost.
const IMPATIENCE: Duration = Duration::from_millis(100);

/// Two hosts with the same topology.
struct Pair {
    fast: Stage,
    off: Stage,
    rules: Rules,
}

impl Pair {
    fn build(case: &Case) -> Self {
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

    /// Plays the steps on both.
    fn play(&mut self, steps: &[Step], patience: Duration) -> (Vec<Burst>, Option<Difference>) {
        let (fast, off) = both(
            || play(&mut self.fast, steps, patience),
            || play(&mut self.off, steps, patience),
        );
        let difference = compare(&fast, &off, &self.fast.topology, self.rules);
        (fast, difference)
    }

    /// The same from the first state on.
    fn play_again(&mut self, steps: &[Step], patience: Duration) -> Option<Difference> {
        both(|| self.fast.reset(), || self.off.reset());
        self.play(steps, patience).1
    }

    /// As few steps as part the hosts, and how.
    fn shrink(&mut self, steps: &[Step]) -> Option<(Vec<Step>, Difference)> {
        let arrived = self.play_again(steps, PATIENCE)?.arrived;
        let least = shrink::shrink(steps, |steps| {
            let difference = self.play_again(steps, IMPATIENCE);
            difference.is_some_and(|difference| difference.arrived == arrived)
        });
        let difference = self.play_again(&least, PATIENCE)?;
        Some((least, difference))
    }
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

/// What a case came to, told in the log also where it passes.
fn tell(line: &str) {
    writeln!(std::io::stderr(), "oracle: {line}").expect("standard error is writable");
}

/// Plays random cases with so many frames in all.
fn run(datapath: &'static str, frames: u64) {
    let seed = seed();
    let mut left = usize::try_from(frames).expect("it fits");
    let mut sum = Counted::default();
    let mut number = 0;
    while left > 0 {
        let start = Instant::now();
        let seed = seed.wrapping_add(number);
        let case = Case::random(seed, datapath, left.min(CASE));
        tell(&format!(
            "{datapath}: BRIDGE_USER_TEST_SEED={seed}: {} frames, {} networks, {} endpoints",
            left.min(CASE),
            case.topology.networks.len(),
            case.topology.endpoints.len(),
        ));
        let mut pair = Pair::build(&case);
        let built = start.elapsed();
        let (bursts, difference) = pair.play(&case.steps, PATIENCE);
        if let Some(difference) = difference {
            fail(&mut pair, &case, seed, &difference);
        }
        for Burst { counted, .. } in &bursts {
            sum.fast += counted.fast;
            sum.slow += counted.slow;
            sum.answered += counted.answered;
            sum.drops += counted.drops;
        }
        tell(&format!(
            "{datapath}: {} bursts, {sum:?}, built in {built:?}, {:?} in all",
            bursts.len(),
            start.elapsed()
        ));
        left = left.saturating_sub(CASE);
        number += 1;
    }
    for count in [sum.fast, sum.slow, sum.answered, sum.drops] {
        assert!(count * 100 > frames, "it says too little: {sum:?}");
    }
}

/// Shrinks a case, and tells of it.
fn fail(pair: &mut Pair, case: &Case, seed: u64, difference: &Difference) -> ! {
    let until = &case.steps[..=difference.last];
    let first = format!("seed {seed}, step {}: {difference}", difference.last);
    tell(&format!("{first}\n  now it is shrunk"));
    match pair.shrink(until) {
        Some((least, difference)) => panic!("{first}\nshrunk:\n{}{difference}", case.with(&least)),
        None => panic!("{first}\nplayed again, it did not differ; was something else at work?"),
    }
}

fn frames() -> u64 {
    number("BRIDGE_USER_TEST_FRAMES").unwrap_or(FRAMES)
}

#[test]
fn tc_delivers_what_the_bridge_delivers() {
    run("tc", frames() - frames() / 3);
}

#[test]
fn xdp_delivers_what_the_bridge_delivers() {
    run("xdp", frames() / 3);
}

#[test]
fn a_misled_frame_is_found_and_shrunk() {
    let case = Case::random_in(Topology::plain(), seed(), "tc", 300);
    let mut pair = Pair::build(&case);
    assert!(pair.play(&case.steps, PATIENCE).1.is_none());
    pair.fast.mislead(1, 2);
    let difference = pair.play_again(&case.steps, PATIENCE).expect("it is found");
    let until = &case.steps[..=difference.last];
    let (least, difference) = pair.shrink(until).expect("it is found again");
    let [Step::Send { from, frame }] = &least[..] else {
        panic!("one frame does it: {}", case.with(&least));
    };
    let [to, from] = [1, *from].map(|endpoint| case.topology.endpoints[endpoint].mac);
    assert_eq!(*frame, [&to[..], &from, &[0, 0]].concat(), "{difference}");
}
