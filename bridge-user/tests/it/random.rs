//! Random numbers that a seed gives again.

use std::env;

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Begins at a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("64 bits are enough");
        usize::try_from(self.bits() % end).expect("it is below a usize")
    }

    /// A byte.
    pub(crate) fn byte(&mut self) -> u8 {
        self.bits().to_le_bytes()[0]
    }

    /// One of several, of which there is one at least.
    pub(crate) fn of<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len())]
    }
}

/// The seed of this run: `BRIDGE_USER_TEST_SEED`, or a new one. Printed by those who use it.
pub(crate) fn seed() -> u64 {
    number("BRIDGE_USER_TEST_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("the kernel has random numbers");
        u64::from_le_bytes(bytes)
    })
}

/// A number in the environment, if it is set.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is no number: {value}")))
}
