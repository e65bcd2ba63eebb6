//! TCP segments and UDP datagrams that may be translated: whole, with plain headers.

use bridge_common::{FlowKey, SocketAddress};

use crate::address::Ip6;
use crate::frame::Frame;
use crate::parse::{ETH_P_IP, ETH_P_IPV6, PROTO_UDP};
use crate::publish::{self, Publications, leading};

/// Protocol number of TCP (IANA).
pub(crate) const PROTO_TCP: u8 = 6;

/// Where the IP header is: behind an Ethernet header without tags.
pub(crate) const IP: usize = 14;
/// Where the upper layer is, behind a header without options, or without extensions.
pub(crate) const UPPER4: usize = IP + 20;
pub(crate) const UPPER6: usize = IP + 40;

/// Frames that every way takes: with the least MTU of IPv4 (RFC 791, 3.2) and of IPv6 (RFC 8200, 5).
const LEAST4: u32 = 14 + 68;
/// Of TCP by IPv4: where the way takes less than what every host does (RFC 791, 3.1), the firewall has told both
/// ends so (MSS).
const LEAST4_TCP: u32 = 14 + 576;
const LEAST6: u32 = 14 + 1280;

/// IPv4's version and length of a header without options (RFC 791, 3.1).
pub(crate) const PLAIN4: u8 = 0x45;
/// Its "more fragments" and fragment offset.
const FRAGMENT: u16 = 0x3fff;
/// TCP's FIN, SYN, RST and ACK (RFC 9293, 3.1).
const FIN: u8 = 1 << 0;
const SYN: u8 = 1 << 1;
const RST: u8 = 1 << 2;
const ACK: u8 = 1 << 4;

/// What the headers of a TCP segment or UDP datagram say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Whether it is IPv6.
    pub ipv6: bool,
    /// 6 for TCP, 17 for UDP.
    pub protocol: u8,
    /// How many routers may pass it on: TTL, or hop limit.
    pub hops: u8,
    /// TCP's flags; 0 of UDP.
    flags: u8,
    pub(crate) source: Ip6,
    pub(crate) destination: Ip6,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
}

impl Segment {
    /// Reads the headers. `None`: another protocol, a fragment, or headers that are not plain. Where a
    /// sender with a raw socket put less than the headers into the linear part, they are not seen.
    #[inline(always)]
    pub fn read<F: Frame>(frame: &F, tagged: bool) -> Option<Self> {
        if tagged {
            return None;
        }
        match u16::from_be(frame.u16(12)?) {
            ETH_P_IP => Self::read4(frame),
            ETH_P_IPV6 => Self::read6(frame),
            _ => None,
        }
    }

    #[inline(always)]
    fn read4<F: Frame>(frame: &F) -> Option<Self> {
        // The end first: it bounds the rest.
        let ports = u32::from_be(frame.u32(UPPER4)?);
        let protocol = frame.u8(IP + 9)?;
        if frame.u8(IP)? != PLAIN4 || u16::from_be(frame.u16(IP + 6)?) & FRAGMENT != 0 {
            return None;
        }
        Some(Self {
            ipv6: false,
            protocol,
            hops: frame.u8(IP + 8)?,
            flags: flags(protocol, || frame.u8(UPPER4 + 13))?,
            source: Ip6::of_ipv4(frame.ip4(IP + 12)?),
            destination: Ip6::of_ipv4(frame.ip4(IP + 16)?),
            source_port: (ports >> 16) as u16,
            destination_port: (ports & 0xffff) as u16,
        })
    }

    #[inline(always)]
    fn read6<F: Frame>(frame: &F) -> Option<Self> {
        let ports = u32::from_be(frame.u32(UPPER6)?);
        let protocol = frame.u8(IP + 6)?;
        if frame.u8(IP)? >> 4 != 6 {
            return None;
        }
        Some(Self {
            ipv6: true,
            protocol,
            hops: frame.u8(IP + 7)?,
            flags: flags(protocol, || frame.u8(UPPER6 + 13))?,
            source: frame.ip6(IP + 8)?,
            destination: frame.ip6(IP + 24)?,
            source_port: (ports >> 16) as u16,
            destination_port: (ports & 0xffff) as u16,
        })
    }

