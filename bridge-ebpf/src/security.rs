//! Port security: an endpoint speaks for its own addresses, and is neither DHCP server nor router.

use bridge_common::{DropReason, EndpointEntry, wire_mac};

use crate::address::{Ip4, Ip6, Mac};
use crate::frame::{Frame, HEADERS_MAX};
use crate::parse::{
    self, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6, Ethernet, PROTO_ICMPV6, PROTO_UDP, Upper,
};

/// UDP ports of DHCP (RFC 2131, 4.1) and DHCPv6 (RFC 8415, 7.2).
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DHCPV6_SERVER: u16 = 547;
const DHCPV6_CLIENT: u16 = 546;

/// ICMPv6 types (RFC 2710, 3; RFC 3810, 5.2; RFC 4861, 4).
const MLD_REPORT: u8 = 131;
const MLD_DONE: u8 = 132;
const MLDV2_REPORT: u8 = 143;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
pub(crate) const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// Neighbour discovery options that are followed.
const OPTIONS_MAX: usize = 4;

/// ARP for IPv4 over Ethernet (RFC 826): the two address types, and their lengths.
const ARP_TYPES: u32 = u32::from_ne_bytes([0, 1, 8, 0]);
const ARP_LENGTHS: u16 = u16::from_ne_bytes([6, 4]);

/// Refuses what may not come from this endpoint.
#[inline(always)]
pub(crate) fn check<F: Frame>(
    frame: &F,
    ethernet: &Ethernet,
    endpoint: &EndpointEntry,
) -> Result<(), DropReason> {
    match ethernet.ether_type {
        ETH_P_IP => ipv4(frame, ethernet.payload, endpoint),
        ETH_P_IPV6 => ipv6(frame, ethernet.payload, endpoint),
        ETH_P_ARP => arp(frame, ethernet.payload, endpoint),
        _ => Ok(()),
    }
}

#[inline(always)]
fn ipv4<F: Frame>(frame: &F, at: usize, endpoint: &EndpointEntry) -> Result<(), DropReason> {
    let header = parse::ipv4(frame, at).ok_or(DropReason::Malformed)?;
    let own = Ip4(endpoint.ipv4);
    if header.protocol == PROTO_UDP && header.first {
        let ports = if header.upper == at + 20 {
            frame.u32(at + 20).map(u32::from_be)
        } else {
            frame.far(header.upper).map(u32::from_be_bytes)
        };
        let (from, to) = ports_of(ports.ok_or(DropReason::Malformed)?);
        // A client takes an offer from whatever port it comes.
        if from == DHCP_SERVER || to == DHCP_CLIENT {
            return Err(DropReason::RogueDhcp);
        }
        // A client that has no address yet asks all for one (RFC 2131, 4.1).
        let asks = from == DHCP_CLIENT && to == DHCP_SERVER;
        if asks && header.source == Ip4::UNSPECIFIED && frame.ip4(at + 16) == Some(Ip4::BROADCAST) {
            return Ok(());
        }
    }
    if header.source == own && own != Ip4::UNSPECIFIED {
        Ok(())
    } else {
        Err(DropReason::SpoofedIp)
    }
}

/// Source and destination port of the first four bytes of a UDP header (RFC 768).
#[inline(always)]
fn ports_of(header: u32) -> (u16, u16) {
    ((header >> 16) as u16, (header & 0xffff) as u16)
}

#[inline(always)]
fn arp<F: Frame>(frame: &F, at: usize, endpoint: &EndpointEntry) -> Result<(), DropReason> {
    let message = || {
        // The end of the message first.
        let _ = frame.ip4(at + 24)?;
        let known = frame.u32(at)? == ARP_TYPES && frame.u16(at + 4)? == ARP_LENGTHS;
        known.then_some((frame.mac(at + 8)?, frame.ip4(at + 14)?))
    };
    let (mac, ip) = message().ok_or(DropReason::Malformed)?;
    // The unspecified address asks whether an address is free (RFC 5227, 2.1.1).
    let own = ip == Ip4(endpoint.ipv4) || ip == Ip4::UNSPECIFIED;
    if own && mac == Mac::new(endpoint.mac) {
        Ok(())
    } else {
        Err(DropReason::SpoofedArp)
    }
}

