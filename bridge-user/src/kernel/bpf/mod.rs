//! The data plane: the pinned programs, maps and links, and what the maps say. The only user of
//! aya and bridge-common.
//!
//! Nothing of ours has to run for it: programs, maps and links are held by their pins.

mod error;
mod hook;
mod pins;

use aya::maps::{HashMap, MapData, MapError, PerCpuArray, PerCpuValues};
use aya::programs::SchedClassifier;
use bridge_common::{
    DropReason, FdbEntry, FdbKey, PORT_ICC_OFF, PORT_REDIRECT_OFF, PortEntry, PortStats,
};

pub use bridge_common::MAX_PORTS;
pub use error::BpfError;
pub use hook::Hook;
pub use pins::{check_owner, has_pins, is_bpffs, layout, object_hash, purge};

use error::failed;

/// The data plane of this host, open.
pub struct DataPlane {
    program: SchedClassifier,
    ports: HashMap<MapData, u32, PortEntry>,
    fdb: HashMap<MapData, FdbKey, FdbEntry>,
    stats: PerCpuArray<MapData, PortStats>,
}

/// What the program should know of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Number of its network.
    pub network: u16,
    /// Index of its counters.
    pub slot: u16,
    /// Inter-container communication: whether frames may go to other ports.
    pub icc: bool,
    /// Whether frames may be redirected.
    pub redirect: bool,
}

impl From<&Port> for PortEntry {
    fn from(port: &Port) -> Self {
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        Self {
            network: port.network,
            slot: port.slot,
            flags: flag(!port.icc, PORT_ICC_OFF) | flag(!port.redirect, PORT_REDIRECT_OFF),
        }
    }
}

/// What was counted at a port, the frames that came from its endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets redirected into the receiver's namespace.
    pub fast_packets: u64,
    /// Their bytes.
    pub fast_bytes: u64,
    /// Packets left to the Linux bridge.
    pub slow_packets: u64,
    /// Their bytes.
    pub slow_bytes: u64,
    /// Packets dropped.
    pub dropped_packets: u64,
}

impl DataPlane {
    /// Opens the data plane; mounts the bpffs and loads and pins programs and maps where needed.
    /// `owner` is the state's number: pins of another state are refused.
    pub fn ensure(owner: u64) -> Result<Self, BpfError> {
        pins::ensure(owner)?;
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
            ports: pins::map("PORTS")?
                .try_into()
                .map_err(failed("open", "map PORTS"))?,
            fdb: pins::map("FDB")?
                .try_into()
                .map_err(failed("open", "map FDB"))?,
            stats: pins::map("STATS")?
                .try_into()
                .map_err(failed("open", "map STATS"))?,
        })
    }

    /// Makes the program know a port, by the index of the host leg.
    pub fn ensure_port(&mut self, ifindex: u32, port: &Port) -> Result<(), BpfError> {
        let entry = PortEntry::from(port);
        tracing::info!("map PORTS: {ifindex} -> {entry:?}");
        self.ports
            .insert(ifindex, entry, 0)
            .map_err(failed("write an entry of", "map PORTS"))
    }

    /// Makes the program not know a port: what still comes from it is dropped.
    pub fn ensure_port_absent(&mut self, ifindex: u32) -> Result<(), BpfError> {
        tracing::info!("map PORTS: {ifindex} -> nothing");
        absent_is_fine(self.ports.remove(&ifindex))
            .map_err(failed("remove an entry of", "map PORTS"))
    }

    /// Makes a MAC address of a network be found behind a port.
    pub fn ensure_fdb_entry(
        &mut self,
        network: u16,
        mac: [u8; 6],
        ifindex: u32,
    ) -> Result<(), BpfError> {
        let entry = FdbEntry { ifindex };
        let key = FdbKey { mac, network };
        tracing::info!("map FDB: {key:?} -> {entry:?}");
        self.fdb
            .insert(key, entry, 0)
            .map_err(failed("write an entry of", "map FDB"))
    }

    /// Makes a MAC address of a network be found nowhere: the bridge takes its frames.
    pub fn ensure_fdb_entry_absent(&mut self, network: u16, mac: [u8; 6]) -> Result<(), BpfError> {
        let key = FdbKey { mac, network };
        tracing::info!("map FDB: {key:?} -> nothing");
        absent_is_fine(self.fdb.remove(&key)).map_err(failed("remove an entry of", "map FDB"))
    }

    /// Makes the program be attached to the ingress of a host leg, and stay so without us.
    /// `endpoint` names the pin of the link.
    pub fn ensure_attached(&mut self, endpoint: &str, host_leg: &str) -> Result<Hook, BpfError> {
        hook::ensure_attached(&mut self.program, endpoint, host_leg)
    }

    /// Makes the link's pin gone; the program goes with it, or with the host leg.
    pub fn ensure_detached(&self, endpoint: &str) -> Result<(), BpfError> {
        pins::remove_link(endpoint)
    }

    /// What the program is attached by to a host leg.
    pub fn attached(&self, host_leg: &str) -> Result<Option<Hook>, BpfError> {
        hook::attached(&self.program, host_leg)
    }

    /// What was counted in a slot, over all CPUs.
    pub fn counters(&self, slot: u16) -> Result<Counters, BpfError> {
        let per_cpu = self.stats.get(&slot.into(), 0);
        let per_cpu = per_cpu.map_err(failed("read an entry of", "map STATS"))?;
        Ok(per_cpu
            .iter()
            .fold(Counters::default(), |sum, cpu| Counters {
                fast_packets: sum.fast_packets + cpu.fast_packets,
                fast_bytes: sum.fast_bytes + cpu.fast_bytes,
                slow_packets: sum.slow_packets + cpu.slow_packets,
                slow_bytes: sum.slow_bytes + cpu.slow_bytes,
                dropped_packets: sum.dropped_packets
                    + DropReason::ALL
                        .iter()
                        .map(|r| cpu.drops[*r as usize])
                        .sum::<u64>(),
            }))
    }

    /// Sets a slot's counters to zero.
    pub fn reset_counters(&mut self, slot: u16) -> Result<(), BpfError> {
        let cpus = aya::util::nr_cpus().map_err(|(_, source)| BpfError::Cpus(source))?;
        let zero =
            PerCpuValues::try_from(vec![PortStats::default(); cpus]).map_err(BpfError::Cpus)?;
        let set = self.stats.set(slot.into(), zero, 0);
        set.map_err(failed("write an entry of", "map STATS"))
    }
}

fn absent_is_fine(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        result => result,
    }
}
