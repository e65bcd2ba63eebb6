//! The pinned maps as the decision asks them, with a record of what it asked: `explain` shows the
//! questions of the program's own code, in its order.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::Ipv6Addr;

use aya::maps::MapError;
use aya::maps::lpm_trie::Key;
use bridge_common::{
    Address, ENDPOINT_ICC_OFF, ENDPOINT_INTERNAL, ENDPOINT_REACHABLE, ENDPOINT_REDIRECT_OFF,
    ENDPOINT_TRUSTED, EndpointEntry, FdbEntry, FdbKey, FlowKey, LinkKey, NEIGHBOUR_GATEWAY,
    NeighbourEntry, NeighbourKey, SubnetEntry, SubnetKey, wire_mac,
};
use bridge_ebpf::{Check, Decision, Tables, decide};

use super::{BpfError, DataPlane, failed};
use crate::model::mac_text;

/// An entry that was looked up for a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The map.
    pub map: &'static str,
    /// The key.
    pub key: String,
    /// The value; `None` where there is none.
    pub value: Option<String>,
}

/// What the decision about a frame asked for.
pub(super) struct Asked {
    /// The decision.
    pub(super) decision: Decision,
    /// The checks that were made, in order.
    pub(super) checks: Vec<Check>,
    /// The entries that were looked up, in order.
    pub(super) lookups: Vec<Lookup>,
}

/// Takes the decision about a frame in user space, from the pinned maps.
pub(super) fn ask(data_plane: &DataPlane, ifindex: u32, frame: &[u8]) -> Result<Asked, BpfError> {
    let tables = Recorder {
        data_plane,
        endpoints: vec![OnceCell::new(); data_plane.endpoints.len() as usize],
        checks: RefCell::default(),
        lookups: RefCell::default(),
        error: Cell::default(),
    };
    let decision = decide(&frame, ifindex, false, &tables);
    match tables.error.into_inner() {
        Some(error) => Err(error),
        None => Ok(Asked {
            decision,
            checks: tables.checks.into_inner(),
            lookups: tables.lookups.into_inner(),
        }),
    }
}

/// Tables that note each question and its answer.
struct Recorder<'d> {
    data_plane: &'d DataPlane,
    /// By slot, as far as they were read: the decision wants to keep references.
    endpoints: Vec<OnceCell<EndpointEntry>>,
    checks: RefCell<Vec<Check>>,
    lookups: RefCell<Vec<Lookup>>,
    /// The last error of a read, which was answered as if there were no entry.
    error: Cell<Option<BpfError>>,
}

impl Recorder<'_> {
    fn note<V>(
        &self,
        map: &'static str,
        key: impl ToString,
        read: Result<V, BpfError>,
        shown: impl FnOnce(&V) -> String,
    ) -> Option<V> {
        let value = read.map_err(|error| self.error.set(Some(error))).ok();
        self.lookups.borrow_mut().push(Lookup {
            map,
            key: key.to_string(),
            value: value.as_ref().map(shown).filter(|text| !text.is_empty()),
        });
        value
    }

    /// As [`Self::note`], for a map in which a key may have no entry.
    fn find<V>(
        &self,
        map: &'static str,
        key: impl ToString,
        read: Result<V, MapError>,
        shown: impl FnOnce(&V) -> String,
    ) -> Option<V> {
        let read = match read {
            Err(MapError::KeyNotFound) => Ok(None),
            read => read.map(Some).map_err(failed("read", format!("map {map}"))),
        };
        let shown = |value: &Option<V>| value.as_ref().map(shown).unwrap_or_default();
        self.note(map, key, read, shown).flatten()
    }
}

