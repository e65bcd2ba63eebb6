//! What the program counted of a port's frames, by what it did with them.

use std::array::from_fn;
use std::iter::Sum;
use std::ops::{Add, Sub};

use bridge_common::{DROP_REASONS, PortStats};

/// Packets by road, and those that were refused by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) fast: u64,
    pub(super) slow: u64,
    pub(super) answered: u64,
    pub(super) drops: [u64; DROP_REASONS],
}

impl Counted {
    /// How many were refused.
    pub(super) fn refused(&self) -> u64 {
        self.drops.iter().sum()
    }

    fn zip(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            fast: with(self.fast, other.fast),
            slow: with(self.slow, other.slow),
            answered: with(self.answered, other.answered),
            drops: from_fn(|reason| with(self.drops[reason], other.drops[reason])),
        }
    }
}

impl From<&PortStats> for Counted {
    fn from(stats: &PortStats) -> Self {
        Self {
            fast: stats.fast_packets,
            slow: stats.slow_packets,
            answered: stats.answered_packets,
            drops: stats.drops,
        }
    }
}

impl Add for Counted {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(other, |one, another| one + another)
    }
}

impl Sub for Counted {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.zip(other, |one, another| one - another)
    }
}

impl Sum for Counted {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}
