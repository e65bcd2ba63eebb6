//! The data plane: the pinned programs, maps and links, and what the maps say. The only user of
//! aya and bridge-common.
//!
//! Nothing of ours has to run for it: programs, maps and links are held by their pins.

mod counters;
mod error;
mod events;
mod explain;
mod hints;
mod hook;
mod links;
mod log;
mod lookups;
mod lost;
mod network;
mod object;
mod pinned;
mod pins;
mod port;
mod publish;
mod sizes;
mod uplinks;
mod xdp;

use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray};
use aya::programs::{SchedClassifier, Xdp};
use bridge_common::{
    EndpointEntry, FdbEntry, FdbKey, FlowKey, Hints, LinkKey, NeighbourEntry, NeighbourKey,
    PortEntry, PortStats, SubnetEntry, SubnetKey,
};

pub use bridge_ebpf::Check;
pub use counters::Counters;
pub use error::BpfError;
pub use events::{Events, Lease, TracedFrame};
pub use explain::{Explained, Road, Trial};
pub use hook::Hook;
pub use links::LinkedPair;
pub use lookups::Lookup;
pub use network::{NetworkFacts, SubnetFacts};
pub use object::object_hash;
pub use pinned::Pinned;
pub use pins::{check_owner, check_unowned, is_bpffs, is_pinned, layout, purge};
pub use port::{FdbRecord, Port};
pub use sizes::{OtherSize, endpoints_max, other_sizes};
pub use uplinks::{
    AtUplinks, ensure_passing, ensure_uplink, ensure_uplink_absent, is_passing, links_without_room,
};

use crate::model::MapSizes;
use error::failed;
use hook::Place;

/// The data plane of this host, open.
pub struct DataPlane {
    program: SchedClassifier,
    xdp_program: Xdp,
    ports: HashMap<MapData, u32, PortEntry>,
    endpoints: Array<MapData, EndpointEntry>,
    hints: Array<MapData, Hints>,
    fdb: HashMap<MapData, FdbKey, FdbEntry>,
    links: HashMap<MapData, LinkKey, u32>,
    hairpins: HashMap<MapData, FlowKey, u32>,
    neighbours: HashMap<MapData, NeighbourKey, NeighbourEntry>,
    subnets: LpmTrie<MapData, SubnetKey, SubnetEntry>,
    stats: PerCpuArray<MapData, PortStats>,
}

impl DataPlane {
    /// Opens the data plane; mounts the bpffs and loads and pins programs and maps where needed.
    /// `owner` is the state's number: pins of another state are refused. Maps that are there keep
    /// their sizes.
    pub fn ensure(owner: u64, sizes: &MapSizes) -> Result<Self, BpfError> {
        pins::ensure(owner, sizes)?;
        Self::from_pins()
    }

    /// Opens the data plane, or `None` where there is none.
    pub fn open(owner: u64) -> Result<Option<Self>, BpfError> {
        if pins::present(owner)? {
            Self::from_pins().map(Some)
        } else {
            Ok(None)
        }
    }

    fn from_pins() -> Result<Self, BpfError> {
        Ok(Self {
            program: pins::program()?,
            xdp_program: pins::xdp_program()?,
            ports: pins::map("PORTS")?,
            endpoints: pins::map("ENDPOINTS")?,
            hints: pins::map("HINTS")?,
            fdb: pins::map("FDB")?,
            links: pins::map("LINKS")?,
            hairpins: pins::map("HAIRPINS")?,
            neighbours: pins::map("NEIGHBOURS")?,
            subnets: pins::map("SUBNETS")?,
            stats: pins::map("STATS")?,
        })
    }

    /// Makes the program be attached to the ingress of a host leg, and stay so without us.
    /// `endpoint` names the pin of the link.
    pub fn ensure_attached(&mut self, endpoint: &str, host_leg: &str) -> Result<Hook, BpfError> {
        let place = Place {
            link: host_leg,
            egress: false,
            uplink: false,
        };
        hook::ensure_attached(&mut self.program, place, &pins::link_path(endpoint))
    }

    /// Makes what the host sends into a network pass its bridge, from now on without us. `network`
    /// names the pin of the link.
    pub fn ensure_bridge_attached(&mut self, network: &str, bridge: &str) -> Result<(), BpfError> {
        let place = Place {
            link: bridge,
            egress: true,
            uplink: false,
        };
        let mut program = pins::bridge_program()?;
        hook::ensure_attached(&mut program, place, &pins::bridge_link_path(network))?;
        Ok(())
    }

    /// Makes the XDP program be attached to a host leg, by its index, before the other.
    pub fn ensure_xdp_attached(&mut self, endpoint: &str, host_leg: u32) -> Result<(), BpfError> {
        xdp::ensure_attached(&mut self.xdp_program, endpoint, host_leg)
    }

    /// Makes the links' pins gone; the programs go with them, or with the host leg.
    pub fn ensure_detached(&self, endpoint: &str) -> Result<(), BpfError> {
        pins::remove_links(endpoint)
    }

    /// What the fast path of a host leg is attached by.
    pub fn attached(&self, host_leg: &str) -> Result<Option<Hook>, BpfError> {
        if xdp::is_attached(&self.xdp_program, host_leg)? {
            return Ok(Some(Hook::Xdp));
        }
        let place = Place {
            link: host_leg,
            egress: false,
            uplink: false,
        };
        hook::attached(&self.program, place)
    }
}

/// Makes the pin of a bridge's link gone; the program goes with it, or with the bridge. `network`
/// names it.
pub fn ensure_bridge_detached(network: &str) -> Result<(), BpfError> {
    pins::ensure_file_absent(&pins::bridge_link_path(network))
}

fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}
