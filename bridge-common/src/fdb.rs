//! The forwarding database: which port a MAC address of a network is behind.

use bytemuck::{Pod, Zeroable};

/// Key of the map `FDB`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct FdbKey {
    /// MAC address, in the order of its bytes on the wire.
    pub mac: [u8; 6],
    /// Number of the network, host byte order.
    pub network: u16,
}

/// Value of the map `FDB`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct FdbEntry {
    /// Index of the host leg, in the host's network namespace.
    pub ifindex: u32,
}

crate::map_type!(FdbKey, 8);
crate::map_type!(FdbEntry, 4);
