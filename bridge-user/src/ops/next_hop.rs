//! Where a sandbox's kernel sends what is for an address, if it sends anything at all.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::Error;
use super::frame::Payload;
use super::ports::PortDetails;

/// Whom a frame is sent to, on the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextHop {
    /// To an endpoint of the network.
    Station([u8; 6]),
    /// To the host, which routes or takes it.
    Gateway([u8; 6]),
    /// To many.
    Group([u8; 6]),
    /// Nobody is known to have the address: it is asked for.
    Unknown,
}

/// Where what `from` sends to an address goes.
pub(super) fn next_hop(
    ports: &[PortDetails],
    from: &PortDetails,
    address: IpAddr,
    payload: Payload,
) -> Result<NextHop, Error> {
    check_leaves(ports, from, address)?;
    if let Some(mac) = group_mac(from, address) {
        // `tcp_v4_connect`, net/ipv4/tcp_ipv4.c, and `tcp_v6_connect`, net/ipv6/tcp_ipv6.c, v6.18.
        return match payload {
            Payload::Tcp(_) => Err(Error::TcpToMany(address)),
            _ => Ok(NextHop::Group(mac)),
        };
    }
    let network = &from.network;
    let bridge = network.bridge_mac;
    let is_gateway = network.pools.iter().any(|pool| pool.gateway() == address);
    if is_gateway || !is_on_link(from, address) || address == bridge.link_local() {
        return Ok(NextHop::Gateway(bridge.bytes()));
    }
    let mut others = ports.iter().filter(|port| port.network.id == network.id);
    Ok(match others.find(|port| has(port, address)) {
        Some(port) => NextHop::Station(port.endpoint.mac.bytes()),
        None => NextHop::Unknown,
    })
}

/// The address that `from` sends from, to this address (RFC 6724, 5, rule 2): its link-local one to
/// what stays on the link.
pub(super) fn source(from: &PortDetails, address: IpAddr) -> Option<IpAddr> {
    let given = from.endpoint.address(address.is_ipv6())?;
    Some(match address {
        IpAddr::V6(v6) if stays_on_link(v6) => from.endpoint.mac.link_local().into(),
        _ => given,
    })
}

/// Whether a port's network has an address in its subnets.
pub(super) fn is_in_subnet(port: &PortDetails, address: IpAddr) -> bool {
    port.network.pool_of(address).is_some()
}

fn is_on_link(port: &PortDetails, address: IpAddr) -> bool {
    let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    link_local || is_in_subnet(port, address)
}

fn has(port: &PortDetails, address: IpAddr) -> bool {
    let own = port.endpoint.address(address.is_ipv6());
    // An endpoint without IPv6 has no link-local address either.
    own == Some(address) || (own.is_some() && address == port.endpoint.mac.link_local())
}

/// Refuses what the sandbox's kernel keeps to itself.
fn check_leaves(ports: &[PortDetails], from: &PortDetails, address: IpAddr) -> Result<(), Error> {
    let mut own = ports
        .iter()
        .filter(|port| port.sandbox.id == from.sandbox.id);
    let why = if address.is_unspecified() {
        "it is no address, and connecting to it leads to the sandbox itself"
    } else if address.is_loopback() {
        "it is a loopback address"
    } else if own.any(|port| has(port, address)) {
        "it is the sandbox's own address"
    } else if matches!(address, IpAddr::V6(v6) if scope(v6).is_some_and(|scope| scope < LINK)) {
        // `ip6_finish_output2`, net/ipv6/ip6_output.c, v6.18.
        "it is a group within the interface"
    } else {
        return Ok(());
    };
    Err(Error::NothingLeaves {
        sandbox: from.sandbox.reference.to_string(),
        address,
        why,
    })
}

/// The MAC address of a group, or of all (RFC 1112, 6.4; RFC 2464, 7).
fn group_mac(from: &PortDetails, address: IpAddr) -> Option<[u8; 6]> {
    match address {
        IpAddr::V4(v4) if v4.is_multicast() => {
            let [_, b, c, d] = v4.octets();
            Some([0x01, 0x00, 0x5e, b & 0x7f, c, d])
        }
        IpAddr::V4(v4) if v4.is_broadcast() || broadcast(from) == Some(address) => Some([0xff; 6]),
        IpAddr::V6(v6) if v6.is_multicast() => {
            let [.., a, b, c, d] = v6.octets();
            Some([0x33, 0x33, a, b, c, d])
        }
        _ => None,
    }
}

/// The last address of the IPv4 subnet; a subnet of two addresses has none (RFC 3021).
fn broadcast(from: &PortDetails) -> Option<IpAddr> {
    match from.endpoint.cidr(false)? {
        IpNet::V4(subnet) if subnet.prefix_len() < 31 => Some(subnet.broadcast().into()),
        _ => None,
    }
}

/// Scope of a group on one link (RFC 7346, 2).
const LINK: u8 = 2;

fn scope(address: Ipv6Addr) -> Option<u8> {
    let [_, flags_and_scope, ..] = address.octets();
    address.is_multicast().then_some(flags_and_scope & 0x0f)
}

fn stays_on_link(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || scope(address).is_some_and(|scope| scope <= LINK)
}
