//! Random frames that a sandbox could send in a topology: plain ones, odd ones, broken ones.

use bridge_ebpf::testing::{mac as nobody, neighbour, raw, tagged};

use super::payload::{extended, noise, upper};
use super::topology::{Endpoint, Topology, gateway_mac, ip4, ip6};
use crate::random::Random;

/// The longest frame that a leg with an MTU of 1500 takes.
const LONGEST: usize = 1514;

const ALL: [u8; 6] = [0xff; 6];

/// EtherTypes: IPv4, ARP, IPv6, an experiment, 802.1X, LLDP, MPLS, IPX's length of 802.3, and a tag
/// that nobody knows as one.
const TYPES: [u16; 9] = [
    0x0800, 0x0806, 0x86dd, 0x88b5, 0x888e, 0x88cc, 0x8847, 0x002e, 0x9100,
];

/// Bytes on which parsers turn: versions, protocols, extension headers, ICMPv6 types, edges.
const BYTES: [u8; 22] = [
    0, 1, 2, 4, 5, 6, 17, 43, 44, 45, 51, 58, 60, 67, 68, 0x81, 133, 134, 135, 136, 254, 255,
];

/// Makes frames for the endpoints of a topology.
pub(super) struct Frames<'t> {
    topology: &'t Topology,
    macs: Vec<[u8; 6]>,
    ip4s: Vec<[u8; 4]>,
    ip6s: Vec<[u8; 16]>,
}

impl<'t> Frames<'t> {
    pub(super) fn new(topology: &'t Topology) -> Self {
        let endpoints = || topology.endpoints.iter();
        let networks = 0..topology.networks.len();
        let mut macs = vec![ALL, [0; 6], [0x33, 0x33, 0, 0, 0, 1], nobody(1), nobody(2)];
        macs.extend([
            [1, 0, 0x5e, 0, 0, 1],
            [1, 0x80, 0xc2, 0, 0, 0],
            [1, 0x80, 0xc2, 0, 0, 14],
        ]);
        macs.extend(networks.clone().map(gateway_mac));
        macs.extend(endpoints().map(|e| e.mac));
        let mut ip4s = vec![
            [0; 4],
            [255; 4],
            [127, 0, 0, 1],
            [224, 0, 0, 251],
            [9, 9, 9, 9],
        ];
        ip4s.extend(
            networks
                .clone()
                .flat_map(|n| [1, 99, 255].map(|host| ip4(n, host))),
        );
        ip4s.extend(endpoints().map(Endpoint::ip4));
        let mut ip6s = vec![[0; 16], group(1), group(2), group(0xfb)];
        ip6s.extend([[0x20; 16], ip6(9, 9)]);
        ip6s.extend(networks.flat_map(|n| [1, 99].map(|host| ip6(n, host))));
        ip6s.extend(endpoints().flat_map(|e| [e.ip6(), e.link_local()]));
        Self {
            topology,
            macs,
            ip4s,
            ip6s,
        }
    }

    /// A frame of an endpoint's.
    pub(super) fn frame(&self, random: &mut Random, from: usize) -> Vec<u8> {
        let own = &self.topology.endpoints[from];
        // Somebody to speak with: mostly an endpoint of the same network.
        let members: Vec<usize> = self.topology.members(own.network).collect();
        let (once, twice) = (*random.of(&members), *random.of(&members));
        let peer = &self.topology.endpoints[if once == from { twice } else { once }];
        let mut frame = match random.below(16) {
            0..5 => self.ipv4(random, own, peer),
            5..9 => self.ipv6(random, own, peer),
            9..11 => self.arp(random, own, peer),
            11..13 => self.discovery(random, own, peer),
            13..15 => {
                let payload = noise(random, 80);
                let to = self.station(random, own, peer);
                raw(to, own.mac, *random.of(&TYPES), &payload)
            }
            _ => {
                let length = random.below(LONGEST);
                let to = self.station(random, own, peer);
                raw(to, own.mac, *random.of(&TYPES), &noise(random, length))
            }
        };
        if random.below(16) == 0 {
            let another = self.another_source(random, own);
            frame[6..12].copy_from_slice(&another);
        }
        self.spoil(random, &mut frame);
        frame
    }

    /// A source address that is not the sender's, of groups and nobody too where nobody asks.
    fn another_source(&self, random: &mut Random, own: &Endpoint) -> [u8; 6] {
        let mac = *random.of(&self.macs);
        if self.topology.may_spoof(own) || mac[0] & 1 == 0 {
            mac
        } else {
            nobody(3)
        }
    }

    fn station(&self, random: &mut Random, own: &Endpoint, peer: &Endpoint) -> [u8; 6] {
        match random.below(8) {
            0..4 => peer.mac,
            4 => gateway_mac(own.network),
            _ => *random.of(&self.macs),
        }
    }

