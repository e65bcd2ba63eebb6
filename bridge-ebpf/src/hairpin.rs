//! Endpoints that reach a published port of a neighbour, one of their own network, by an address of the
//! host.
//!
//! ```text
//! asker ─ gateway's MAC ─> host: translated ─> bridge_egress: asked, into HAIRPINS ─> neighbour
//! neighbour ─ asker's MAC ─> port_ingress: is_answer ─> host: translated back ─────> asker
//! ```
//!
//! The neighbour sees the asker's own address, so it would answer it directly, from an address that the
//! asker does not know. Such an answer goes to the host instead, as if it had been sent to the gateway.
//!
//! The firewall gives these flows source ports that sockets do not choose by themselves (`table.nft`,
//! chain `staying`): so they are told from the asker's own flows to the same port of the neighbour.

use bridge_common::{EndpointEntry, FlowKey};

use crate::Tables;
use crate::address::{Ip4, Ip6};
use crate::frame::Frame;
use crate::parse::{ETH_P_IP, ETH_P_IPV6, Ethernet, PROTO_FRAGMENT, PROTO_ICMPV6, PROTO_UDP};
use crate::segment::{IP, PLAIN4, PROTO_TCP, UPPER4, UPPER6};

/// Where the ports begin that sockets choose by themselves, unless told otherwise
/// (`ip_local_port_range`, Documentation/networking/ip-sysctl.rst, v6.18).
const CHOSEN_PORTS: u16 = 32_768;

/// Protocol numbers (IANA).
const PROTO_ICMP: u8 = 1;
const PROTO_SCTP: u8 = 132;

/// IPv4's "more fragments" and its fragment offset; that alone, and IPv6's.
const FRAGMENT4: u16 = 0x3fff;
const OFFSET4: u16 = 0x1fff;
const OFFSET6: u16 = 0xfff8;
/// Length of IPv6's fragment header (RFC 8200, 4.5).
const FRAGMENT_HEADER: usize = 8;

/// A flow of an endpoint to a neighbour's published port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The flow.
    pub flow: FlowKey,
    /// All such flows of the pair.
    pub pair: FlowKey,
}

/// Which flow a frame is of, that came to the host by a bridge of ours and goes back by it. `None` where
/// no answer would have to go to the host.
#[inline(always)]
pub fn asked<F: Frame>(frame: &F) -> Option<Asked> {
    let packet = Packet::read(frame, u16::from_be(frame.u16(12)?))?;
    let (client_port, endpoint_port) = (packet.first_port, packet.second_port);
    let has_ports = packet.part == Part::Whole || packet.part == Part::First;
    if !has_ports || client_port >= CHOSEN_PORTS {
        return None;
    }
    let flow = FlowKey {
        endpoint: packet.destination.halves(),
        client: packet.source.halves(),
        endpoint_port,
        client_port,
        protocol: packet.protocol.into(),
    };
    let pair = FlowKey {
        endpoint_port: 0,
        client_port: 0,
        ..flow
    };
    Some(Asked { flow, pair })
}

/// Whether a frame of an endpoint answers a neighbour that asked by an address of the host.
#[inline(always)]
pub(crate) fn is_answer<F: Frame, T: Tables>(
    frame: &F,
    ethernet: &Ethernet,
    endpoint: &EndpointEntry,
    tables: &T,
) -> bool {
    let [_, highest] = endpoint.published;
    if highest == 0 || ethernet.tagged {
        return false;
    }
    let Some(packet) = Packet::read(frame, ethernet.ether_type) else {
        return false;
    };
    if packet.part == Part::Other {
        return about(frame, packet.protocol).is_some_and(|flow| tables.is_hairpin(&flow));
    }
    let whole = packet.part == Part::Whole;
    let (endpoint_port, client_port) = (packet.first_port, packet.second_port);
    if whole && !may_be(endpoint, endpoint_port, client_port) {
        return false;
    }
    tables.is_hairpin(&FlowKey {
        endpoint: packet.source.halves(),
        client: packet.destination.halves(),
        endpoint_port: if whole { endpoint_port } else { 0 },
        client_port: if whole { client_port } else { 0 },
        protocol: packet.protocol.into(),
    })
}

