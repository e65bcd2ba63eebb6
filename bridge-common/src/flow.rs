//! Flows to published ports that the firewall has let pass, as the programs at uplinks, bridges and ports
//! know them.
//!
//! Addresses are of either family ([`crate::mapped`]), as two halves of their bytes on the wire; ports
//! in host byte order.

use bytemuck::{Pod, Zeroable};

/// The one value of the map `PASSING`, where it is set: no rule of others has to see each packet of a flow.
pub const PASSING: u32 = 1;

/// Key of the maps `FLOWS` and `HAIRPINS`: a flow as its endpoint sees it.
///
/// The value in `HAIRPINS` is 1 (`u32`): a neighbour reached the endpoint by an address of the host.
/// There both ports are 0 for all such flows of a pair, which fragments are looked up by.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct FlowKey {
    /// Address of the endpoint.
    pub endpoint: [u64; 2],
    /// Address of who asks.
    pub client: [u64; 2],
    /// Port of the endpoint.
    pub endpoint_port: u16,
    /// Port of who asks.
    pub client_port: u16,
    /// Number of the protocol in IP headers.
    pub protocol: u32,
}

/// Value of the map `FLOWS`.
///
/// Times are of `bpf_ktime_get_coarse_ns`, in nanoseconds, 0 for never. Hashes are the kernel's of a
/// packet as it came in (`bpf_get_hash_recalc`), which stays with it through the stack: by it a packet
/// that comes out of the firewall is known for the one that went in.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct FlowEntry {
    /// Address of the host that is asked.
    pub host: [u64; 2],
    /// When a packet to the endpoint last came out of the firewall.
    pub passed_in: u64,
    /// When a packet from the endpoint last did.
    pub passed_out: u64,
    /// Hash of the last packet to the endpoint that went to the firewall; 0 is none.
    pub hash_in: u32,
    /// Likewise of those from the endpoint.
    pub hash_out: u32,
    /// Index of the uplink that the flow comes by.
    pub ifindex_in: u32,
    /// Index of the link that its answers leave by; 0 until one did.
    pub ifindex_out: u32,
    /// Port of the host that is asked.
    pub host_port: u16,
    /// Slot of the endpoint; [`crate::NO_SLOT`] until a packet came out for it.
    pub slot: u16,
    /// Destination and source MAC address of answers, as they begin a frame ([`crate::wire_mac`]).
    pub link: [u16; 6],
    /// Not 0 once one end has said that it ends (TCP's FIN), to the firewall.
    pub closing: u32,
    /// Length in bytes of the longest frame from the endpoint that came out of the firewall since
    /// `passed_out` was last out of date; of one that stands for segments, that of a segment.
    pub longest_out: u32,
}

crate::map_type!(FlowKey, 40);
crate::map_type!(FlowEntry, 72);
