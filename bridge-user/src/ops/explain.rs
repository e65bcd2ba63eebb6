//! What becomes of a frame, and why: the real program is asked.

use std::net::IpAddr;

use super::frame::{self, Ends, Payload};
use super::lock::Object;
use super::next_hop::{self, NextHop, next_hop};
use super::ports::PortDetails;
use super::{Context, Error};
use crate::kernel::bpf::{Check, DataPlane, Road, Trial};
use crate::model::Network;

/// What is to be explained.
#[derive(Debug, Clone)]
pub struct ExplainSpec {
    /// The sender: an endpoint's name, or its sandbox.
    pub from: String,
    /// The receiver: an endpoint's name, alias or sandbox, or an address.
    pub to: String,
    /// What is sent.
    pub payload: Payload,
    /// The network that it is sent on, else the one that leads there.
    pub network: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It had nothing against the frame.
    Passed,
    /// It is not asked about such a frame.
    NotAsked,
    /// It decided.
    Decided,
    /// It was decided before.
    NotReached,
}

/// What the program decided, and on what.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The sender's port.
    pub from: PortDetails,
    /// Index of its host leg.
    pub ifindex: u32,
    /// The receiver's address.
    pub address: IpAddr,
    /// The sender's.
    pub source: IpAddr,
    /// Where the frame is sent to.
    pub destination_mac: [u8; 6],
    /// The frame is not for the address but asks who has it, for nobody of the network has.
    pub is_request: bool,
    /// Length of the frame in bytes.
    pub length: usize,
    /// The decision, and what it was taken on.
    pub trial: Trial,
    /// Every check, in order.
    pub checks: Vec<(Check, Outcome)>,
    /// The port that the frame is redirected to.
    pub target: Option<PortDetails>,
}

impl Context {
    /// Explains what becomes of a frame. Nothing is counted and nothing changes.
    pub fn explain(&mut self, spec: &ExplainSpec) -> Result<Explanation, Error> {
        let network = match &spec.network {
            Some(name) => {
                let network = self.find_network(name)?;
                Some(network.ok_or_else(|| Error::NetworkNotFound(name.clone()))?)
            }
            None => None,
        };
        let ports = self.ports()?;
        let (from, address) = ends(&ports, spec, network.as_ref())?;
        let name = || from.endpoint.name.to_string();
        let ifindex = from.endpoint.ifindex.ok_or_else(|| Error::NoPort(name()))?;
        let hop = next_hop(&ports, from, address, spec.payload)?;
        let source = next_hop::source(from, address).ok_or_else(|| Error::NoFamily {
            endpoint: name(),
            family: if address.is_ipv6() { "IPv6" } else { "IPv4" },
        })?;
        let frame = make(from, address, source, hop, spec.payload);
        let _lock = self.lock(Object::Decision)?;
        // The pinned programs, of whichever build they are.
        let data_plane = DataPlane::open(self.owner)?.ok_or(Error::NoDataPlane)?;
        let trial = data_plane.explain(ifindex, &frame)?;
        let target = match trial.explained.road {
            Road::Fast { ifindex } => ports
                .iter()
                .find(|port| port.endpoint.ifindex == Some(ifindex))
                .cloned(),
            _ => None,
        };
        let [a, b, c, d, e, f, ..] = frame[..] else {
            unreachable!("a frame has an Ethernet header")
        };
        Ok(Explanation {
            from: from.clone(),
            ifindex,
            address,
            source,
            destination_mac: [a, b, c, d, e, f],
            is_request: hop == NextHop::Unknown,
            length: frame.len(),
            checks: outcomes(&trial),
            trial,
            target,
        })
    }
}

/// The frame that the sender's kernel makes.
fn make(
    from: &PortDetails,
    address: IpAddr,
    source: IpAddr,
    hop: NextHop,
    payload: Payload,
) -> Vec<u8> {
    let source_mac = from.endpoint.mac.bytes();
    let made = match hop {
        NextHop::Station(mac) | NextHop::Gateway(mac) | NextHop::Group(mac) => frame::packet(
            &Ends {
                source_mac,
                destination_mac: mac,
                source,
                destination: address,
            },
            payload,
        ),
        NextHop::Unknown => frame::request(source_mac, source, address),
    };
    made.expect("the source is of the destination's family")
}

/// The sender's port, and the address that is meant: those two that are on one network, if any are.
fn ends<'p>(
    ports: &'p [PortDetails],
    spec: &ExplainSpec,
    network: Option<&Network>,
) -> Result<(&'p PortDetails, IpAddr), Error> {
    let called: Vec<&PortDetails> = ports
        .iter()
        .filter(|port| port.is_endpoint(&spec.from))
        .collect();
    let on_network = |port: &&PortDetails| network.is_none_or(|n| port.network.id == n.id);
    let senders: Vec<&PortDetails> = called.iter().copied().filter(on_network).collect();
    let first = *senders.first().ok_or_else(|| match network {
        Some(network) if !called.is_empty() => Error::NotConnected {
            sandbox: spec.from.clone(),
            network: network.name.to_string(),
        },
        _ => Error::NoEndpoint(spec.from.clone()),
    })?;
    if let Ok(address) = spec.to.parse::<IpAddr>() {
        // IPv4 in IPv6's clothes goes as IPv4 (`tcp_v6_connect`, net/ipv6/tcp_ipv6.c, v6.18).
        let address = address.to_canonical();
        let near = |port: &&&PortDetails| next_hop::is_in_subnet(port, address);
        return Ok((senders.iter().find(near).copied().unwrap_or(first), address));
    }
    let receivers: Vec<&PortDetails> = ports
        .iter()
        .filter(|port| {
            let mut aliases = port.endpoint.aliases.iter();
            port.is_endpoint(&spec.to) || aliases.any(|alias| alias.as_str() == spec.to)
        })
        .collect();
    let together = senders.iter().find_map(|sender| {
        let same = |port: &&&PortDetails| port.network.id == sender.network.id;
        receivers.iter().find(same).map(|port| (*sender, *port))
    });
    let (sender, receiver) = match (together, receivers.first()) {
        (Some(both), _) => both,
        (None, Some(receiver)) => (first, *receiver),
        (None, None) => return Err(Error::NoEndpoint(spec.to.clone())),
    };
    let common = [false, true].into_iter().find_map(|ipv6| {
        sender.endpoint.address(ipv6)?;
        receiver.endpoint.address(ipv6)
    });
    let address = common.or_else(|| receiver.endpoint.addresses.first().map(ipnet::IpNet::addr));
    let address = address.ok_or_else(|| Error::NoEndpoint(spec.to.clone()))?;
    Ok((sender, address))
}

/// How every check went, by who decided and which were made.
fn outcomes(trial: &Trial) -> Vec<(Check, Outcome)> {
    let decided = trial.explained.check;
    let outcome = |check: Check| {
        if check == decided {
            Outcome::Decided
        } else if check > decided {
            Outcome::NotReached
        } else if trial.checks.contains(&check) {
            Outcome::Passed
        } else {
            Outcome::NotAsked
        }
    };
    Check::ALL
        .into_iter()
        .map(|check| (check, outcome(check)))
        .collect()
}
