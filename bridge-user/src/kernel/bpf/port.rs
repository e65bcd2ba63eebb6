//! Ports and the endpoints behind them: what the maps `PORTS`, `ENDPOINTS`, `FDB` and
//! `NEIGHBOURS` say of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bridge_common::{
    Address, ENDPOINT_FLOWS, ENDPOINT_FLOWS_ASKED, ENDPOINT_ICC_OFF, ENDPOINT_INTERNAL,
    ENDPOINT_REACHABLE, ENDPOINT_REDIRECT_OFF, ENDPOINT_TRUSTED, EndpointEntry, FdbEntry, FdbKey,
    NeighbourEntry, NeighbourKey, PortEntry, mapped, wire_mac,
};
use bytemuck::Zeroable;

use super::sizes::write_failed;
use super::{BpfError, DataPlane, absent_is_fine, failed};

/// What the program should know of a port and the endpoint behind it.
#[expect(clippy::struct_excessive_bools, reason = "each is a bit of the entry")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Port {
    /// Number of its network.
    pub network: u16,
    /// Index of the endpoint.
    pub slot: u16,
    /// Inter-container communication: whether frames may go to other ports.
    pub icc: bool,
    /// Whether frames may be redirected.
    pub redirect: bool,
    /// Whether the network is internal.
    pub internal: bool,
    /// Whether the endpoint may speak with any address.
    pub trusted: bool,
    /// Whether what comes from outside to its published ports may pass the firewall by.
    pub flows: bool,
    /// Whether that is so whatever others' rules are.
    pub asks_for_flows: bool,
    /// The lowest and the highest port that it publishes; 0 and 0 where it publishes none.
    pub published: [u16; 2],
    /// MAC address of the container leg.
    pub mac: [u8; 6],
    /// MAC address of the bridge.
    pub gateway_mac: [u8; 6],
    /// Index of the bridge.
    pub bridge: u32,
    /// IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Broadcast and multicast frames a second that it may send; 0 is no limit.
    pub storm_pps: u32,
}

/// An entry of the map `FDB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdbRecord {
    /// MAC address, in the order of its bytes on the wire.
    pub mac: [u8; 6],
    /// Number of the network.
    pub network: u16,
    /// Index of the host leg.
    pub ifindex: u32,
}

impl Port {
    fn entry(&self, ifindex: u32, reachable: bool) -> EndpointEntry {
        let flag = |set: bool, flag: u16| if set { flag } else { 0 };
        EndpointEntry {
            ifindex,
            network: self.network,
            flags: flag(!self.icc, ENDPOINT_ICC_OFF)
                | flag(!self.redirect, ENDPOINT_REDIRECT_OFF)
                | flag(self.internal, ENDPOINT_INTERNAL)
                | flag(self.trusted, ENDPOINT_TRUSTED)
                | flag(self.flows, ENDPOINT_FLOWS)
                | flag(self.asks_for_flows, ENDPOINT_FLOWS_ASKED)
                | flag(reachable, ENDPOINT_REACHABLE),
            mac: wire_mac(self.mac),
            gateway_mac: wire_mac(self.gateway_mac),
            ipv4: self.ipv4.map_or(0, |ip| u32::from_ne_bytes(ip.octets())),
            bridge: self.bridge,
            ipv6: self.ipv6.map_or([0; 2], |ip| bytemuck::cast(ip.octets())),
            storm_pps: self.storm_pps,
            published: self.published,
            reserved: [0; 3],
        }
    }

    fn neighbours(&self) -> impl Iterator<Item = NeighbourKey> + use<> {
        let network = self.network;
        let v4 = self.ipv4.map(|ip| mapped(ip.octets()));
        let v6 = self.ipv6.map(|ip| ip.octets());
        [v4, v6]
            .into_iter()
            .flatten()
            .map(move |address| neighbour_key(network, address))
    }
}

pub(super) fn neighbour_key(network: u16, address: Address) -> NeighbourKey {
    NeighbourKey {
        address,
        network,
        reserved: [0; 3],
    }
}

