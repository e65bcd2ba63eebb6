//! Published ports, as the programs at the host's sockets know them.
//!
//! Addresses are of either family ([`crate::mapped`]), ports in host byte order.

use bytemuck::{Pod, Zeroable};

use crate::Address;

/// Key of the map `PUBLISHED`: what a process of the host asks for.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
pub struct PublishedKey {
    /// Address of the host; unspecified for all of its family.
    pub address: Address,
    /// Port of the host.
    pub port: u16,
    /// Number of the protocol in IP headers.
    pub protocol: u8,
    /// Always zero.
    pub reserved: [u8; 5],
}

/// An address and a port of it. Value of the map `PUBLISHED`: where the publication leads.
///
/// With the port 0 it leads nowhere. That is the value of the unspecified address where only single
/// addresses of its family have the port published, so that a bind to all of them is refused too.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct SocketAddress {
    /// The address.
    pub address: Address,
    /// The port.
    pub port: u16,
    /// Always zero.
    pub reserved: [u16; 3],
}

/// What a connected socket asked for, and what it got: value of the map `PEERS`, one a socket.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Peer {
    /// The endpoint.
    pub endpoint: SocketAddress,
    /// The published port.
    pub asked: SocketAddress,
}

/// Key of the map `ASKED`, for sockets that send without being connected. The value is the published
/// port ([`SocketAddress`]) that the socket sent to when it last reached this endpoint.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct AskedKey {
    /// Cookie of the socket (`SO_COOKIE`).
    pub socket: u64,
    /// The endpoint.
    pub endpoint: SocketAddress,
}

crate::map_type!(PublishedKey, 24);
crate::map_type!(SocketAddress, 24);
crate::map_type!(Peer, 48);
crate::map_type!(AskedKey, 32);
