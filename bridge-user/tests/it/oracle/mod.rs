//! The differential oracle: what arrives anywhere in a random topology is the same with the fast
//! path and without.
//!
//! The same commands, moves and frames are played on two hosts, one of them with the datapath off, and
//! all that each endpoint and each bridge receives is compared, burst by burst. A difference is shrunk
//! and printed as commands and frames. `BRIDGE_USER_TEST_SEED` repeats a case as the first one;
//! `BRIDGE_USER_TEST_FRAMES` says how many frames are sent in all.

mod case;
mod compare;
mod counted;
mod frames;
mod pair;
mod payload;
mod play;
mod shrink;
mod stage;
mod topology;

use std::io::Write as _;
use std::time::Instant;

use crate::random::{number, seed};
use case::Case;
use compare::Difference;
use counted::Counted;
use pair::{Pair, with_fewer_endpoints};
use play::{PATIENCE, Step};
use topology::Topology;

/// Frames of a normal run, both datapaths together.
const FRAMES: u64 = 105_000;

/// Frames of a case.
const CASE: usize = 8_750;

/// What a case came to, told in the log also where it passes.
fn tell(line: &str) {
    writeln!(std::io::stderr(), "oracle: {line}").expect("standard error is writable");
}

/// Plays random cases with so many frames in all.
fn run(datapath: &'static str, frames: u64) {
    let (start, seed) = (Instant::now(), seed());
    let mut left = usize::try_from(frames).expect("it fits");
    let mut sum = Counted::default();
    let mut number = 0;
    while left > 0 {
        let seed = seed.wrapping_add(number);
        let case = Case::random(seed, datapath, left.min(CASE));
        let (networks, endpoints) = case.topology.size();
        tell(&format!(
            "{datapath}, BRIDGE_USER_TEST_SEED={seed}: {networks} networks, {endpoints} endpoints"
        ));
        let mut pair = Pair::build(&case);
        let (bursts, difference) = pair.play(&case.steps, PATIENCE);
        if let Some(difference) = difference {
            fail(&mut pair, &case, seed, &difference);
        }
        sum = sum + bursts.iter().map(|burst| burst.counted).sum();
        left = left.saturating_sub(CASE);
        number += 1;
    }
    tell(&format!(
        "{datapath}: {frames} frames, {sum:?}, {:?}",
        start.elapsed()
    ));
    for count in [sum.fast, sum.slow, sum.answered, sum.refused()] {
        assert!(count * 100 > frames, "it says too little: {sum:?}");
    }
}

/// Shrinks a case, and tells of it.
fn fail(pair: &mut Pair, case: &Case, seed: u64, difference: &Difference) -> ! {
    let first = format!("seed {seed}, step {}: {difference}", difference.last);
    tell(&format!("{first}\n  now it is shrunk"));
    let case = case.with(&case.steps[..=difference.last]);
    let Some((case, difference)) = pair.shrink(&case) else {
        panic!("{first}\nplayed again, it did not differ; was something else at work?");
    };
    let (case, difference) = with_fewer_endpoints(&case).unwrap_or((case, difference));
    panic!("{first}\nshrunk:\n{case}{difference}");
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
    // A seed by which the second endpoint is sent to.
    let case = Case::random_in(Topology::plain(), 1, "tc", 300);
    let mut pair = Pair::build(&case);
    assert!(pair.play(&case.steps, PATIENCE).1.is_none());
    pair.fast.mislead(1, 2);
    let difference = pair.play_again(&case.steps, PATIENCE).expect("it is found");
    let until = case.with(&case.steps[..=difference.last]);
    let (least, difference) = pair.shrink(&until).expect("it is found again");
    let [Step::Send { from, frame }] = &least.steps[..] else {
        panic!("one frame does it: {least}");
    };
    let [to, from] = [1, *from].map(|endpoint| case.topology.endpoints[endpoint].mac);
    assert_eq!(*frame, [&to[..], &from, &[0, 0]].concat(), "{difference}");
}
