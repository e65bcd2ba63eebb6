//! The pinned maps of a topology of ours: who is in them, and more endpoints for them to hold.

use std::{net::IpAddr, path::Path};

use anyhow::{Context, Result, bail};
use aya::maps::{Array, HashMap, Map, MapData};
use bridge_common::{
    EndpointEntry, FdbEntry, FdbKey, Hints, NeighbourEntry, NeighbourKey, PortEntry, mapped,
    wire_mac,
};
use bridge_ebpf::{hint_bucket, with_hint};

/// Slot and ifindex of the first made endpoint: neither is in use in a topology.
const FIRST_SLOT: u16 = 8192;
const FIRST_IFINDEX: u32 = 1 << 20;

/// Slots that a search looks at: the two endpoints have the first of them.
const SEARCHED: u32 = 16;

/// The endpoint that has an IPv4 address.
pub(super) fn endpoint(pins: &Path, address: IpAddr) -> Result<EndpointEntry> {
    let endpoints: Array<MapData, EndpointEntry> = map(pins, "ENDPOINTS")?;
    for slot in 1..SEARCHED {
        let entry = endpoints.get(&slot, 0)?;
        if IpAddr::from(entry.ipv4.to_ne_bytes()) == address {
            return Ok(entry);
        }
    }
    bail!("no endpoint has {address}")
}

/// Adds so many endpoints to the maps, in the network that is there, with what each has: a slot, a
/// port, an FDB entry and a neighbour, and a hint if MAC addresses are chosen ones. Nothing is behind
/// them.
pub(super) fn fill(pins: &Path, count: u16, chosen_mac: bool) -> Result<()> {
    let mut endpoints: Array<MapData, EndpointEntry> = map(pins, "ENDPOINTS")?;
    let mut ports: HashMap<MapData, u32, PortEntry> = map(pins, "PORTS")?;
    let mut hints: Array<MapData, Hints> = map(pins, "HINTS")?;
    let mut fdb: HashMap<MapData, FdbKey, FdbEntry> = map(pins, "FDB")?;
    let mut neighbours: HashMap<MapData, NeighbourKey, NeighbourEntry> = map(pins, "NEIGHBOURS")?;
    let model = endpoint(pins, [10, 77, 0, 2].into())?;
    let network = model.network;
    for n in 0..count {
        let (slot, ifindex) = (FIRST_SLOT + n, FIRST_IFINDEX + u32::from(n));
        let ([high, low], [third, fourth]) = (slot.to_be_bytes(), n.to_be_bytes());
        let mac = if chosen_mac {
            [0x02, 0x88, high, low, 0xff, 0xff]
        } else {
            [0x02, 0x88, 0, 0, high, low]
        };
        let address = [10, 78, third, fourth];
        let entry = EndpointEntry {
            ifindex,
            mac: wire_mac(mac),
            ipv4: u32::from_ne_bytes(address),
            ipv6: [0; 2],
            ..model
        };
        endpoints.set(slot.into(), entry, 0)?;
        if chosen_mac {
            let bucket = hint_bucket(entry.mac);
            let slots = with_hint(hints.get(&bucket, 0)?.slots, slot);
            let slots = slots.context("a bucket of hints is full")?;
            hints.set(bucket, Hints { slots }, 0)?;
        }
        ports.insert(ifindex, PortEntry { network, slot }, 0)?;
        let entry = FdbEntry {
            ifindex,
            network,
            reserved: 0,
        };
        fdb.insert(FdbKey { mac, network }, entry, 0)?;
        let key = NeighbourKey {
            address: mapped(address),
            network,
            reserved: [0; 3],
        };
        neighbours.insert(key, NeighbourEntry { mac, flags: 0 }, 0)?;
    }
    Ok(())
}

fn map<M: TryFrom<Map>>(pins: &Path, name: &str) -> Result<M> {
    let data = MapData::from_pin(pins.join("maps").join(name))
        .with_context(|| format!("failed to open the map {name}"))?;
    let map = Map::from_map_data(data)?;
    map.try_into()
        .ok()
        .with_context(|| format!("the map {name} is of another kind"))
}
