//! One module a hook: let the library decide over the frame and the maps, act on the verdict.

pub(crate) mod bridge;
pub(crate) mod cgroup;
#[cfg(feature = "log")]
mod log;
pub(crate) mod tc;
pub(crate) mod uplink;
pub(crate) mod xdp;

use bridge_common::{
    Address, EndpointEntry, FdbEntry, FdbKey, FlowKey, LinkKey, NeighbourEntry, NeighbourKey,
    SubnetEntry,
};
use bridge_ebpf::Tables;

use crate::maps;

/// The maps, as the decision asks them.
pub(crate) struct Maps {
    /// No frame is counted against a limit: for made ones, and where another hook does it.
    pub(crate) unlimited: bool,
}

impl Tables for Maps {
    #[inline(always)]
    fn endpoint(&self, slot: u16) -> Option<&EndpointEntry> {
        maps::endpoints::find(slot)
    }

    #[inline(always)]
    fn hints(&self, bucket: u32) -> u64 {
        maps::hints::find(bucket)
    }

    #[inline(always)]
    fn slot(&self, ifindex: u32) -> Option<u16> {
        maps::ports::find(ifindex).map(|port| port.slot)
    }

    #[inline(always)]
    fn fdb(&self, key: &FdbKey) -> Option<FdbEntry> {
        maps::fdb::find(key)
    }

    #[inline(always)]
    fn is_linked(&self, key: &LinkKey) -> bool {
        maps::links::has(key)
    }

    #[inline(always)]
    fn neighbour(&self, key: &NeighbourKey) -> Option<NeighbourEntry> {
        maps::neighbours::find(key)
    }

    #[inline(always)]
    fn subnet(&self, address: &Address) -> Option<SubnetEntry> {
        maps::subnets::find(address)
    }

    #[inline(always)]
    fn is_hairpin(&self, flow: &FlowKey) -> bool {
        maps::hairpins::has(flow)
    }

    #[inline(always)]
    fn admit(&self, slot: u16, pps: u32) -> bool {
        self.unlimited || maps::buckets::admit(slot, pps)
    }
}