/// The flow that an ICMP error is about: it quotes what the endpoint got.
#[inline(always)]
fn about<F: Frame>(frame: &F, protocol: u8) -> Option<FlowKey> {
    const QUOTED4: usize = UPPER4 + 8;
    const QUOTED6: usize = UPPER6 + 8;
    let (protocol, client, endpoint, ports) = match protocol {
        // Destination unreachable, time exceeded, parameter problem (RFC 792).
        PROTO_ICMP if matches!(frame.far(UPPER4)?, [3 | 11 | 12]) => {
            if frame.far::<1>(QUOTED4)? != [PLAIN4] {
                return None;
            }
            let address = |bytes| Some(Ip6::of_ipv4(Ip4(u32::from_ne_bytes(bytes))));
            (
                frame.far::<1>(QUOTED4 + 9)?,
                frame.far(QUOTED4 + 12).and_then(address)?,
                frame.far(QUOTED4 + 16).and_then(address)?,
                frame.far(QUOTED4 + 20)?,
            )
        }
        // The same, and packet too big (RFC 4443, 2.1).
        PROTO_ICMPV6 if matches!(frame.far(UPPER6)?, [1..=4]) => (
            frame.far::<1>(QUOTED6 + 6)?,
            Ip6::from_bytes(frame.far(QUOTED6 + 8)?),
            Ip6::from_bytes(frame.far(QUOTED6 + 24)?),
            frame.far(QUOTED6 + 40)?,
        ),
        _ => return None,
    };
    let ([protocol], [a, b, c, d]): ([u8; 1], [u8; 4]) = (protocol, ports);
    Some(FlowKey {
        endpoint: endpoint.halves(),
        client: client.halves(),
        endpoint_port: u16::from_be_bytes([c, d]),
        client_port: u16::from_be_bytes([a, b]),
        protocol: protocol.into(),
    })
}

/// Whether a flow with these ports may be one of these: what costs nothing to ask.
#[inline(always)]
fn may_be(endpoint: &EndpointEntry, endpoint_port: u16, client_port: u16) -> bool {
    let [lowest, highest] = endpoint.published;
    lowest <= endpoint_port && endpoint_port <= highest && client_port < CHOSEN_PORTS
}

/// What a frame has of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All of it.
    Whole,
    /// Its first fragment.
    First,
    /// Another fragment.
    Later,
    /// It has no ports.
    Other,
}

/// What the headers of a packet say.
struct Packet {
    protocol: u8,
    source: Ip6,
    destination: Ip6,
    part: Part,
    /// What is in the place of its source's port, and its destination's.
    first_port: u16,
    second_port: u16,
}

impl Packet {
    #[inline(always)]
    fn read<F: Frame>(frame: &F, ether_type: u16) -> Option<Self> {
        match ether_type {
            ETH_P_IP => Self::read4(frame),
            ETH_P_IPV6 => Self::read6(frame),
            _ => None,
        }
    }

    #[inline(always)]
    fn read4<F: Frame>(frame: &F) -> Option<Self> {
        // The end first: it bounds the rest.
        let ports = u32::from_be(frame.u32(UPPER4)?);
        if frame.u8(IP)? != PLAIN4 {
            return None;
        }
        let protocol = frame.u8(IP + 9)?;
        let fragment = u16::from_be(frame.u16(IP + 6)?);
        Some(Self {
            protocol,
            source: Ip6::of_ipv4(frame.ip4(IP + 12)?),
            destination: Ip6::of_ipv4(frame.ip4(IP + 16)?),
            part: part(protocol, fragment & FRAGMENT4 != 0, fragment & OFFSET4),
            first_port: (ports >> 16) as u16,
            second_port: (ports & 0xffff) as u16,
        })
    }

    #[inline(always)]
    fn read6<F: Frame>(frame: &F) -> Option<Self> {
        let mut ports = frame.u32(UPPER6)?;
        if frame.u8(IP)? >> 4 != 6 {
            return None;
        }
        let (mut protocol, mut offset) = (frame.u8(IP + 6)?, 0);
        let fragment = protocol == PROTO_FRAGMENT;
        if fragment {
            protocol = frame.u8(UPPER6)?;
            offset = u16::from_be(frame.u16(UPPER6 + 2)?) & OFFSET6;
            ports = frame.u32(UPPER6 + FRAGMENT_HEADER)?;
        }
        let ports = u32::from_be(ports);
        Some(Self {
            protocol,
            source: frame.ip6(IP + 8)?,
            destination: frame.ip6(IP + 24)?,
            part: part(protocol, fragment, offset),
            first_port: (ports >> 16) as u16,
            second_port: (ports & 0xffff) as u16,
        })
    }
}

#[inline(always)]
fn part(protocol: u8, fragment: bool, offset: u16) -> Part {
    match (protocol, fragment, offset) {
        (PROTO_TCP | PROTO_UDP | PROTO_SCTP, false, _) => Part::Whole,
        (PROTO_TCP | PROTO_UDP | PROTO_SCTP, true, 0) => Part::First,
        (PROTO_TCP | PROTO_UDP | PROTO_SCTP, true, _) => Part::Later,
        _ => Part::Other,
    }
}

#[cfg(test)]
mod tests;
