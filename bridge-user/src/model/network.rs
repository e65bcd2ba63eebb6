//! A network: a group of endpoints that share a bridge, addresses and a policy.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::SystemTime;

use ipnet::IpNet;

use super::{
    Gateway, Id, InterfaceName, MacAddress, NetworkName, Options, Pool, PublishRoad, State,
};

/// Name of the default network, made on first use.
pub const BUILTIN_BRIDGE: &str = "bridge";

/// Name of the default network's bridge.
const DEFAULT_BRIDGE: &str = "bu0";
const BRIDGE_PREFIX: &str = "bu-";

/// How endpoints are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A Linux bridge with the eBPF fast path on its ports.
    Bridge,
    /// The host's own network stack; one built-in network.
    Host,
    /// No network at all; one built-in network.
    None,
}

impl Driver {
    /// The driver's name; `null` is Docker's word for the driver of the network `none`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::None => "null",
        }
    }
}

/// Which program forwards frames between the endpoints of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datapath {
    /// The eBPF program on the host legs' TC ingress.
    Tc,
    /// The one on the host legs' XDP, native, and that on TC ingress for what it passes on.
    Xdp,
    /// None: every frame goes by the Linux bridge. The program still checks.
    Off,
}

impl Datapath {
    /// The word for it in commands and state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tc => "tc",
            Self::Xdp => "xdp",
            Self::Off => "off",
        }
    }
}

impl FromStr for Datapath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "tc" => Ok(Self::Tc),
            "xdp" => Ok(Self::Xdp),
            "off" => Ok(Self::Off),
            _ => Err(format!(
                "datapath {text:?} is unknown: it is tc, xdp or off"
            )),
        }
    }
}

impl fmt::Display for Datapath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A network as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its identity.
    pub id: Id,
    /// Its name, unique.
    pub name: NetworkName,
    /// Its number in the BPF maps, unique, from 1 up.
    pub number: u16,
    /// How far creation or removal has come.
    pub state: State,
    /// When it was created.
    pub created: SystemTime,
    /// Its Linux bridge.
    pub bridge: InterfaceName,
    /// The bridge's MAC address, set and kept.
    pub bridge_mac: MacAddress,
    /// No default route, nothing to or from other networks.
    pub internal: bool,
    /// Which program forwards.
    pub datapath: Datapath,
    /// One pool a family, IPv4 first.
    pub pools: Vec<Pool>,
    /// The options as given.
    pub raw_options: BTreeMap<String, String>,
    /// What they mean.
    pub options: Options,
    /// The labels as given.
    pub labels: BTreeMap<String, String>,
}

impl Network {
    /// Name of the bridge of the network `name`, where the user gave none.
    pub fn bridge_name(name: &NetworkName, id: &Id) -> InterfaceName {
        let bridge = if name.as_str() == BUILTIN_BRIDGE {
            DEFAULT_BRIDGE.to_owned()
        } else {
            format!("{BRIDGE_PREFIX}{}", id.short())
        };
        bridge.parse().expect("15 bytes of an id make a name")
    }

    /// Whether an interface has such a name as [`Self::bridge_name`] gives, and nobody else.
    pub fn is_bridge_name(interface: &str) -> bool {
        let id = interface.strip_prefix(BRIDGE_PREFIX);
        interface == DEFAULT_BRIDGE || id.is_some_and(Id::is_short)
    }

    /// Whether it is the default network, where endpoints do not know each other by name.
    pub fn is_default(&self) -> bool {
        self.name.as_str() == BUILTIN_BRIDGE
    }

    /// Whether its endpoints find each other by name: on the default network only where the user
    /// says so, as with Docker.
    pub fn tells_names(&self) -> bool {
        self.options.dns.unwrap_or(!self.is_default())
    }

    /// The gateway addresses that are on its bridge, IPv4 first.
    pub fn bridge_addresses(&self) -> impl Iterator<Item = IpNet> {
        let inhibited = |ip: IpNet| ip.addr().is_ipv4() && self.options.inhibit_ipv4;
        let gateways = self.pools.iter().map(Pool::gateway_cidr);
        gateways.filter(move |gateway| !inhibited(*gateway))
    }

    /// What the host does as its gateway, a family each that it has; nothing for an internal one.
    pub fn gateways(&self) -> impl Iterator<Item = Gateway> {
        let pools = self.pools.iter().filter(|_| !self.internal);
        pools.map(|pool| {
            let ipv6 = pool.subnet().addr().is_ipv6();
            self.options.gateways.of_family(ipv6)
        })
    }

    /// Whether the host has to forward packets of a family for it.
    pub fn needs_forwarding(&self, ipv6: bool) -> bool {
        let mut gateways = self.bridge_addresses();
        !self.internal && gateways.any(|gateway| gateway.addr().is_ipv6() == ipv6)
    }

    /// Whether what comes from outside to its published ports may pass the firewall by, if no rule of
    /// others has to see each packet. Where endpoints are
    /// reached directly, too, a packet in the network does not say what its sender asked for.
    pub fn has_flows(&self) -> bool {
        let routed = [false, true].map(|ipv6| self.options.gateways.of_family(ipv6).routed);
        self.options.publish != PublishRoad::Nft
            && self.datapath != Datapath::Off
            && !self.internal
            && routed == [false; 2]
    }

    /// Whether that is so whatever others' rules are.
    pub fn asks_for_flows(&self) -> bool {
        self.options.publish == PublishRoad::Bpf
    }

    /// Whether endpoints get IPv6 addresses.
    pub fn ipv6(&self) -> bool {
        self.pools.iter().any(|pool| pool.subnet().addr().is_ipv6())
    }

    /// The pool whose subnet has `address`.
    pub fn pool_of(&self, address: IpAddr) -> Option<&Pool> {
        self.pools
            .iter()
            .find(|pool| pool.subnet().contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_are_known_by_their_names() {
        let id = Id::from_bytes([0xab; 32]);
        for (network, bridge) in [("bridge", "bu0"), ("web", "bu-abababababab")] {
            let name = Network::bridge_name(&network.parse().unwrap(), &id);
            assert_eq!(name.as_str(), bridge);
            assert!(Network::is_bridge_name(bridge));
        }
        for other in ["bu1", "bu-", "bu-ababababab", "bu-shop-network", "br0"] {
            assert!(!Network::is_bridge_name(other), "{other}");
        }
    }
}
