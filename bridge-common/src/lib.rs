//! Types that the eBPF program and bridge-user share through BPF maps: layout only, no logic.
//!
//! Every type is `#[repr(C)]`, has no implicit padding (`bytemuck::Pod` refuses it at compile
//! time) and holds neither `bool`, `usize`, `Option` nor a Rust enum.

#![no_std]

mod event;
mod fdb;
mod flow;
mod link;
mod meta;
mod neigh;
mod port;
mod publish;
mod stats;

pub use event::{Bucket, DecisionRecord, EVENT_BYTES, EXPLAIN_MARK, Event, TraceState, verdict};
pub use fdb::{FdbEntry, FdbKey};
pub use flow::{FlowEntry, FlowKey, PASSING};
pub use link::LinkKey;
pub use meta::Meta;
pub use neigh::{
    Address, NEIGHBOUR_GATEWAY, NeighbourEntry, NeighbourKey, SubnetEntry, SubnetKey, mapped,
};
pub use port::{
    ENDPOINT_FLOWS, ENDPOINT_FLOWS_ASKED, ENDPOINT_ICC_OFF, ENDPOINT_INTERNAL, ENDPOINT_REACHABLE,
    ENDPOINT_REDIRECT_OFF, ENDPOINT_TRUSTED, EndpointEntry, Hints, PortEntry, wire_mac,
};
pub use publish::{AskedKey, Peer, PublishedKey, SocketAddress};
pub use stats::{DROP_REASONS, DropReason, NO_SLOT, PortStats};

/// Version of every layout in this crate, kept in the pinned map `META`.
///
/// Raise it when a shared type, a map's kind or the meaning of a field changes: the loader
/// refuses pins of another version.
pub const LAYOUT_VERSION: u32 = 8;

/// Ports that the maps hold at most, unless the loader makes them of another size.
pub const MAX_PORTS: u32 = 16_384;

/// Buckets of the map `HINTS`, a power of two. Each has room for four slots.
pub const HINT_BUCKETS: u32 = 16_384;

/// Neighbours that the maps hold at most, likewise: two addresses a port, and gateways.
pub const MAX_NEIGHBOURS: u32 = 2 * MAX_PORTS + 8_192;

/// Directions of linked pairs that the maps hold at most, likewise: a link a port.
pub const MAX_LINKS: u32 = 2 * MAX_PORTS;

/// Subnets that the maps hold at most, likewise.
pub const MAX_SUBNETS: u32 = 8_192;

/// Publications that the maps hold at most, likewise, those of each family.
pub const MAX_PUBLISHED: u32 = 65_536;

/// Entries of the map `ASKED`: pairs of a socket that is not connected and an endpoint that it sent to.
pub const MAX_ASKED: u32 = 16_384;

/// Flows from outside to published ports that the maps hold at most, likewise.
pub const MAX_FLOWS: u32 = 16_384;

/// Flows of endpoints to published ports of neighbours that the maps hold at most, likewise.
pub const MAX_HAIRPINS: u32 = MAX_FLOWS;

/// Bytes of the ring buffer `EVENTS`, likewise.
pub const EVENTS_BYTES: u32 = 1 << 18;

/// Implements `aya::Pod` for a type that bytemuck has already proved to be plain data.
macro_rules! map_type {
    ($type:ty, $size:expr) => {
        const _: () = assert!(core::mem::size_of::<$type>() == $size);

        #[cfg(feature = "user")]
        #[allow(unsafe_code, reason = "a Pod impl, backed by bytemuck's check")]
        // SAFETY: `bytemuck::Pod` is derived for the type, so every byte pattern is a value
        // and there is no padding; `aya::Pod` asks for no more.
        unsafe impl aya::Pod for $type {}
    };
}
pub(crate) use map_type;
