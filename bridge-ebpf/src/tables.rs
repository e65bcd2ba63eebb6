//! What the decision may ask: the maps, as the hook has them, and as tests make them.

use bridge_common::{
    Address, EndpointEntry, FdbEntry, FdbKey, FlowKey, LinkKey, NeighbourEntry, NeighbourKey,
    SubnetEntry,
};

use crate::Check;

/// The maps. Asked only where the answer decides.
pub trait Tables {
    /// The endpoint of a slot; its `ifindex` is 0 where there is none.
    fn endpoint(&self, slot: u16) -> Option<&EndpointEntry>;

    /// Slots in a bucket of the hints ([`bridge_common::Hints`]).
    fn hints(&self, bucket: u32) -> u64;

    /// The slot of the port whose host leg has this index.
    fn slot(&self, ifindex: u32) -> Option<u16>;

    /// The FDB entry of a MAC address in a network.
    fn fdb(&self, key: &FdbKey) -> Option<FdbEntry>;

    /// Whether a pair may speak with each other where ICC is off, in this direction.
    fn is_linked(&self, key: &LinkKey) -> bool;

    /// Who has an address in a network.
    fn neighbour(&self, key: &NeighbourKey) -> Option<NeighbourEntry>;

    /// The smallest of our subnets that has an address.
    fn subnet(&self, address: &Address) -> Option<SubnetEntry>;

    /// Whether a neighbour reached an endpoint by an address of the host, in this flow.
    fn is_hairpin(&self, flow: &FlowKey) -> bool;

    /// Whether the port of a slot may send one more frame to a group, at most `pps` a second; it
    /// is counted against the limit.
    fn admit(&self, slot: u16, pps: u32) -> bool;

    /// Told of each check before it is made, in order, for who explains decisions; the program does
    /// not listen.
    #[inline(always)]
    fn reached(&self, _check: Check) {}
}
