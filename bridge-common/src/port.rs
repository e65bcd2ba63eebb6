//! A port: the host leg of an endpoint's veth pair.

use bytemuck::{Pod, Zeroable};

/// Inter-container communication is off: this port never takes the fast path to another port.
pub const PORT_ICC_OFF: u32 = 1 << 0;
/// The network's datapath is `off`: everything goes by the Linux bridge.
pub const PORT_REDIRECT_OFF: u32 = 1 << 1;

/// Value of the map `PORTS`; the key is the ifindex of the host leg (`u32`, host byte order).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct PortEntry {
    /// Number of the network that the port belongs to.
    pub network: u16,
    /// Index of the port's counters in `STATS`; from 1 up ([`crate::NO_SLOT`] is nobody's).
    pub slot: u16,
    /// `PORT_*` bits.
    pub flags: u32,
}

crate::map_type!(PortEntry, 8);
