//! A topology on a host of its own, made by bridge-user's commands and then silent: every frame on
//! its links is a test's.
//!
//! What has to be the same on two hosts is set by hand: MAC addresses, the bridges' too. Kernels say
//! nothing of their own: sandboxes and bridges lose their addresses, IPv6 and ARP (the program knows
//! them all the same), nothing is routed, and what depends on time, multicast snooping, is off.

use aya::maps::{Array, HashMap, MapData, PerCpuArray};
use bridge_common::{FdbEntry, FdbKey, Hints, PortEntry, PortStats, wire_mac};
use bridge_ebpf::hint_bucket;
use nix::net::if_::if_nametoindex;

use super::counted::Counted;
use super::topology::{SANDBOXES, Topology, gateway_mac};
use crate::host::{Arrival, Host, Tap, Wire};
use crate::program::map;

/// A host that the frames of a case are played on.
pub(super) struct Stage {
    host: Host,
    pub(super) topology: Topology,
    /// Whether legs have queues of their own, as with XDP. Said of the other host too: both are sent
    /// the same.
    pub(super) queues: bool,
    /// The bridges, as the host's stack hears them.
    bridges: Vec<Tap>,
    endpoints: Vec<Option<Placed>>,
    counters: PerCpuArray<MapData, PortStats>,
}

/// An endpoint that is connected.
struct Placed {
    sandbox: usize,
    slot: u16,
    host_leg: String,
    wire: Wire,
}

impl Stage {
    pub(super) fn build(topology: &Topology, datapath: &str, queues: bool) -> Self {
        let host = Host::new();
        for network in 0..topology.networks.len() {
            host.create(&topology.create_words(network, datapath));
            let mac = gateway_mac(network).map(|byte| format!("{byte:02x}"));
            // The next command sees that the bridge is not as the row says, and makes it so.
            host.change_rows(&format!(
                "UPDATE networks SET bridge_mac = '{}' WHERE name = 'n{network}'",
                mac.join(":")
            ));
        }
        for sandbox in 0..SANDBOXES {
            host.call(&format!("ip netns add s{sandbox}")).ok();
        }
        host.bridge_user("reconcile").ok();
        let bridges = (0..topology.networks.len())
            .map(|network| {
                let bridge = host.bridge_of(&format!("n{network}"));
                // A bridge that was down forgets what it had to report of groups.
                let forget = format!(
                    "ip link set {bridge} type bridge mcast_snooping 0; \
                     ip link set {bridge} down; ip link set {bridge} up; {}",
                    silence(&bridge)
                );
                host.call("sh -c").arg(&forget).ok();
                host.tap(&bridge)
            })
            .collect();
        let forwarding = "net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0";
        host.call(&format!("sysctl -qw {forwarding}")).ok();
        let counters = host.inside(|| map("STATS"));
        let mut stage = Self {
            host,
            topology: topology.clone(),
            queues,
            bridges,
            endpoints: topology.endpoints.iter().map(|_| None).collect(),
            counters,
        };
        stage.reset();
        stage
    }

    /// Makes every endpoint be where it was at first.
    pub(super) fn reset(&mut self) {
        for endpoint in 0..self.endpoints.len() {
            if self.sandbox_of(endpoint) != self.topology.endpoints[endpoint].sandbox {
                self.disconnect(endpoint);
            }
        }
        for endpoint in 0..self.endpoints.len() {
            if let Some(first) = self.topology.endpoints[endpoint].sandbox {
                self.connect(endpoint, first);
            }
        }
        self.arrived();
    }

    fn sandbox_of(&self, endpoint: usize) -> Option<usize> {
        self.endpoints[endpoint]
            .as_ref()
            .map(|placed| placed.sandbox)
    }

