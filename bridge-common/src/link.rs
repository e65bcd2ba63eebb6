//! Links: pairs of endpoints that may speak with each other where ICC is off.

use bytemuck::{Pod, Zeroable};

/// Key of the map `LINKS`, one for each direction. That it is there is all that it says; the value is
/// 1 (`u32`).
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
pub struct LinkKey {
    /// MAC address of the endpoint that sends ([`crate::wire_mac`]).
    pub from: [u16; 3],
    /// MAC address of the one that it is for.
    pub to: [u16; 3],
    /// Number of their network.
    pub network: u16,
    /// Always zero.
    pub reserved: u16,
}

crate::map_type!(LinkKey, 16);
