//! How much the maps of the data plane hold.

use serde::Deserialize;

/// Sizes of the maps, as the table `[maps]` of the configuration has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MapSizes {
    /// Endpoints that a host may have: 1 to 65,535, for slots have 16 bits.
    pub endpoints: Endpoints,
    /// Subnets that its networks may have: 1 to 131,070, two a network number.
    pub subnets: Subnets,
    /// Bytes of trace events that wait for their reader: a power of two from 64 KiB to 64 MiB, so
    /// that it is whole pages of any kernel.
    pub events_bytes: EventsBytes,
    /// Published ports that the host's own processes reach, those of each family: 1 to 1,048,576.
    pub published: PublishedPorts,
    /// Flows from outside to published ports that pass the firewall by: 1 to 1,048,576.
    pub flows: Flows,
}

/// See [`MapSizes::endpoints`].
pub type Endpoints = Size<1, 65_535, 16_383>;

/// See [`MapSizes::subnets`].
pub type Subnets = Size<1, 131_070, 8_192>;

/// See [`MapSizes::published`].
pub type PublishedPorts = Size<1, 1_048_576, 65_536>;

/// See [`MapSizes::flows`].
pub type Flows = Size<1, 1_048_576, 16_384>;

/// A number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Size<const MIN: u32, const MAX: u32, const DEFAULT: u32>(u32);

/// See [`MapSizes::events_bytes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct EventsBytes(u32);

/// Why a number is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Too small or too large.
    #[error("it has to be from {min} to {max}")]
    Range {
        /// The smallest.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// The ring buffer is not of any length.
    #[error(
        "it has to be a power of two from {} to {}",
        EventsBytes::MIN,
        EventsBytes::MAX
    )]
    NoPowerOfTwo,
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Size<MIN, MAX, DEFAULT> {
    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Default for Size<MIN, MAX, DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> TryFrom<i64> for Size<MIN, MAX, DEFAULT> {
    type Error = SizeError;

    fn try_from(number: i64) -> Result<Self, SizeError> {
        let size = u32::try_from(number).ok();
        let size = size.filter(|size| (MIN..=MAX).contains(size));
        let (min, max) = (MIN, MAX);
        size.map(Self).ok_or(SizeError::Range { min, max })
    }
}

impl EventsBytes {
    const MIN: u32 = 64 << 10;
    const MAX: u32 = 64 << 20;

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for EventsBytes {
    fn default() -> Self {
        Self(256 << 10)
    }
}

impl TryFrom<i64> for EventsBytes {
    type Error = SizeError;

    fn try_from(number: i64) -> Result<Self, SizeError> {
        let bytes = u32::try_from(number).ok();
        let fits = |bytes: &u32| (Self::MIN..=Self::MAX).contains(bytes) && bytes.is_power_of_two();
        bytes.filter(fits).map(Self).ok_or(SizeError::NoPowerOfTwo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_within_their_bounds() {
        for (number, valid) in [
            (0, false),
            (1, true),
            (65_535, true),
            (65_536, false),
            (-1, false),
        ] {
            assert_eq!(Endpoints::try_from(number).is_ok(), valid, "{number}");
        }
        for (number, valid) in [
            (65_535, false),
            (65_536, true),
            (65_537, false),
            (1 << 26, true),
            (1 << 27, false),
        ] {
            assert_eq!(EventsBytes::try_from(number).is_ok(), valid, "{number}");
        }
        assert!(Endpoints::try_from(i64::from(Endpoints::default().get())).is_ok());
        assert!(EventsBytes::try_from(i64::from(EventsBytes::default().get())).is_ok());
    }
}