    /// Connects an endpoint, unless it is, or its network has another one in the sandbox.
    pub(super) fn connect(&mut self, endpoint: usize, sandbox: usize) {
        let network = self.topology.endpoints[endpoint].network;
        let is_there = |other| self.sandbox_of(other) == Some(sandbox);
        if self.endpoints[endpoint].is_some() || self.topology.members(network).any(is_there) {
            return;
        }
        let made = self
            .host
            .connect(&self.topology.connect_words(endpoint, sandbox));
        let wire = self.host.wire(&made);
        self.host
            .exec(&made.sandbox, "sh -c")
            .arg(&silence(&made.interface))
            .ok();
        let slot = self.host.inside(|| {
            let ports: HashMap<MapData, u32, PortEntry> = map("PORTS");
            let index = if_nametoindex(made.host_leg.as_str()).expect("the leg is there");
            ports.get(&index, 0).expect("the port is known").slot
        });
        self.endpoints[endpoint] = Some(Placed {
            sandbox,
            slot,
            host_leg: made.host_leg,
            wire,
        });
        // What the kernel announced.
        self.arrived();
    }

    /// Disconnects an endpoint, if it is connected.
    pub(super) fn disconnect(&mut self, endpoint: usize) {
        if let Some(Placed { sandbox, .. }) = self.endpoints[endpoint].take() {
            let network = self.topology.endpoints[endpoint].network;
            let words = format!("net disconnect n{network} s{sandbox}");
            self.host.bridge_user(&words).ok();
        }
    }

    pub(super) fn is_connected(&self, endpoint: usize) -> bool {
        self.endpoints[endpoint].is_some()
    }

    /// Breaks the data plane: what is for an endpoint with a chosen MAC address goes to another one.
    pub(super) fn mislead(&self, endpoint: usize, wrong: usize) {
        let mac = self.topology.endpoints[endpoint].mac;
        let leg = self.placed(wrong).host_leg.as_str();
        self.host.inside(|| {
            let mut fdb: HashMap<MapData, FdbKey, FdbEntry> = map("FDB");
            let mut keys = fdb.keys().filter_map(Result::ok);
            let key = keys.find(|key| key.mac == mac).expect("it is there");
            let mut entry = fdb.get(&key, 0).expect("it is there");
            entry.ifindex = if_nametoindex(leg).expect("the leg is there");
            fdb.insert(key, entry, 0).expect("there is room");
            // Without a hint the program asks the FDB.
            let mut hints: Array<MapData, Hints> = map("HINTS");
            let bucket = hint_bucket(wire_mac(mac));
            hints
                .set(bucket, Hints::default(), 0)
                .expect("there is one");
        });
    }

    pub(super) fn send(&self, from: usize, frame: &[u8]) {
        self.placed(from).wire.send(frame);
    }

    fn placed(&self, endpoint: usize) -> &Placed {
        let placed = self.endpoints[endpoint].as_ref();
        placed.expect("the caller asks for connected ones")
    }

    /// What arrived since the last call: at each endpoint, then at each bridge.
    pub(super) fn arrived(&self) -> Vec<Vec<Arrival>> {
        let endpoints = self.endpoints.iter().map(|placed| {
            let wire = placed.as_ref().map(|placed| &placed.wire);
            wire.map(Wire::arrived).unwrap_or_default()
        });
        endpoints
            .chain(self.bridges.iter().map(Tap::arrived))
            .collect()
    }

    /// What the program counted of an endpoint's frames until now.
    pub(super) fn counted(&self, endpoint: usize) -> Counted {
        let slot = u32::from(self.placed(endpoint).slot);
        let stats = self
            .counters
            .get(&slot, 0)
            .expect("every slot has counters");
        stats.iter().map(Counted::from).sum()
    }
}

/// A script after which the kernel sends nothing out of a link on its own, and answers nothing.
fn silence(link: &str) -> String {
    format!(
        "set -e; ip addr flush dev {link}; ip link set {link} arp off; \
         echo 1 >/proc/sys/net/ipv6/conf/{link}/disable_ipv6"
    )
}
