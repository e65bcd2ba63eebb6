//! Neighbours and subnets: what the program knows of addresses.

use bytemuck::{Pod, Zeroable};

/// An address of either family in 16 bytes: IPv4 as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2).
pub type Address = [u8; 16];

/// `address` as an IPv4-mapped IPv6 address.
pub const fn mapped(address: [u8; 4]) -> Address {
    let [a, b, c, d] = address;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// Key of the map `NEIGHBOURS`.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct NeighbourKey {
    /// Address of an endpoint or a gateway.
    pub address: Address,
    /// Number of its network.
    pub network: u16,
    /// Always zero.
    pub reserved: [u16; 3],
}

/// The neighbour is the network's gateway.
pub const NEIGHBOUR_GATEWAY: u16 = 1 << 0;

/// Value of the map `NEIGHBOURS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct NeighbourEntry {
    /// MAC address, in the order of its bytes on the wire.
    pub mac: [u8; 6],
    /// `NEIGHBOUR_*` bits.
    pub flags: u16,
}

/// Data of the key of the map `SUBNETS`, a trie by prefix length (in bits, 32 of `reserved`
/// among them).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct SubnetKey {
    /// Always zero. The prefix length stands before it, and so the address is aligned.
    pub reserved: [u8; 4],
    /// First address of the subnet.
    pub address: Address,
}

/// Value of the map `SUBNETS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct SubnetEntry {
    /// Address of the gateway on the bridge, which is the host's; zero where it is not put there.
    pub gateway: Address,
    /// Number of the network.
    pub network: u16,
    /// Always zero.
    pub reserved: [u16; 3],
}

crate::map_type!(NeighbourKey, 24);
crate::map_type!(NeighbourEntry, 8);
crate::map_type!(SubnetKey, 20);
crate::map_type!(SubnetEntry, 24);
