//! Counters of a port, and the numbered reasons for dropping a frame.

use bytemuck::{Pod, Zeroable};

/// Slot that counts the frames of ports without an entry in `PORTS`.
pub const NO_SLOT: u16 = 0;

/// Length of [`PortStats::drops`]: one more than the largest [`DropReason`].
pub const DROP_REASONS: usize = 3;

/// Value of the per-CPU map `STATS`; the key is the slot of a port (`u32`).
///
/// Counted where the frame enters, that is on the sender's port. A GSO frame counts as the
/// segments that it stands for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct PortStats {
    /// Packets that were redirected into the receiver's namespace.
    pub fast_packets: u64,
    /// Bytes of those, Ethernet header included.
    pub fast_bytes: u64,
    /// Packets that were left to the Linux bridge.
    pub slow_packets: u64,
    /// Bytes of those, Ethernet header included.
    pub slow_bytes: u64,
    /// Packets dropped, by [`DropReason`].
    pub drops: [u64; DROP_REASONS],
}

/// Why the program dropped a frame. A number is never used again for another reason.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The port has no entry in `PORTS`: it is not (or no longer) one of ours.
    NoPort = 1,
    /// The frame is too short for an Ethernet header.
    Malformed = 2,
}

impl DropReason {
    /// Every reason, by number.
    pub const ALL: [Self; DROP_REASONS - 1] = [Self::NoPort, Self::Malformed];

    /// The reason's name in commands and documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoPort => "no_port",
            Self::Malformed => "malformed",
        }
    }
}

crate::map_type!(PortStats, 32 + 8 * DROP_REASONS);
