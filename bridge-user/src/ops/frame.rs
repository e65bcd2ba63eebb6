//! A frame as a sandbox's kernel would make it, for the program to be asked about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an IP packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// The first segment of a connection to a port.
    Tcp(u16),
    /// A datagram to a port.
    Udp(u16),
    /// An echo request.
    Icmp,
}

/// Source port of what has one: the first of Linux's ephemeral ports.
const SOURCE_PORT: u16 = 32_768;

/// From whom to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) source_mac: [u8; 6],
    pub(super) destination_mac: [u8; 6],
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
}

/// An IP packet in Ethernet. Checksums of what IP carries are zero: no stack ever sees it.
/// `None` for addresses of two families.
pub(super) fn packet(ends: &Ends, payload: Payload) -> Option<Vec<u8>> {
    let ipv6 = ends.destination.is_ipv6();
    let (protocol, upper) = upper(payload, ipv6);
    let (ether_type, header) = match (ends.source, ends.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (0x0800_u16, ipv4(from, to, protocol, upper.len())),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            (0x86dd, ipv6_header(from, to, protocol, upper.len()))
        }
        _ => return None,
    };
    Some(
        [
            &ends.destination_mac[..],
            &ends.source_mac,
            &ether_type.to_be_bytes(),
            &header,
            &upper,
        ]
        .concat(),
    )
}

/// The request that comes before a packet to a neighbour that is not known: ARP (RFC 826), or a
/// neighbour solicitation (RFC 4861, 4.3). `None` for addresses of two families.
pub(super) fn request(source_mac: [u8; 6], source: IpAddr, target: IpAddr) -> Option<Vec<u8>> {
    match (source, target) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some(
            [
                &[0xff; 6][..],
                &source_mac,
                // Ethernet, IPv4, their lengths, a request.
                &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1],
                &source_mac,
                &from.octets(),
                &[0; 6],
                &to.octets(),
            ]
            .concat(),
        ),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let [.., a, b, c] = to.octets();
            let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
            let message = [
                &[135, 0, 0, 0, 0, 0, 0, 0][..],
                &to.octets(),
                &[1, 1],
                &source_mac,
            ];
            let message = message.concat();
            let mut header = ipv6_header(from, group, 58, message.len());
            // The hop limit that neighbour discovery asks for (RFC 4861, 7.1.1).
            header[7] = 255;
            Some(
                [
                    &[0x33, 0x33, 0xff, a, b, c][..],
                    &source_mac,
                    &[0x86, 0xdd],
                    &header,
                    &message,
                ]
                .concat(),
            )
        }
        _ => None,
    }
}

fn upper(payload: Payload, ipv6: bool) -> (u8, Vec<u8>) {
    match payload {
        Payload::Tcp(port) => {
            let mut segment = [SOURCE_PORT.to_be_bytes(), port.to_be_bytes()].concat();
            segment.resize(20, 0);
            // Five words of header; SYN.
            segment[12] = 5 << 4;
            segment[13] = 1 << 1;
            (6, segment)
        }
        Payload::Udp(port) => {
            let words = [SOURCE_PORT, port, 8, 0];
            (
                17,
                words.iter().flat_map(|word| word.to_be_bytes()).collect(),
            )
        }
        Payload::Icmp if ipv6 => (58, vec![128, 0, 0, 0, 0, 0, 0, 0]),
        Payload::Icmp => (1, vec![8, 0, 0, 0, 0, 0, 0, 0]),
    }
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, length: usize) -> Vec<u8> {
    let length = u16::try_from(20 + length).expect("made packets are short");
    let [high, low] = length.to_be_bytes();
    let start = [0x45, 0, high, low, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    let mut header = [&start[..], &from.octets(), &to.octets()].concat();
    let sum: u32 = header
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    // Twice: the first fold may carry (RFC 1071).
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !u16::try_from(folded).expect("it was folded");
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

fn ipv6_header(from: Ipv6Addr, to: Ipv6Addr, next: u8, length: usize) -> Vec<u8> {
    let length = u16::try_from(length).expect("made packets are short");
    let [high, low] = length.to_be_bytes();
    let start = [0x60, 0, 0, 0, high, low, next, 64];
    [&start[..], &from.octets(), &to.octets()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: [2, 0, 0, 0, 0, 2],
        source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
    };

    #[test]
    fn the_header_sums_to_nothing() {
        let frame = packet(&ENDS, Payload::Tcp(80)).unwrap();
        assert_eq!(frame.len(), 14 + 20 + 20);
        let sum: u32 = frame[14..34]
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn families_do_not_mix() {
        let ends = Ends {
            destination: Ipv6Addr::LOCALHOST.into(),
            ..ENDS
        };
        assert_eq!(packet(&ends, Payload::Icmp), None);
        assert_eq!(
            request(ends.source_mac, ends.source, ends.destination),
            None
        );
    }
}
