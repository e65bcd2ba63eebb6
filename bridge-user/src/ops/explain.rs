//! What becomes of a frame, and why: the real program is asked.

use std::net::IpAddr;

use super::frame::{self, Ends, Payload};
use super::lock::Object;
use super::ports::PortDetails;
use super::{Context, Error};
use crate::kernel::bpf::{Check, DataPlane, Explained, Lookup, Road};

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
    /// Where the frame is sent to.
    pub destination_mac: [u8; 6],
    /// The frame is not for the address but asks who has it, for nobody of the network has.
    pub is_request: bool,
    /// Length of the frame in bytes.
    pub length: usize,
    /// The decision.
    pub explained: Explained,
    /// Every check, in order.
    pub checks: Vec<(Check, Outcome)>,
    /// The entries that were looked up.
    pub lookups: Vec<Lookup>,
    /// The port that the frame is redirected to.
    pub target: Option<PortDetails>,
}

/// Where a sender's kernel sends what is for an address.
enum NextHop {
    Station([u8; 6]),
    Gateway([u8; 6]),
    /// Nobody is known to have it: it is asked for.
    Unknown,
}

impl Context {
    /// Explains what becomes of a frame. Nothing is counted and nothing changes.
    pub fn explain(&mut self, spec: &ExplainSpec) -> Result<Explanation, Error> {
        let ports = self.ports()?;
        let (from, address) = ends(&ports, spec)?;
        let name = || from.endpoint.name.to_string();
        let ifindex = from.endpoint.ifindex.ok_or_else(|| Error::NoPort(name()))?;
        let source = from.endpoint.address(address.is_ipv6());
        let source = source.ok_or_else(|| Error::NoFamily {
            endpoint: name(),
            family: if address.is_ipv6() { "IPv6" } else { "IPv4" },
        })?;
        let hop = next_hop(&ports, from, address);
        let source_mac = from.endpoint.mac.bytes();
        let made = match hop {
            NextHop::Station(mac) | NextHop::Gateway(mac) => frame::packet(
                &Ends {
                    source_mac,
                    destination_mac: mac,
                    source,
                    destination: address,
                },
                spec.payload,
            ),
            NextHop::Unknown => frame::request(source_mac, source, address),
        };
        let made = made.expect("the source is of the destination's family");
        let _lock = self.lock(Object::Decision)?;
        // The pinned programs, of whichever build they are.
        let data_plane = DataPlane::open(self.owner)?.ok_or(Error::NoDataPlane)?;
        let explained = data_plane.explain(ifindex, &made)?;
        let lookups = lookups(&data_plane, from, ifindex, address, &hop, explained.check)?;
        let target = match explained.road {
            Road::Fast { ifindex } => ports
                .iter()
                .find(|port| port.endpoint.ifindex == Some(ifindex))
                .cloned(),
            _ => None,
        };
        let [a, b, c, d, e, f, ..] = made[..] else {
            unreachable!("a frame has an Ethernet header")
        };
        Ok(Explanation {
            from: from.clone(),
            ifindex,
            address,
            destination_mac: [a, b, c, d, e, f],
            is_request: matches!(hop, NextHop::Unknown),
            length: made.len(),
            explained,
            checks: outcomes(from, &hop, explained.check),
            lookups,
            target,
        })
    }
}

/// The entries that the program read for its decision.
fn lookups(
    data_plane: &DataPlane,
    from: &PortDetails,
    ifindex: u32,
    address: IpAddr,
    hop: &NextHop,
    decided: Check,
) -> Result<Vec<Lookup>, Error> {
    let network = from.network.number;
    let mut lookups = data_plane.look_up_port(ifindex)?;
    match hop {
        NextHop::Unknown if decided >= Check::Neighbour => {
            lookups.push(data_plane.look_up_neighbour(network, address)?);
        }
        NextHop::Station(mac) if decided >= Check::Fdb => {
            lookups.push(data_plane.look_up_station(network, *mac)?);
        }
        _ => {}
    }
    if decided >= Check::Routing && !matches!(hop, NextHop::Unknown) {
        lookups.push(data_plane.look_up_subnet(address)?);
    }
    Ok(lookups)
}

/// The sender's port, and the address that is meant: those two that are on one network, if any are.
fn ends<'p>(
    ports: &'p [PortDetails],
    spec: &ExplainSpec,
) -> Result<(&'p PortDetails, IpAddr), Error> {
    let on_network = |port: &&PortDetails| {
        let wanted = spec.network.as_ref();
        wanted.is_none_or(|name| port.network.name.as_str() == name)
    };
    let senders: Vec<&PortDetails> = ports
        .iter()
        .filter(|port| port.is_endpoint(&spec.from))
        .filter(on_network)
        .collect();
    let first = *senders
        .first()
        .ok_or_else(|| Error::NothingCalled(spec.from.clone()))?;
    if let Ok(address) = spec.to.parse::<IpAddr>() {
        let near = |port: &&&PortDetails| on_link(port, address);
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
        (None, None) => return Err(Error::NothingCalled(spec.to.clone())),
    };
    let common = [false, true].into_iter().find_map(|ipv6| {
        sender.endpoint.address(ipv6)?;
        receiver.endpoint.address(ipv6)
    });
    let address = common.or_else(|| receiver.endpoint.addresses.first().map(ipnet::IpNet::addr));
    let address = address.ok_or_else(|| Error::NothingCalled(spec.to.clone()))?;
    Ok((sender, address))
}

fn on_link(port: &PortDetails, address: IpAddr) -> bool {
    let mut pools = port.network.pools.iter();
    pools.any(|pool| pool.subnet().contains(&address))
}

fn next_hop(ports: &[PortDetails], from: &PortDetails, address: IpAddr) -> NextHop {
    let network = &from.network;
    let bridge = network.bridge_mac.bytes();
    if !on_link(from, address) {
        return NextHop::Gateway(bridge);
    }
    if network.pools.iter().any(|pool| pool.gateway() == address) {
        return NextHop::Gateway(bridge);
    }
    let has_it = |port: &&PortDetails| {
        port.network.id == network.id && port.endpoint.address(address.is_ipv6()) == Some(address)
    };
    match ports.iter().find(has_it) {
        Some(port) => NextHop::Station(port.endpoint.mac.bytes()),
        None => NextHop::Unknown,
    }
}

/// How every check went, from who decided and what is not asked about such a frame
/// (`bridge_ebpf::decide`).
fn outcomes(from: &PortDetails, hop: &NextHop, decided: Check) -> Vec<(Check, Outcome)> {
    let trusted = from.endpoint.trusted || !from.network.options.port_security;
    let is_asked = |check: Check| match check {
        Check::SourceMac | Check::Headers | Check::SourceAddress => !trusted,
        Check::Neighbour | Check::Storm => matches!(hop, NextHop::Unknown),
        Check::Icc => !matches!(hop, NextHop::Gateway(_)),
        Check::Fdb => matches!(hop, NextHop::Station(_)),
        Check::Routing => !matches!(hop, NextHop::Unknown),
        Check::Port | Check::Ethernet | Check::Bridge => true,
    };
    Check::ALL
        .into_iter()
        .map(|check| {
            let outcome = if check == decided {
                Outcome::Decided
            } else if check > decided {
                Outcome::NotReached
            } else if is_asked(check) {
                Outcome::Passed
            } else {
                Outcome::NotAsked
            };
            (check, outcome)
        })
        .collect()
}
