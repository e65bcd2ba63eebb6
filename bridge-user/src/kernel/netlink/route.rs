//! Routes: reading all of them, and default routes of sandboxes.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::address::family;
use super::{NEW, Netlink, NetlinkError, failed, there_is_fine};

/// Number of the table of the host's own addresses (`RT_TABLE_LOCAL`,
/// include/uapi/linux/rtnetlink.h, v6.18).
const TABLE_LOCAL: u8 = 255;

/// A unicast route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads; a prefix length of 0 is the default route.
    pub destination: IpNet,
    /// The next hop, where there is one.
    pub gateway: Option<IpAddr>,
    /// The link, where it names one.
    pub link: Option<u32>,
}

/// Every route of both families, whatever its table, the host's own addresses apart.
/// As `ip route show table all`.
pub fn routes(netlink: &mut Netlink) -> Result<Vec<Route>, NetlinkError> {
    let mut all = Vec::new();
    for ipv6 in [false, true] {
        let messages = messages(netlink, ipv6)?.into_iter();
        let others = messages.filter(|message| message.header.table != TABLE_LOCAL);
        all.extend(others.filter_map(|message| route_of(&message, ipv6)));
    }
    Ok(all)
}

fn messages(netlink: &mut Netlink, ipv6: bool) -> Result<Vec<RouteMessage>, NetlinkError> {
    let mut message = RouteMessage::default();
    message.header.address_family = if ipv6 {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    };
    let all = RouteNetlinkMessage::GetRoute(message);
    let answers = netlink.dump(&all).map_err(failed("list", "routes"))?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) => Some(route),
            _ => None,
        })
        .collect())
}

fn route_of(message: &RouteMessage, ipv6: bool) -> Option<Route> {
    let mut destination: IpAddr = if ipv6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let (mut gateway, mut link) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address)?,
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Oif(index) => link = Some(*index),
            _ => {}
        }
    }
    // Multicast routes are of kind unicast in IPv6's main table too, and nobody's subnet.
    if destination.is_multicast() {
        return None;
    }
    let destination = IpNet::new(destination, message.header.destination_prefix_length).ok()?;
    Some(Route {
        destination,
        gateway,
        link,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

/// The links that default routes leave by, of both families and whatever their table.
pub fn default_links(netlink: &mut Netlink) -> Result<BTreeSet<u32>, NetlinkError> {
    let mut links = BTreeSet::new();
    for ipv6 in [false, true] {
        let all = messages(netlink, ipv6)?.into_iter();
        let default = all.filter(|message| {
            message.header.destination_prefix_length == 0
                && message.header.kind == RouteType::Unicast
        });
        links.extend(default.flat_map(|message| links_of(&message)));
    }
    Ok(links)
}

/// The links that a route leaves by: one, or several in turns.
fn links_of(message: &RouteMessage) -> Vec<u32> {
    let of = |attribute: &RouteAttribute| match attribute {
        RouteAttribute::Oif(link) => vec![*link],
        RouteAttribute::MultiPath(hops) => hops.iter().map(|hop| hop.interface_index).collect(),
        _ => Vec::new(),
    };
    message.attributes.iter().flat_map(of).collect()
}

/// The default route of a family, in the main table. As `ip route show default`.
pub fn default_route(netlink: &mut Netlink, ipv6: bool) -> Result<Option<Route>, NetlinkError> {
    let routes = messages(netlink, ipv6)?;
    Ok(routes
        .into_iter()
        .filter(|message| {
            message.header.table == RouteHeader::RT_TABLE_MAIN
                && message.header.kind == RouteType::Unicast
        })
        .filter_map(|message| route_of(&message, ipv6))
        .find(|route| route.destination.prefix_len() == 0))
}

/// Makes the default route of the gateway's family, if there is none.
/// As `ip route add default via GATEWAY dev NAME`.
pub fn ensure_default_route(
    netlink: &mut Netlink,
    link: u32,
    gateway: IpAddr,
) -> Result<(), NetlinkError> {
    tracing::info!("ip route add default via {gateway} dev if{link}");
    let mut message = RouteMessage::default();
    message.header.address_family = family(gateway);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![
        RouteAttribute::Gateway(gateway.into()),
        RouteAttribute::Oif(link),
    ];
    there_is_fine(netlink.change(RouteNetlinkMessage::NewRoute(message), NEW))
        .map_err(failed("add the default route via", gateway))
}
