//! Frames, built of parts.

use super::World;

/// A MAC address that is nobody's, by its last byte.
pub fn mac(last: u8) -> [u8; 6] {
    [0x02, 0x99, 0x99, 0x99, 0x99, last]
}

/// Who sends: the endpoint of a slot in a network, with its own addresses.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// Number of its network.
    pub network: u16,
    /// Its slot.
    pub slot: u16,
}

impl Sender {
    /// Its MAC address, where we assigned it.
    pub fn mac(self) -> [u8; 6] {
        World::mac(self.slot)
    }

    /// Its IPv4 address.
    pub fn ip4(self) -> [u8; 4] {
        World::ip4(self.network, World::host(self.slot))
    }

    /// Its IPv6 address.
    pub fn ip6(self) -> [u8; 16] {
        World::ip6(self.network, World::host(self.slot))
    }

    /// Its link-local address.
    pub fn link_local(self) -> [u8; 16] {
        let [a, b, c, d, e, f] = self.mac();
        [
            0xfe,
            0x80,
            0,
            0,
            0,
            0,
            0,
            0,
            a ^ 2,
            b,
            c,
            0xff,
            0xfe,
            d,
            e,
            f,
        ]
    }

    /// An ARP message: a request, or a reply, by `sender` for `target`.
    pub fn arp(self, request: bool, sender: [u8; 4], target: [u8; 4], to: [u8; 6]) -> Vec<u8> {
        self.arp_as(request, (self.mac(), sender), target, to)
    }

    /// As [`Sender::arp`], with another MAC address inside.
    pub fn arp_as(
        self,
        request: bool,
        sender: ([u8; 6], [u8; 4]),
        target: [u8; 4],
        to: [u8; 6],
    ) -> Vec<u8> {
        let operation = [0, if request { 1 } else { 2 }];
        let message: [&[u8]; 6] = [
            &[0, 1, 8, 0, 6, 4],
            &operation,
            &sender.0,
            &sender.1,
            &[0; 6],
            &target,
        ];
        raw(to, self.mac(), 0x0806, &message.concat())
    }
}

/// A frame with a payload, filled up to 60 bytes.
pub fn raw(to: [u8; 6], from: [u8; 6], ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from, &ether_type.to_be_bytes(), payload].concat();
    if frame.len() < 60 {
        frame.resize(60, 0);
    }
    frame
}

/// `frame` with a VLAN tag.
pub fn tagged(frame: &[u8], tag: u16) -> Vec<u8> {
    [&frame[..12], &tag.to_be_bytes(), &[0, 7], &frame[12..]].concat()
}

/// A UDP datagram in IPv4.
pub fn ipv4(to: [u8; 6], from: [u8; 6], source: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    udp4(to, from, (source, 4000), (target, 5000), &[])
}

/// A DHCP message: from a server (67), or a client (68).
pub fn dhcp(from: [u8; 6], source: [u8; 4], port: u16) -> Vec<u8> {
    udp4([0xff; 6], from, (source, port), ([255; 4], 135 - port), &[])
}

/// UDP in IPv4, with options in the IPv4 header.
pub fn udp4(
    to: [u8; 6],
    from: [u8; 6],
    source: ([u8; 4], u16),
    target: ([u8; 4], u16),
    options: &[u8],
) -> Vec<u8> {
    let words = 5 + u8::try_from(options.len() / 4).expect("options are short");
    let length = u16::from(words) * 4 + 8 + 18;
    let mut header = vec![0x40 | words, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    header.extend(source.0);
    header.extend(target.0);
    header.extend(options);
    header.extend(source.1.to_be_bytes());
    header.extend(target.1.to_be_bytes());
    header.extend([0, 26, 0, 0]);
    header.extend([0x5a; 18]);
    raw(to, from, 0x0800, &header)
}

/// IPv6 with an upper layer and what follows.
pub fn ipv6(
    to: [u8; 6],
    from: [u8; 6],
    (source, target): ([u8; 16], [u8; 16]),
    next: u8,
    rest: &[u8],
) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(
        u16::try_from(rest.len())
            .expect("frames are short")
            .to_be_bytes(),
    );
    header.extend([next, 255]);
    header.extend(source);
    header.extend(target);
    header.extend(rest);
    raw(to, from, 0x86dd, &header)
}

/// A neighbour discovery message (RFC 4861, 4.3 and 4.4) with a link-layer address option.
pub fn neighbour(kind: u8, target: [u8; 16], option: Option<[u8; 6]>) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target);
    if let Some(mac) = option {
        message.extend([if kind == 136 { 2 } else { 1 }, 1]);
        message.extend(mac);
    }
    message
}
