//! Addresses of links.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{NEW, Netlink, NetlinkError, failed, there_is_fine};

/// Puts an address on a link if it is not there. IPv6 addresses are usable at once: we gave them,
/// so nobody else has them (no duplicate address detection).
/// As `ip address add ADDRESS/LENGTH broadcast + dev NAME nodad`.
pub fn ensure_address(
    netlink: &mut Netlink,
    link: u32,
    address: IpNet,
) -> Result<(), NetlinkError> {
    let ip = address.addr();
    tracing::info!("ip address add {address} dev if{link}");
    let mut message = AddressMessage::default();
    message.header.index = link;
    message.header.prefix_len = address.prefix_len();
    message.header.family = family(ip);
    message.attributes = vec![AddressAttribute::Local(ip), AddressAttribute::Address(ip)];
    match address {
        IpNet::V4(v4) => message
            .attributes
            .push(AddressAttribute::Broadcast(v4.broadcast())),
        IpNet::V6(_) => message
            .attributes
            .push(AddressAttribute::Flags(AddressFlags::Nodad)),
    }
    there_is_fine(netlink.change(RouteNetlinkMessage::NewAddress(message), NEW))
        .map_err(failed("add address", address))
}

pub(super) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv6() {
        AddressFamily::Inet6
    } else {
        AddressFamily::Inet
    }
}
