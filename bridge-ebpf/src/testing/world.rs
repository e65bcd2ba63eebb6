//! Tables in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bridge_common::{
    Address, ENDPOINT_REACHABLE, EndpointEntry, FdbEntry, FdbKey, FlowKey, HINT_BUCKETS, LinkKey,
    NEIGHBOUR_GATEWAY, NeighbourEntry, NeighbourKey, PortEntry, SubnetEntry, mapped, wire_mac,
};

use crate::{Tables, hint_bucket, with_hint};

/// What the maps hold.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Map `ENDPOINTS`, by slot.
    pub endpoints: BTreeMap<u16, EndpointEntry>,
    /// Map `HINTS`, by bucket.
    pub hints: BTreeMap<u32, u64>,
    /// Map `PORTS`, by ifindex.
    pub ports: BTreeMap<u32, PortEntry>,
    /// Map `FDB`.
    pub fdb: HashMap<FdbKey, FdbEntry>,
    /// Map `LINKS`.
    pub links: BTreeSet<LinkKey>,
    /// Map `HAIRPINS`.
    pub hairpins: HashSet<FlowKey>,
    /// Map `NEIGHBOURS`.
    pub neighbours: HashMap<NeighbourKey, NeighbourEntry>,
    /// Map `SUBNETS`: first address and length in bits of 128, smallest subnets first.
    pub subnets: Vec<(Address, u32, SubnetEntry)>,
    /// Whether the storm limit is reached.
    pub storm: bool,
}

impl World {
    /// Index of the host leg of the endpoint in a slot.
    pub fn ifindex(slot: u16) -> u32 {
        100 + u32::from(slot)
    }

    /// Index of a network's bridge.
    pub fn bridge(network: u16) -> u32 {
        50 + u32::from(network)
    }

    /// MAC address of a network's bridge.
    pub fn gateway_mac(network: u16) -> [u8; 6] {
        let [high, low] = network.to_be_bytes();
        [0x06, 0, 0, 0, high, low]
    }

    /// MAC address that we assign to the endpoint in a slot.
    pub fn mac(slot: u16) -> [u8; 6] {
        let [high, low] = slot.to_be_bytes();
        [0x02, 0xaa, 0xbb, 0xcc, high, low]
    }

    /// IPv4 address of a host in a network; 1 is the gateway, endpoints have their slot and 10.
    pub fn ip4(network: u16, host: u8) -> [u8; 4] {
        [10, 0, network.to_be_bytes()[1], host]
    }

    /// IPv6 address of a host in a network.
    pub fn ip6(network: u16, host: u8) -> Address {
        let [high, low] = network.to_be_bytes();
        [0xfd, 0, 0, 0, 0, 0, high, low, 0, 0, 0, 0, 0, 0, 0, host]
    }

    /// Host number of the endpoint in a slot.
    pub fn host(slot: u16) -> u8 {
        10 + slot.to_be_bytes()[1]
    }

    /// Makes a network with its subnets and gateways.
    pub fn add_network(&mut self, network: u16) {
        let v4 = mapped(Self::ip4(network, 1));
        let v6 = Self::ip6(network, 1);
        for (gateway, first, length) in [
            (v4, mapped(Self::ip4(network, 0)), 96 + 24),
            (v6, Self::ip6(network, 0), 64),
        ] {
            let entry = SubnetEntry {
                gateway,
                network,
                reserved: [0; 3],
            };
            self.subnets.push((first, length, entry));
            let key = NeighbourKey {
                address: gateway,
                network,
                reserved: [0; 3],
            };
            let mac = Self::gateway_mac(network);
            self.neighbours.insert(
                key,
                NeighbourEntry {
                    mac,
                    flags: NEIGHBOUR_GATEWAY,
                },
            );
        }
    }

    /// Makes an endpoint that is reachable, with the MAC address that we assign, or another one.
    pub fn add_endpoint(&mut self, network: u16, slot: u16, flags: u16, mac: Option<[u8; 6]>) {
        let mac = mac.unwrap_or(Self::mac(slot));
        let (ipv4, ipv6) = (
            Self::ip4(network, Self::host(slot)),
            Self::ip6(network, Self::host(slot)),
        );
        let ifindex = Self::ifindex(slot);
        let half = |at: usize| u64::from_ne_bytes(ipv6[at..at + 8].try_into().expect("eight"));
        let entry = EndpointEntry {
            ifindex,
            network,
            flags: flags | ENDPOINT_REACHABLE,
            mac: wire_mac(mac),
            gateway_mac: wire_mac(Self::gateway_mac(network)),
            ipv4: u32::from_ne_bytes(ipv4),
            bridge: Self::bridge(network),
            storm_pps: 1000,
            ipv6: [half(0), half(8)],
            published: [0; 2],
            reserved: [0; 3],
        };
        self.endpoints.insert(slot, entry);
        if mac[4..] != slot.to_be_bytes() {
            let bucket = self.hints.entry(hint_bucket(wire_mac(mac))).or_default();
            *bucket = with_hint(*bucket, slot).expect("there is room");
        }
        self.ports.insert(ifindex, PortEntry { network, slot });
        self.fdb.insert(
            FdbKey { mac, network },
            FdbEntry {
                ifindex,
                network,
                reserved: 0,
            },
        );
        for address in [mapped(ipv4), ipv6] {
            let key = NeighbourKey {
                address,
                network,
                reserved: [0; 3],
            };
            self.neighbours
                .insert(key, NeighbourEntry { mac, flags: 0 });
        }
    }

    /// Hints that lead nowhere: none, and every bucket full of slots that are not right, the last of
    /// them nobody's.
    pub fn odd_hints() -> [BTreeMap<u32, u64>; 2] {
        let wrong = u64::MAX << 48 | 0x0004_0005_0008;
        [
            BTreeMap::new(),
            (0..HINT_BUCKETS).map(|bucket| (bucket, wrong)).collect(),
        ]
    }

    /// A MAC address that a user chose: its end names another endpoint's slot.
    pub const CHOSEN: [u8; 6] = [0x52, 0x54, 0, 0x12, 0, 1];
}

impl Tables for World {
    fn endpoint(&self, slot: u16) -> Option<&EndpointEntry> {
        self.endpoints.get(&slot)
    }

    fn hints(&self, bucket: u32) -> u64 {
        self.hints.get(&bucket).copied().unwrap_or_default()
    }

    fn slot(&self, ifindex: u32) -> Option<u16> {
        self.ports.get(&ifindex).map(|port| port.slot)
    }

    fn fdb(&self, key: &FdbKey) -> Option<FdbEntry> {
        self.fdb.get(key).copied()
    }

    fn is_linked(&self, key: &LinkKey) -> bool {
        self.links.contains(key)
    }

    fn neighbour(&self, key: &NeighbourKey) -> Option<NeighbourEntry> {
        self.neighbours.get(key).copied()
    }

    fn subnet(&self, address: &Address) -> Option<SubnetEntry> {
        let bits = u128::from_be_bytes(*address);
        let covers = |first: &Address, length: u32| {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            bits & mask == u128::from_be_bytes(*first) & mask
        };
        let found = self
            .subnets
            .iter()
            .filter(|(first, length, _)| covers(first, *length));
        found
            .max_by_key(|(_, length, _)| *length)
            .map(|(_, _, entry)| *entry)
    }

    fn is_hairpin(&self, flow: &FlowKey) -> bool {
        self.hairpins.contains(flow)
    }

    fn admit(&self, _slot: u16, _pps: u32) -> bool {
        !self.storm
    }
}