    /// Whether it is of a connection that goes on: what begins one, and all from the first FIN on, is
    /// connection tracking's to see, and what is none of TCP's segments. Datagrams always are.
    #[inline(always)]
    pub(crate) fn is_settled(&self, open: bool) -> bool {
        open && (self.protocol == PROTO_UDP || self.flags & (FIN | SYN | RST | ACK) == ACK)
    }

    /// Length of frames that every way takes.
    #[inline(always)]
    pub(crate) fn least(&self) -> u32 {
        match (self.ipv6, self.protocol) {
            (true, _) => LEAST6,
            (false, PROTO_TCP) => LEAST4_TCP,
            (false, _) => LEAST4,
        }
    }

    /// Length of its headers, Ethernet's among them.
    #[inline(always)]
    pub fn headers<F: Frame>(&self, frame: &F) -> u32 {
        let (upper, before) = if self.ipv6 {
            (UPPER6, 14 + 40)
        } else {
            (UPPER4, 14 + 20)
        };
        let length = if self.protocol == PROTO_UDP {
            8
        } else {
            // TCP's data offset, in units of four bytes (RFC 9293, 3.1).
            frame.u8(upper + 12).map_or(20, |byte| 4 * (byte >> 4))
        };
        before + u32::from(length)
    }

    /// Whether it ends a direction of a connection.
    #[inline(always)]
    pub fn ends(&self) -> bool {
        self.flags & FIN != 0
    }

    /// Whether it begins a connection.
    #[inline(always)]
    pub(crate) fn begins(&self) -> bool {
        self.flags & SYN != 0
    }

    /// Where the port leads that it is for, if that is a published one.
    #[inline(always)]
    pub fn asked(&self, publications: &impl Publications) -> Option<SocketAddress> {
        self.leads(self.destination, self.destination_port, publications)
    }

    /// Where the port leads that it is from, if that is a published one.
    #[inline(always)]
    pub fn answering(&self, publications: &impl Publications) -> Option<SocketAddress> {
        self.leads(self.source, self.source_port, publications)
    }

    /// Whether the address is the host's is not known here. Where it is not, the firewall translates
    /// nothing. All addresses first: a port that is published on single ones has an entry there, too.
    #[inline(always)]
    fn leads(
        &self,
        address: Ip6,
        port: u16,
        publications: &impl Publications,
    ) -> Option<SocketAddress> {
        let all = if self.ipv6 {
            Ip6::UNSPECIFIED
        } else {
            Ip6::UNSPECIFIED_IPV4
        };
        let key = |address: Ip6| publish::key(address.halves(), port, self.protocol);
        match publications.publication(&key(all))? {
            SocketAddress { port: 0, .. } => leading(publications.publication(&key(address))),
            to => Some(to),
        }
    }

    /// The flow of one that comes from outside for `endpoint`.
    #[inline(always)]
    pub fn flow_to(&self, endpoint: &SocketAddress) -> FlowKey {
        FlowKey {
            endpoint: publish::halves(endpoint),
            client: self.source.halves(),
            endpoint_port: endpoint.port,
            client_port: self.source_port,
            protocol: self.protocol.into(),
        }
    }

    /// The flow of one that leaves the host, which was from `endpoint`.
    #[inline(always)]
    pub fn flow_from(&self, endpoint: &SocketAddress) -> FlowKey {
        FlowKey {
            endpoint: publish::halves(endpoint),
            client: self.destination.halves(),
            endpoint_port: endpoint.port,
            client_port: self.destination_port,
            protocol: self.protocol.into(),
        }
    }

    /// The flow of one that an endpoint gets.
    #[inline(always)]
    pub fn flow_in(&self) -> FlowKey {
        FlowKey {
            endpoint: self.destination.halves(),
            client: self.source.halves(),
            endpoint_port: self.destination_port,
            client_port: self.source_port,
            protocol: self.protocol.into(),
        }
    }

    /// The flow of one that an endpoint sends.
    #[inline(always)]
    pub fn flow_out(&self) -> FlowKey {
        FlowKey {
            endpoint: self.source.halves(),
            client: self.destination.halves(),
            endpoint_port: self.source_port,
            client_port: self.destination_port,
            protocol: self.protocol.into(),
        }
    }
}

/// TCP's flags; `None` of other protocols than TCP and UDP.
#[inline(always)]
fn flags(protocol: u8, of_tcp: impl FnOnce() -> Option<u8>) -> Option<u8> {
    match protocol {
        PROTO_TCP => of_tcp(),
        PROTO_UDP => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
