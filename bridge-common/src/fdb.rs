//! The forwarding database: which port a MAC address of a network is behind.

use bytemuck::{Pod, Zeroable};

/// Key of the map `FDB`.
#[repr(C, align(8))]
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
    /// Number of the network, as in the key. The kernel may give the memory of a deleted entry to
    /// another one between a program's lookup and its read (kernel/bpf/hashtab.c, v6.18): the
    /// program compares.
    pub network: u16,
    /// Always zero.
    pub reserved: u16,
}

crate::map_type!(FdbKey, 8);
crate::map_type!(FdbEntry, 8);
