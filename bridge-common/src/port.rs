//! A port: the host leg of an endpoint's veth pair, and the endpoint behind it.

use bytemuck::{Pod, Zeroable};

/// Inter-container communication is off: nothing goes to another port.
pub const ENDPOINT_ICC_OFF: u16 = 1 << 0;
/// The network's datapath is `off`: what may pass goes by the Linux bridge.
pub const ENDPOINT_REDIRECT_OFF: u16 = 1 << 1;
/// The network is internal: nothing goes beyond it but to its own gateway.
pub const ENDPOINT_INTERNAL: u16 = 1 << 2;
/// No port security: the endpoint may speak with any address.
pub const ENDPOINT_TRUSTED: u16 = 1 << 3;
/// Frames may be redirected to the endpoint: set last when it is attached, cleared first when it
/// is detached.
pub const ENDPOINT_REACHABLE: u16 = 1 << 4;
/// The endpoint publishes ports, and what comes to them from outside may pass the firewall by once it
/// has let the flow through.
pub const ENDPOINT_FLOWS: u16 = 1 << 5;
/// That is so whatever the map `PASSING` says.
pub const ENDPOINT_FLOWS_ASKED: u16 = 1 << 6;

/// Value of the map `PORTS`; the key is the ifindex of the host leg (`u32`, host byte order).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct PortEntry {
    /// Number of the network that the port belongs to.
    pub network: u16,
    /// Index of the endpoint in `ENDPOINTS`, `BUCKETS` and `STATS`; from 1 up
    /// ([`crate::NO_SLOT`] is nobody's).
    pub slot: u16,
}

/// Value of the map `ENDPOINTS`, one cache line; the key is the slot (`u32`).
///
/// All zero is no endpoint. A MAC address that we assigned ends in the slot (big endian), so that
/// both ends of a frame are found without hashing.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct EndpointEntry {
    /// Index of the host leg, in the host's network namespace; 0 is no endpoint.
    pub ifindex: u32,
    /// Number of the network.
    pub network: u16,
    /// `ENDPOINT_*` bits.
    pub flags: u16,
    /// MAC address of the container leg ([`wire_mac`]).
    pub mac: [u16; 3],
    /// MAC address of the network's bridge: frames for it go to the host.
    pub gateway_mac: [u16; 3],
    /// IPv4 address, its bytes as on the wire; zero where the endpoint has none.
    pub ipv4: u32,
    /// Index of the network's bridge.
    pub bridge: u32,
    /// Broadcast and multicast frames per second that the port may send; 0 is no limit.
    pub storm_pps: u32,
    /// IPv6 address, its bytes as on the wire; zero where the endpoint has none.
    pub ipv6: [u64; 2],
    /// The lowest and the highest port of the endpoint that it publishes, in host byte order; 0 and 0
    /// where it publishes none.
    pub published: [u16; 2],
    /// Always zero.
    pub reserved: [u32; 3],
}

/// Value of the map `HINTS`; the key is a hash of a MAC address (`bridge_ebpf::hint_bucket`).
///
/// Endpoints whose MAC address does not end in their slot are found by it without a hash table. Who
/// follows a hint compares; where none is right, the hash tables know.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Hints {
    /// Up to four slots, the first in the lowest 16 bits, and zeroes behind the last.
    pub slots: u64,
}

/// A MAC address in units that may be loaded at once: its bytes as on the wire.
pub const fn wire_mac(mac: [u8; 6]) -> [u16; 3] {
    let [a, b, c, d, e, f] = mac;
    [
        u16::from_ne_bytes([a, b]),
        u16::from_ne_bytes([c, d]),
        u16::from_ne_bytes([e, f]),
    ]
}

crate::map_type!(PortEntry, 4);
crate::map_type!(EndpointEntry, 64);
crate::map_type!(Hints, 8);