#[inline(always)]
fn ipv6<F: Frame>(frame: &F, at: usize, endpoint: &EndpointEntry) -> Result<(), DropReason> {
    let header = parse::ipv6(frame, at).ok_or(DropReason::Malformed)?;
    let own = is_own(endpoint, header.source);
    match parse::upper_layer(frame, at + 40, header.next) {
        Upper::Layer(PROTO_ICMPV6, at) => {
            if !own && header.source != Ip6::UNSPECIFIED {
                return Err(DropReason::SpoofedIp);
            }
            return icmpv6(frame, at, endpoint, own);
        }
        Upper::Layer(PROTO_UDP, upper) => {
            let near = (upper == at + 40).then(|| frame.u32(at + 40)).flatten();
            // Behind extension headers, or where a raw sender put less into the linear part.
            let ports = match near {
                Some(ports) => Some(u32::from_be(ports)),
                None => frame.far(upper).map(u32::from_be_bytes),
            };
            let (from, to) = ports_of(ports.ok_or(DropReason::Malformed)?);
            if from == DHCPV6_SERVER || to == DHCPV6_CLIENT {
                return Err(DropReason::RogueDhcp);
            }
        }
        Upper::Layer(..) | Upper::Fragment => {}
        Upper::Hidden => return Err(DropReason::Malformed),
    }
    if own {
        Ok(())
    } else {
        Err(DropReason::SpoofedIp)
    }
}

#[inline(always)]
fn icmpv6<F: Frame>(
    frame: &F,
    at: usize,
    endpoint: &EndpointEntry,
    own: bool,
) -> Result<(), DropReason> {
    let [kind] = frame.far(at).ok_or(DropReason::Malformed)?;
    if !own && !may_lack_address(kind) {
        return Err(DropReason::SpoofedIp);
    }
    let options = match kind {
        ROUTER_ADVERTISEMENT | REDIRECT => return Err(DropReason::RogueRa),
        ROUTER_SOLICITATION => at + 8,
        NEIGHBOUR_SOLICITATION => at + 24,
        NEIGHBOUR_ADVERTISEMENT => {
            let target = frame.far(at + 8).ok_or(DropReason::Malformed)?;
            if !is_own(endpoint, Ip6::from_bytes(target)) {
                return Err(DropReason::SpoofedNd);
            }
            at + 24
        }
        _ => return Ok(()),
    };
    own_options(frame, options, Mac::new(endpoint.mac))
}

/// Whether a message may come from a node that has no address yet: to see whether an address is free
/// (RFC 4862, 5.4.2), to tell of its groups (RFC 3590, 4; RFC 3810, 5.2.13), to ask for routers
/// (RFC 4861, 4.1).
#[inline(always)]
fn may_lack_address(kind: u8) -> bool {
    matches!(
        kind,
        NEIGHBOUR_SOLICITATION | MLD_REPORT | MLD_DONE | MLDV2_REPORT | ROUTER_SOLICITATION
    )
}

/// Link-layer addresses in options (RFC 4861, 4.6.1): source or target, they are the sender's.
#[inline(always)]
fn own_options<F: Frame>(frame: &F, at: usize, own: Mac) -> Result<(), DropReason> {
    let mut at = at;
    for _ in 0..OPTIONS_MAX {
        // What is too far to be read is not the end.
        if at > HEADERS_MAX {
            return Err(DropReason::Malformed);
        }
        let Some([kind, length]) = frame.far(at) else {
            return Ok(());
        };
        if length == 0 {
            // Short frames are filled up with zeroes; that is no option.
            return if kind == 0 {
                Ok(())
            } else {
                Err(DropReason::Malformed)
            };
        }
        if kind == 1 || kind == 2 {
            match frame.far(at + 2) {
                Some(mac) if Mac::new(wire_mac(mac)) == own => {}
                Some(_) => return Err(DropReason::SpoofedNd),
                None => return Err(DropReason::Malformed),
            }
        }
        at += 8 * usize::from(length);
    }
    // More options than are followed hide something.
    if at > HEADERS_MAX || frame.far::<1>(at).is_some() {
        Err(DropReason::Malformed)
    } else {
        Ok(())
    }
}

/// Whether an address is the endpoint's: the one that it was given, or the link-local one of its
/// MAC address.
#[inline(always)]
pub(crate) fn is_own(endpoint: &EndpointEntry, address: Ip6) -> bool {
    let given = Ip6::new(endpoint.ipv6);
    (address == given && given != Ip6::UNSPECIFIED)
        || address == Ip6::link_local(Mac::new(endpoint.mac))
}
