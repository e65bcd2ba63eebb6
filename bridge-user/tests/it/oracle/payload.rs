//! Random bytes and headers above IP.

use crate::random::Random;

/// Protocols: ICMP, IGMP, TCP, UDP, ESP, ICMPv6, SCTP.
const PROTOCOLS: [u8; 7] = [1, 2, 6, 17, 50, 58, 132];

/// Ports: DNS, DHCP, DHCPv6, and others'.
const PORTS: [u16; 8] = [53, 67, 68, 546, 547, 5353, 4000, 5000];

/// At most so many random bytes.
pub(super) fn noise(random: &mut Random, length: usize) -> Vec<u8> {
    (0..random.below(length + 1))
        .map(|_| random.byte())
        .collect()
}

/// A protocol with its header and some of its payload.
pub(super) fn upper(random: &mut Random) -> (u8, Vec<u8>) {
    let any = *random.of(&PROTOCOLS);
    let protocol = *random.of(&[6, 17, 17, any]);
    let mut bytes = noise(random, 60);
    if [6, 17].contains(&protocol) {
        let ports = [*random.of(&PORTS), *random.of(&PORTS)];
        bytes.splice(..0, ports.into_iter().flat_map(u16::to_be_bytes));
    } else if bytes.len() > 1 {
        bytes[0] = *random.of(&[0, 8, 128, 129, 133, 134, 135, 136, 137]);
    }
    (protocol, bytes)
}

/// What is above IPv6, behind no, one or some extension headers (RFC 8200, 4).
pub(super) fn extended(random: &mut Random, (protocol, rest): (u8, Vec<u8>)) -> (u8, Vec<u8>) {
    let (mut protocol, mut rest) = (protocol, rest);
    if random.below(6) != 0 {
        return (protocol, rest);
    }
    for _ in 0..=random.below(5) {
        let kind = *random.of(&[0, 43, 44, 51, 60]);
        let units = random.below(3);
        let length = match kind {
            44 => 8,
            51 => 4 * (units + 2),
            _ => 8 * (units + 1),
        };
        let mut header = vec![protocol, u8::try_from(units).expect("it is below three")];
        header.resize(length, 0);
        rest.splice(..0, header);
        protocol = kind;
    }
    (protocol, rest)
}