/// An address as keys of maps have it.
pub(super) fn address_of(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(v4) => mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

impl DataPlane {
    /// Makes the program know a port, by the index of the host leg: from here on it checks what
    /// comes from it. Nothing is redirected to it yet.
    pub fn ensure_port(&mut self, ifindex: u32, port: &Port) -> Result<(), BpfError> {
        let present = self.endpoint(port.slot)?;
        let mut wanted = port.entry(ifindex, false);
        if present.ifindex == ifindex {
            wanted.flags |= present.flags & ENDPOINT_REACHABLE;
        } else {
            // An entry is written in pieces: while it is, it is nobody's.
            self.set_endpoint(port.slot, &port.entry(0, false))?;
        }
        if present.mac != wanted.mac {
            self.ensure_hint_absent(present.mac, port.slot)?;
        }
        self.ensure_hint(wanted.mac, port.slot)?;
        if present != wanted {
            self.set_endpoint(port.slot, &wanted)?;
        }
        let entry = PortEntry {
            network: port.network,
            slot: port.slot,
        };
        tracing::info!("map PORTS: {ifindex} -> {entry:?}");
        self.ports
            .insert(ifindex, entry, 0)
            .map_err(write_failed("PORTS"))
    }

    /// Makes the program not know a port: what still comes from it is dropped.
    pub fn ensure_port_absent(&mut self, ifindex: u32, slot: u16) -> Result<(), BpfError> {
        tracing::info!("map PORTS: {ifindex} -> nothing");
        let present = self.endpoint(slot)?;
        if present != EndpointEntry::zeroed() {
            self.set_endpoint(slot, &EndpointEntry::zeroed())?;
            self.ensure_hint_absent(present.mac, slot)?;
        }
        absent_is_fine(self.ports.remove(&ifindex))
            .map_err(failed("remove an entry of", "map PORTS"))
    }

    /// Makes frames for an endpoint be redirected to it, and requests for its addresses answered.
    pub fn ensure_reachable(&mut self, ifindex: u32, port: &Port) -> Result<(), BpfError> {
        let entry = FdbEntry {
            ifindex,
            network: port.network,
            reserved: 0,
        };
        let key = FdbKey {
            mac: port.mac,
            network: port.network,
        };
        tracing::info!("map FDB: {key:?} -> {entry:?}");
        self.fdb
            .insert(key, entry, 0)
            .map_err(write_failed("FDB"))?;
        for key in port.neighbours() {
            let entry = NeighbourEntry {
                mac: port.mac,
                flags: 0,
            };
            self.set_neighbour(key, entry)?;
        }
        self.set_endpoint(port.slot, &port.entry(ifindex, true))
    }

    /// Makes frames for an endpoint go by the bridge.
    pub fn ensure_unreachable(&mut self, port: &Port) -> Result<(), BpfError> {
        let key = FdbKey {
            mac: port.mac,
            network: port.network,
        };
        tracing::info!("map FDB: {key:?} -> nothing");
        let mut entry = self.endpoint(port.slot)?;
        if entry.flags & ENDPOINT_REACHABLE != 0 {
            entry.flags &= !ENDPOINT_REACHABLE;
            self.set_endpoint(port.slot, &entry)?;
        }
        for key in port.neighbours() {
            self.remove_neighbour(key)?;
        }
        absent_is_fine(self.fdb.remove(&key)).map_err(failed("remove an entry of", "map FDB"))
    }

    /// Every entry of the map `FDB`, with its key.
    pub fn fdb_entries(&self) -> Result<Vec<FdbRecord>, BpfError> {
        let entries = self.fdb.iter().map(|entry| {
            entry.map(|(key, value)| FdbRecord {
                mac: key.mac,
                network: key.network,
                ifindex: value.ifindex,
            })
        });
        let entries: Result<_, _> = entries.collect();
        entries.map_err(failed("read the entries of", "map FDB"))
    }

    /// A slot beyond the map, from when it was larger, is nobody's.
    pub(super) fn endpoint(&self, slot: u16) -> Result<EndpointEntry, BpfError> {
        if u32::from(slot) >= self.endpoints.len() {
            return Ok(EndpointEntry::zeroed());
        }
        let entry = self.endpoints.get(&slot.into(), 0);
        entry.map_err(failed("read an entry of", "map ENDPOINTS"))
    }

    pub(super) fn set_neighbour(
        &mut self,
        key: NeighbourKey,
        entry: NeighbourEntry,
    ) -> Result<(), BpfError> {
        tracing::info!("map NEIGHBOURS: {key:?} -> {entry:?}");
        let inserted = self.neighbours.insert(key, entry, 0);
        inserted.map_err(write_failed("NEIGHBOURS"))
    }

    pub(super) fn remove_neighbour(&mut self, key: NeighbourKey) -> Result<(), BpfError> {
        tracing::info!("map NEIGHBOURS: {key:?} -> nothing");
        absent_is_fine(self.neighbours.remove(&key))
            .map_err(failed("remove an entry of", "map NEIGHBOURS"))
    }

    fn set_endpoint(&mut self, slot: u16, entry: &EndpointEntry) -> Result<(), BpfError> {
        tracing::info!("map ENDPOINTS: {slot} -> {entry:?}");
        let set = self.endpoints.set(slot.into(), entry, 0);
        set.map_err(write_failed("ENDPOINTS"))
    }
}