impl Tables for Recorder<'_> {
    fn endpoint(&self, slot: u16) -> Option<&EndpointEntry> {
        let cell = self.endpoints.get(usize::from(slot));
        let read = match cell.and_then(OnceCell::get) {
            Some(known) => Ok(*known),
            None => self.data_plane.endpoint(slot),
        };
        let entry = self.note("ENDPOINTS", format!("slot {slot}"), read, endpoint_text)?;
        cell.map(|cell| cell.get_or_init(|| entry))
    }

    fn hints(&self, bucket: u32) -> u64 {
        let read = self.data_plane.hints(bucket);
        let key = format!("bucket {bucket}");
        self.note("HINTS", key, read, |slots| slots_text(*slots))
            .unwrap_or_default()
    }

    fn slot(&self, ifindex: u32) -> Option<u16> {
        let read = self.data_plane.ports.get(&ifindex, 0);
        let port = self.find("PORTS", format!("ifindex {ifindex}"), read, |port| {
            format!("network {}, slot {}", port.network, port.slot)
        });
        port.map(|port| port.slot)
    }

    fn fdb(&self, key: &FdbKey) -> Option<FdbEntry> {
        let read = self.data_plane.fdb.get(key, 0);
        let key = format!("network {}, {}", key.network, mac_text(key.mac));
        self.find("FDB", key, read, |entry| {
            format!("ifindex {}", entry.ifindex)
        })
    }

    fn is_linked(&self, key: &LinkKey) -> bool {
        let read = self.data_plane.links.get(key, 0);
        let (from, to) = (unit_bytes(key.from), unit_bytes(key.to));
        let key = format!(
            "network {}, {} to {}",
            key.network,
            mac_text(from),
            mac_text(to)
        );
        self.find("LINKS", key, read, |_| "linked".into()).is_some()
    }

    fn neighbour(&self, key: &NeighbourKey) -> Option<NeighbourEntry> {
        let read = self.data_plane.neighbours.get(key, 0);
        let key = format!("network {}, {}", key.network, address_text(&key.address));
        self.find("NEIGHBOURS", key, read, |entry| {
            let router = entry.flags & NEIGHBOUR_GATEWAY != 0;
            let gateway = if router { ", gateway" } else { "" };
            format!("{}{gateway}", mac_text(entry.mac))
        })
    }

    fn subnet(&self, address: &Address) -> Option<SubnetEntry> {
        let data = SubnetKey {
            reserved: [0; 4],
            address: *address,
        };
        let read = self.data_plane.subnets.get(&Key::new(160, data), 0);
        self.find("SUBNETS", address_text(address), read, |entry| {
            format!("network {}", entry.network)
        })
    }

    fn is_hairpin(&self, flow: &FlowKey) -> bool {
        let read = self.data_plane.hairpins.get(flow, 0);
        let end = |halves, port| {
            let address: Address = bytemuck::cast::<[u64; 2], _>(halves);
            format!("{} port {port}", address_text(&address))
        };
        let key = format!(
            "protocol {}, {} asks {}",
            flow.protocol,
            end(flow.client, flow.client_port),
            end(flow.endpoint, flow.endpoint_port)
        );
        self.find("HAIRPINS", key, read, |_| "by the host".into())
            .is_some()
    }

    /// As for every made frame: it is not counted against the limit.
    fn admit(&self, _slot: u16, _pps: u32) -> bool {
        true
    }

    fn reached(&self, check: Check) {
        self.checks.borrow_mut().push(check);
    }
}

/// Empty for nobody's slot.
fn endpoint_text(entry: &EndpointEntry) -> String {
    if entry.ifindex == 0 {
        return String::new();
    }
    let names = [
        (ENDPOINT_ICC_OFF, ", icc off"),
        (ENDPOINT_REDIRECT_OFF, ", redirect off"),
        (ENDPOINT_INTERNAL, ", internal"),
        (ENDPOINT_TRUSTED, ", trusted"),
        (ENDPOINT_REACHABLE, ", reachable"),
    ];
    let set = names.iter().filter(|(flag, _)| entry.flags & flag != 0);
    let flags: String = set.map(|(_, name)| *name).collect();
    let EndpointEntry {
        ifindex, network, ..
    } = entry;
    let mac = mac_text(unit_bytes(entry.mac));
    format!("ifindex {ifindex}, network {network}, {mac}{flags}")
}

/// The bytes that [`wire_mac`] made units of.
fn unit_bytes(units: [u16; 3]) -> [u8; 6] {
    let bytes = bytemuck::cast(units);
    debug_assert_eq!(wire_mac(bytes), units);
    bytes
}

/// Empty for no slots.
fn slots_text(slots: u64) -> String {
    let parts: [u16; 4] = [slots, slots >> 16, slots >> 32, slots >> 48]
        .map(|part| u16::try_from(part & 0xffff).expect("16 bits"));
    let known = parts.into_iter().filter(|slot| *slot != 0);
    let texts: Vec<String> = known.map(|slot| format!("slot {slot}")).collect();
    texts.join(", ")
}

fn address_text(address: &Address) -> String {
    Ipv6Addr::from(*address).to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use super::{address_text, slots_text, unit_bytes};
    use bridge_common::{mapped, wire_mac};

    #[test]
    fn what_is_read_is_shown_in_words() {
        assert_eq!(slots_text(0x0003_0000_0001), "slot 1, slot 3");
        assert_eq!(slots_text(0), "");
        assert_eq!(address_text(&mapped([192, 0, 2, 1])), "192.0.2.1");
        assert_eq!(unit_bytes(wire_mac([1, 2, 3, 4, 5, 6])), [1, 2, 3, 4, 5, 6]);
    }
}
