//! Random networks and endpoints, their addresses, and the commands that make them.

use std::fmt::Write as _;

use bridge_ebpf::testing::mac as nobody;

use crate::random::Random;

/// Sandboxes that endpoints are put into, and moved between.
pub(super) const SANDBOXES: usize = 6;

/// A network: `n0` and so on. What depends on time is off: the storm limit.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options of `net create`, each on or off"
)]
pub(super) struct Network {
    pub(super) icc: bool,
    pub(super) internal: bool,
    pub(super) port_security: bool,
    pub(super) ipv6: bool,
}

/// An endpoint: its network, the sandbox that it is in at first, if it is, and its addresses.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) network: usize,
    pub(super) sandbox: Option<usize>,
    pub(super) mac: [u8; 6],
    pub(super) trusted: bool,
    host: u8,
}

/// Networks with their endpoints, in the order of their making.
#[derive(Debug, Clone)]
pub(super) struct Topology {
    pub(super) networks: Vec<Network>,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Topology {
    /// One to three networks of two to five endpoints each; in the first they may meet.
    pub(super) fn random(random: &mut Random) -> Self {
        let mut networks = Vec::new();
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for network in 0..=random.below(3) {
            networks.push(Network {
                icc: network == 0 || random.below(3) != 0,
                internal: random.below(4) == 0,
                port_security: random.below(4) != 0,
                ipv6: random.below(4) != 0,
            });
            let first = random.below(SANDBOXES);
            for member in 0..2 + random.below(4) {
                // Slots are given from 1 up.
                let slot = u8::try_from(endpoints.len() + 1).expect("there are few");
                let mac = mac(random, slot, network, &endpoints);
                endpoints.push(Endpoint {
                    network,
                    sandbox: Some((first + member) % SANDBOXES),
                    mac,
                    trusted: random.below(4) == 0,
                    host: 10 + slot,
                });
            }
        }
        Self {
            networks,
            endpoints,
        }
    }

    /// One network of three endpoints, the second with a MAC address of a user's choice.
    pub(super) fn plain() -> Self {
        let mac = |slot| match slot {
            2 => nobody(slot),
            slot => [0x02, 0, 0, 0, 0, slot],
        };
        let endpoints = (1..=3).map(|slot| Endpoint {
            network: 0,
            sandbox: Some(usize::from(slot)),
            mac: mac(slot),
            trusted: false,
            host: 10 + slot,
        });
        Self {
            networks: vec![Network {
                icc: true,
                internal: false,
                port_security: true,
                ipv6: true,
            }],
            endpoints: endpoints.collect(),
        }
    }

    /// Whether nothing is asked of an endpoint's source addresses.
    pub(super) fn may_spoof(&self, endpoint: &Endpoint) -> bool {
        endpoint.trusted || !self.networks[endpoint.network].port_security
    }

    /// How many networks and endpoints there are.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.networks.len(), self.endpoints.len())
    }

    /// Endpoints of a network, by their numbers.
    pub(super) fn members(&self, network: usize) -> impl Iterator<Item = usize> {
        let is_in = move |&e: &usize| self.endpoints[e].network == network;
        (0..self.endpoints.len()).filter(is_in)
    }

    /// `net create` with these words makes a network.
    pub(super) fn create_words(&self, network: usize, datapath: &str) -> String {
        let Network {
            icc,
            internal,
            port_security,
            ipv6,
        } = self.networks[network];
        let mut words = format!("--datapath {datapath} --subnet 10.77.{network}.0/24");
        if ipv6 {
            let _ = write!(words, " --subnet fd77:0:0:{network}::/64");
        }
        if internal {
            words.push_str(" --internal");
        }
        let _ = write!(
            words,
            " -o com.docker.network.bridge.enable_icc={icc}\
             \x20-o bridge-user.port_security={port_security} -o bridge-user.storm_pps=0 n{network}"
        );
        words
    }

    /// `net connect` with these words puts an endpoint into a sandbox.
    pub(super) fn connect_words(&self, endpoint: usize, sandbox: usize) -> String {
        let Endpoint {
            network,
            mac,
            trusted,
            host,
            ..
        } = self.endpoints[endpoint];
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        let mut words = format!("--mac-address {mac} --ip 10.77.{network}.{host}");
        if self.networks[network].ipv6 {
            let _ = write!(words, " --ip6 fd77:0:0:{network}::{host:x}");
        }
        if trusted {
            words.push_str(" --trusted");
        }
        let _ = write!(words, " n{network} s{sandbox}");
        words
    }
}

impl Endpoint {
    pub(super) fn ip4(&self) -> [u8; 4] {
        ip4(self.network, self.host)
    }

    pub(super) fn ip6(&self) -> [u8; 16] {
        ip6(self.network, self.host)
    }

    /// The link-local address of its MAC address (RFC 4291, appendix A).
    pub(super) fn link_local(&self) -> [u8; 16] {
        let [a, b, c, d, e, f] = self.mac;
        let mut address = [0; 16];
        address[..2].copy_from_slice(&[0xfe, 0x80]);
        address[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
        address
    }
}

/// Address of a host in a network; 1 is the gateway.
pub(super) fn ip4(network: usize, host: u8) -> [u8; 4] {
    [10, 77, small(network), host]
}

/// As [`ip4`].
pub(super) fn ip6(network: usize, host: u8) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&[0xfd, 0x77]);
    address[7] = small(network);
    address[15] = host;
    address
}

/// MAC address of a network's bridge, the same on all hosts.
pub(super) fn gateway_mac(network: usize) -> [u8; 6] {
    [0x06, 0x77, 0, 0, 0, small(network)]
}

fn small(network: usize) -> u8 {
    u8::try_from(network).expect("there are few")
}

/// Mostly an address as bridge-user assigns it, ending in the slot; else one of a user's choice, that
/// may end in another's slot, or be another one's in another network.
fn mac(random: &mut Random, slot: u8, network: usize, others: &[Endpoint]) -> [u8; 6] {
    let foreign: Vec<&Endpoint> = others.iter().filter(|o| o.network != network).collect();
    let chosen = match random.below(8) {
        0 if !foreign.is_empty() => random.of(&foreign).mac,
        0..3 => [
            0x52,
            0x54,
            random.byte(),
            random.byte(),
            0,
            1 + random.byte() % 8,
        ],
        3 => nobody(random.byte()),
        _ => [0x02, random.byte(), random.byte(), random.byte(), 0, slot],
    };
    let taken = |other: &Endpoint| other.network == network && other.mac == chosen;
    if others.iter().any(taken) {
        return mac(random, slot, network, others);
    }
    chosen
}