    /// UDP, TCP or another protocol, sometimes with options, sometimes a fragment.
    fn ipv4(&self, random: &mut Random, own: &Endpoint, peer: &Endpoint) -> Vec<u8> {
        let words = if random.below(8) == 0 { 6 } else { 5 };
        let upper = upper(random);
        let length = u16::try_from(4 * words + upper.1.len()).expect("it is short");
        let words = u8::try_from(words).expect("it is 5 or 6");
        let mut packet = vec![0x40 | words, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([random.byte(), random.byte()]);
        let fragment = if random.below(8) == 0 {
            random.byte() & 0x2f
        } else {
            0x40
        };
        packet.extend([fragment, 0, 64, upper.0, 0, 0]);
        packet.extend(pick(random, 12, own.ip4(), &self.ip4s));
        packet.extend(pick(random, 4, peer.ip4(), &self.ip4s));
        if words == 6 {
            packet.extend([1; 4]);
        }
        packet.extend(upper.1);
        raw(self.station(random, own, peer), own.mac, 0x0800, &packet)
    }

    /// The same in IPv6, sometimes behind extension headers.
    fn ipv6(&self, random: &mut Random, own: &Endpoint, peer: &Endpoint) -> Vec<u8> {
        let source = *random.of(&[own.ip6(), own.ip6(), own.link_local()]);
        let ends = (
            pick(random, 12, source, &self.ip6s),
            pick(random, 4, peer.ip6(), &self.ip6s),
        );
        let upper = upper(random);
        let (protocol, rest) = extended(random, upper);
        let to = self.station(random, own, peer);
        bridge_ebpf::testing::ipv6(to, own.mac, ends, protocol, &rest)
    }

    /// Requests, replies, announcements and probes, to all or to one.
    fn arp(&self, random: &mut Random, own: &Endpoint, peer: &Endpoint) -> Vec<u8> {
        let operation = [0, *random.of(&[1, 1, 1, 2, 2, 3])];
        let asked = *random.of(&[peer.ip4(), ip4(own.network, 1), own.ip4()]);
        let message: [&[u8]; 6] = [
            &[0, 1, 8, 0, 6, 4],
            &operation,
            &pick(random, 12, own.mac, &self.macs),
            &pick(random, 8, own.ip4(), &self.ip4s),
            &pick(random, 8, [0; 6], &self.macs),
            &pick(random, 6, asked, &self.ip4s),
        ];
        let to = pick(random, 3, ALL, &[peer.mac, gateway_mac(own.network)]);
        raw(to, own.mac, 0x0806, &message.concat())
    }

    /// Solicitations and advertisements of neighbours and routers, and redirects.
    fn discovery(&self, random: &mut Random, own: &Endpoint, peer: &Endpoint) -> Vec<u8> {
        let kind = *random.of(&[135, 135, 135, 136, 136, 133, 134, 137]);
        let asked = *random.of(&[
            peer.ip6(),
            peer.link_local(),
            ip6(own.network, 1),
            own.ip6(),
        ]);
        let target = pick(random, 6, asked, &self.ip6s);
        let option = pick(random, 8, own.mac, &self.macs);
        let message = neighbour(kind, target, (random.below(4) != 0).then_some(option));
        let mut solicited = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
        solicited[13..].copy_from_slice(&target[13..]);
        let ends = (
            pick(random, 8, own.ip6(), &self.ip6s),
            pick(random, 8, solicited, &self.ip6s),
        );
        let mut group = [0x33, 0x33, 0xff, 0, 0, 0];
        group[3..].copy_from_slice(&target[13..]);
        let to = pick(random, 4, group, &[peer.mac, ALL, gateway_mac(own.network)]);
        bridge_ebpf::testing::ipv6(to, own.mac, ends, 58, &message)
    }

    /// Tags, lengths and bytes that are not as they should be, in some frames.
    fn spoil(&self, random: &mut Random, frame: &mut Vec<u8>) {
        if random.below(6) == 0 {
            for _ in 0..=random.below(3) {
                *frame = tagged(frame, *random.of(&[0x8100, 0x88a8]));
                frame[15] = *random.of(&[0, 1, 7, 255]);
            }
        }
        if random.below(8) == 0 {
            for _ in 0..=random.below(3) {
                let at = 12 + random.below(frame.len() - 12);
                frame[at] = if random.below(2) == 0 {
                    *random.of(&BYTES)
                } else {
                    random.byte()
                };
            }
        }
        match random.below(24) {
            // The kernel takes no frame without an Ethernet header.
            0 => frame.truncate(14 + random.below(frame.len() - 14)),
            1 => frame.resize(frame.len() + random.below(LONGEST), random.byte()),
            2 => {
                let to = *random.of(&self.macs);
                frame[..6].copy_from_slice(&to);
            }
            _ => {}
        }
        frame.truncate(LONGEST);
    }
}

/// The usual one, but every so often another.
fn pick<T: Copy>(random: &mut Random, often: usize, usual: T, others: &[T]) -> T {
    if random.below(often) == 0 {
        *random.of(others)
    } else {
        usual
    }
}

/// A group of IPv6's, of the scope of a link.
fn group(last: u8) -> [u8; 16] {
    let mut address = [0; 16];
    address[..2].copy_from_slice(&[0xff, 2]);
    address[15] = last;
    address
}
