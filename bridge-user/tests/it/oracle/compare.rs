//! Two plays of a case, and where they part.
//!
//! With the datapath off every check stays and the program answers all the same, so nothing but the
//! road may differ. What does all the same is two lines, both of XDP alone: [`Rules`].

use std::fmt::{self, Write as _};

use super::play::Burst;
use super::topology::Topology;
use crate::fuzz::hex;
use crate::host::Arrival;

/// Frames of a kind that are told.
const TOLD: usize = 3;

/// What may not be: a burst of which something else came on one host than on the other.
#[derive(Debug)]
pub(super) struct Difference {
    /// Number of the last step before it was seen.
    pub(super) last: usize,
    kind: Kind,
    what: String,
}

/// What a difference is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Arrived,
    Counted,
    /// The host with the datapath off lost an end: nothing can be said.
    Unended,
}

impl Difference {
    /// Whether another one is of the same kind.
    pub(super) fn is_like(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| other.kind == self.kind)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// What a datapath may do otherwise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Frames of a burst for one MAC address may arrive in another order: legs with GRO hold some
    /// back.
    pub(super) reorders: bool,
    /// Frames that the kernel drops before TC sees them may be counted as refused.
    pub(super) sees_more: bool,
}

impl Rules {
    pub(super) fn of(datapath: &str) -> Self {
        let xdp = datapath == "xdp";
        Self {
            reorders: xdp,
            sees_more: xdp,
        }
    }
}

/// The first burst that parts the plays.
pub(super) fn compare(
    fast: &[Burst],
    off: &[Burst],
    topology: &Topology,
    rules: Rules,
) -> Option<Difference> {
    assert_eq!(fast.len(), off.len(), "both hosts have the same endpoints");
    fast.iter().zip(off).find_map(|(fast, off)| {
        let from = fast.from;
        let (kind, what) = part(fast, off, topology, rules)?;
        Some(Difference {
            last: fast.last,
            kind,
            what: format!("endpoint {from} sent, {what}"),
        })
    })
}

/// What parts two bursts.
fn part(fast: &Burst, off: &Burst, topology: &Topology, rules: Rules) -> Option<(Kind, String)> {
    if !off.ended {
        return Some((Kind::Unended, "with the datapath off it has no end".into()));
    }
    let arrived = arrived(fast, off, topology, rules).map(|what| (Kind::Arrived, what));
    arrived.or_else(|| Some((Kind::Counted, counted(fast, off, rules)?)))
}

/// Where other frames arrived.
fn arrived(fast: &Burst, off: &Burst, topology: &Topology, rules: Rules) -> Option<String> {
    let endpoints = topology.endpoints.len();
    let mut places = fast.arrived.iter().zip(&off.arrived).enumerate();
    places.find_map(|(place, (fast, off))| {
        let (fast, off) = (sorted(fast, rules), sorted(off, rules));
        if fast == off {
            return None;
        }
        let mut what = match place.checked_sub(endpoints) {
            None => format!("at endpoint {place}"),
            Some(network) => format!("at the bridge of n{network}"),
        };
        let (more, less) = (only(&fast, &off), only(&off, &fast));
        if more.is_empty() && less.is_empty() {
            what.push_str(" the same arrived in another order, or not as often");
        }
        for (word, arrivals) in [("more", more), ("less", less)] {
            for arrival in arrivals.iter().take(TOLD) {
                let tag = if arrival.tagged { ", tagged" } else { "" };
                let (frame, kind) = (hex(&arrival.frame), arrival.kind);
                let _ = write!(what, "\n  {word}: {frame} (kind {kind}{tag})");
            }
            let others = arrivals.len().saturating_sub(TOLD);
            if others > 0 {
                let _ = write!(what, "\n  {word}: {others} others");
            }
        }
        Some(what)
    })
}

/// What is among these and not among the others.
fn only<'a>(these: &[&'a Arrival], others: &[&Arrival]) -> Vec<&'a Arrival> {
    let is_missing = |arrival: &&Arrival| !others.contains(arrival);
    these.iter().copied().filter(is_missing).collect()
}

/// What the program counted otherwise: it decides the same, but for the road.
fn counted(fast: &Burst, off: &Burst, rules: Rules) -> Option<String> {
    let unseen = if rules.sees_more { off.unseen } else { 0 };
    let (fast, off) = (fast.counted, off.counted);
    let mut drops = fast.drops.iter().zip(off.drops);
    let same = fast.fast + fast.slow == off.slow
        && off.fast == 0
        && fast.answered == off.answered
        && drops.all(|(fast, off)| *fast >= off)
        && fast.refused() - off.refused() <= unseen;
    (!same).then(|| format!("counted {fast:?}, with the datapath off {off:?}"))
}

/// Arrivals in an order that is the same wherever the same frames arrived.
fn sorted(arrivals: &[Arrival], rules: Rules) -> Vec<&Arrival> {
    let mut sorted: Vec<&Arrival> = arrivals.iter().collect();
    if rules.reorders {
        sorted.sort();
    } else {
        // Roads do not wait for each other: one destination has one road, if it has no tag.
        sorted.sort_by_key(|arrival| (arrival.tagged, &arrival.frame[..6]));
    }
    sorted
}
