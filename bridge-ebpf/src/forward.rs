//! Where a frame may go: neighbours, endpoints of its network, and what the host routes.

use bridge_common::{
    Address, DropReason, ENDPOINT_ICC_OFF, ENDPOINT_INTERNAL, ENDPOINT_REACHABLE, EndpointEntry,
    FdbKey, LinkKey, NEIGHBOUR_GATEWAY, NeighbourKey, wire_mac,
};

use crate::address::{Ip4, Ip6, Mac};
use crate::frame::Frame;
use crate::parse::{ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, Ethernet, PROTO_ICMPV6};
use crate::security::{NEIGHBOUR_SOLICITATION, is_own};
use crate::{Answer, Tables, Verdict, hints};

/// Operation of an ARP request (RFC 826).
const ARP_REQUEST: u16 = 1;

/// The verdict on a request for a neighbour that is known; `None` where it is no such request.
#[inline(always)]
pub(crate) fn neighbour<F: Frame, T: Tables>(
    frame: &F,
    ethernet: &Ethernet,
    endpoint: &EndpointEntry,
    tables: &T,
) -> Option<Verdict> {
    if ethernet.tagged {
        return None;
    }
    let at = ethernet.payload;
    let (address, kind) = match ethernet.ether_type {
        ETH_P_ARP => {
            let target = frame.ip4(at + 24)?;
            // An announcement or a probe for the own address is for everybody.
            if frame.u16(at + 6)? != ARP_REQUEST.to_be() || target == Ip4(endpoint.ipv4) {
                return None;
            }
            (target.mapped(), Kind::Arp)
        }
        ETH_P_IPV6 => {
            let target = solicited(frame, at)?;
            if is_own(endpoint, target) {
                return None;
            }
            if let Some(mac) = target.link_local_mac() {
                return on_link(mac, endpoint, tables);
            }
            (target.bytes(), Kind::Neighbour)
        }
        _ => return None,
    };
    let key = NeighbourKey {
        address,
        network: endpoint.network,
        reserved: [0; 3],
    };
    let entry = tables.neighbour(&key)?;
    let router = entry.flags & NEIGHBOUR_GATEWAY != 0;
    if !router && !may_reach(endpoint, Mac::new(wire_mac(entry.mac)), tables) {
        return Some(Verdict::Drop(DropReason::Icc));
    }
    Some(Verdict::Answer(match kind {
        Kind::Arp => Answer::Arp { mac: entry.mac },
        Kind::Neighbour => Answer::Neighbour {
            mac: entry.mac,
            router,
        },
    }))
}

/// The verdict on a solicitation of the link-local address of `mac`: the gateway's or an endpoint's of
/// the network, for these are all made of MAC addresses. Without IPv6 in the network there are none.
#[inline(always)]
fn on_link<T: Tables>(mac: Mac, endpoint: &EndpointEntry, tables: &T) -> Option<Verdict> {
    if endpoint.ipv6 == [0; 2] {
        return None;
    }
    let router = mac == Mac::new(endpoint.gateway_mac);
    if !router {
        let _ = find(endpoint, mac, tables)?;
        if !may_reach(endpoint, mac, tables) {
            return Some(Verdict::Drop(DropReason::Icc));
        }
    }
    Some(Verdict::Answer(Answer::Neighbour {
        mac: mac.bytes(),
        router,
    }))
}

enum Kind {
    Arp,
    Neighbour,
}

/// The target of a neighbour solicitation that a receiver would take (RFC 4861, 7.1.1): hop limit
/// 255 and code 0.
#[inline(always)]
fn solicited<F: Frame>(frame: &F, at: usize) -> Option<Ip6> {
    let plain = frame.u8(at + 6)? == PROTO_ICMPV6
        && frame.u8(at + 7)? == 255
        && frame.u8(at + 40)? == NEIGHBOUR_SOLICITATION
        && frame.u8(at + 41)? == 0;
    if plain { frame.ip6(at + 48) } else { None }
}

/// Whether the endpoint may speak with the one that has a MAC address: where ICC is off, by a link only.
#[inline(always)]
pub(crate) fn may_reach<T: Tables>(endpoint: &EndpointEntry, mac: Mac, tables: &T) -> bool {
    endpoint.flags & ENDPOINT_ICC_OFF == 0
        || tables.is_linked(&LinkKey {
            from: endpoint.mac,
            to: mac.units(),
            network: endpoint.network,
            reserved: 0,
        })
}

/// The index of the host leg that a MAC address of the network is behind.
#[inline(always)]
pub(crate) fn find<T: Tables>(endpoint: &EndpointEntry, mac: Mac, tables: &T) -> Option<u32> {
    let behind = |slot| {
        let other = tables.endpoint(slot)?;
        let right = Mac::new(other.mac) == mac
            && other.network == endpoint.network
            && other.flags & ENDPOINT_REACHABLE != 0
            && other.ifindex != 0;
        right.then_some(other.ifindex)
    };
    if let Some(ifindex) = hints::find(mac, tables, behind) {
        return Some(ifindex);
    }
    let entry = tables.fdb(&FdbKey {
        mac: mac.bytes(),
        network: endpoint.network,
    })?;
    // The memory of a deleted entry may be another network's by now.
    (entry.network == endpoint.network).then_some(entry.ifindex)
}

/// Why the host may not route what a frame carries.
#[inline(always)]
pub(crate) fn unroutable<F: Frame, T: Tables>(
    frame: &F,
    ethernet: &Ethernet,
    endpoint: &EndpointEntry,
    tables: &T,
) -> Option<DropReason> {
    let icc_off = endpoint.flags & ENDPOINT_ICC_OFF != 0;
    if icc_off && is_for_others_on_link(frame, ethernet, endpoint) {
        return Some(DropReason::Icc);
    }
    let destination = destination(frame, ethernet)?;
    let internal = endpoint.flags & ENDPOINT_INTERNAL != 0;
    match tables.subnet(&destination) {
        Some(subnet) if subnet.network == endpoint.network => {
            let host = destination == subnet.gateway;
            (icc_off && !host).then_some(DropReason::Icc)
        }
        _ if internal => Some(DropReason::Internal),
        // Every gateway is the host's own address.
        Some(subnet) if destination == subnet.gateway => None,
        Some(_) => Some(DropReason::Isolated),
        None => None,
    }
}

/// Whether a frame for the gateway's MAC address carries IPv6 for a link-local address that is not
/// the gateway's: a host that routes sends it back by the same bridge.
#[inline(always)]
fn is_for_others_on_link<F: Frame>(
    frame: &F,
    ethernet: &Ethernet,
    endpoint: &EndpointEntry,
) -> bool {
    let gateway = Ip6::link_local(Mac::new(endpoint.gateway_mac));
    ethernet.ether_type == ETH_P_IPV6
        && frame
            .ip6(ethernet.payload + 24)
            .is_some_and(|address| address.stays_on_link() && address != gateway)
}

/// The IP address that a frame is for, if it is one that a host routes.
#[inline(always)]
fn destination<F: Frame>(frame: &F, ethernet: &Ethernet) -> Option<Address> {
    let at = ethernet.payload;
    match ethernet.ether_type {
        ETH_P_IP => {
            let address = frame.ip4(at + 16)?;
            (!address.is_beyond_unicast()).then(|| address.mapped())
        }
        ETH_P_IPV6 => {
            let address = frame.ip6(at + 24)?;
            (!address.stays_on_link()).then(|| address.bytes())
        }
        _ => None,
    }
}
