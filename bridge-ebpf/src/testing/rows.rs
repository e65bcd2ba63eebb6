//! The table: a name, a port, a frame, the verdict and the check that comes to it.

mod hairpin;
mod neighbours;
mod policy;

use bridge_common::DropReason as Reason;

use super::{Sender, World, dhcp, ipv4, ipv6, mac, neighbour, raw, tagged, udp4};
use crate::{Answer, Check, Verdict};

/// One case in the world of [`World::standard`].
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is about.
    pub name: &'static str,
    /// Slot of the port that the frame comes in on; 0 is a port of nobody's.
    pub from: u16,
    /// The frame.
    pub frame: Vec<u8>,
    /// What has to become of it.
    pub verdict: Verdict,
    /// And by which check.
    pub check: Check,
}

const ALL: [u8; 6] = [0xff; 6];
const OUTSIDE: [u8; 4] = [192, 0, 2, 1];
const OUTSIDE6: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

const A: Sender = Sender {
    network: 1,
    slot: 1,
};
const B: Sender = Sender {
    network: 1,
    slot: 2,
};
const TRUSTED: Sender = Sender {
    network: 1,
    slot: 4,
};
const C: Sender = Sender {
    network: 2,
    slot: 5,
};
const D: Sender = Sender {
    network: 3,
    slot: 7,
};
const E: Sender = Sender {
    network: 3,
    slot: 8,
};
const LINKED: Sender = Sender {
    network: 3,
    slot: 13,
};
const NOT_YET: Sender = Sender {
    network: 3,
    slot: 14,
};
const F: Sender = Sender {
    network: 4,
    slot: 9,
};
const G: Sender = Sender {
    network: 4,
    slot: 10,
};
const H: Sender = Sender {
    network: 5,
    slot: 11,
};
const I: Sender = Sender {
    network: 5,
    slot: 12,
};

fn drop(reason: Reason) -> Verdict {
    Verdict::Drop(reason)
}

fn to(slot: u16) -> Verdict {
    Verdict::Redirect {
        ifindex: World::ifindex(slot),
    }
}

fn host(network: u16) -> Verdict {
    Verdict::Host {
        ifindex: World::bridge(network),
    }
}

fn gateway(network: u16) -> [u8; 6] {
    World::gateway_mac(network)
}

/// A UDP datagram between two endpoints.
fn udp(from: Sender, target: Sender) -> Vec<u8> {
    ipv4(target.mac(), from.mac(), from.ip4(), target.ip4())
}

fn udp6(from: Sender, target: Sender) -> Vec<u8> {
    ipv6(
        target.mac(),
        from.mac(),
        (from.ip6(), target.ip6()),
        17,
        &[0x5a; 16],
    )
}

/// A neighbour solicitation of `from` for `target`, from `source`.
fn ask6(from: Sender, source: [u8; 16], target: [u8; 16], option: Option<[u8; 6]>) -> Vec<u8> {
    ipv6(
        NODES_MAC,
        from.mac(),
        (source, NODES),
        58,
        &neighbour(135, target, option),
    )
}

/// Every row.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |name, from: u16, frame: Vec<u8>, verdict, check| {
        rows.push(Row {
            name,
            from,
            frame,
            verdict,
            check,
        });
    };
    roads(&mut add);
    refusals(&mut add);
    neighbours::discovery(&mut add);
    policy::policy(&mut add);
    policy::odd(&mut add);
    hairpin::hairpin(&mut add);
    rows
}

/// Link-local address of network 3's gateway.
const GATEWAY_3: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0xff, 0xfe, 0, 0, 3];

type Add<'a> = &'a mut dyn FnMut(&'static str, u16, Vec<u8>, Verdict, Check);

fn roads(add: Add<'_>) {
    let chosen = |from: [u8; 6], to: [u8; 6], source, target| ipv4(to, from, source, target);
    let ip3 = World::ip4(1, World::host(3));
    add("IPv4 to a neighbour", 1, udp(A, B), to(2), Check::Fdb);
    add("IPv6 to a neighbour", 1, udp6(A, B), to(2), Check::Fdb);
    add("a chosen MAC as destination", 1, chosen(A.mac(), World::CHOSEN, A.ip4(), ip3), to(3), Check::Fdb);
    add("a chosen MAC as source", 3, chosen(World::CHOSEN, A.mac(), ip3, A.ip4()), to(1), Check::Fdb);
    add("another EtherType", 1, raw(B.mac(), A.mac(), 0x88b5, &[1; 50]), to(2), Check::Fdb);
    add("the same MAC in another network", 5, ipv4(World::mac(2), C.mac(), C.ip4(), World::ip4(2, 16)), to(6), Check::Fdb);
    add("datapath off", 11, udp(H, I), Verdict::Next, Check::Fdb);
    add("datapath off, IPv6", 11, udp6(H, I), Verdict::Next, Check::Fdb);
    add("internal, within", 9, udp(F, G), to(10), Check::Fdb);
    add("back to its own port", 1, udp(A, A), Verdict::Next, Check::Fdb);
    add("tagged", 1, tagged(&udp(A, B), 0x8100), Verdict::Next, Check::Fdb);
    add("tagged twice", 1, tagged(&tagged(&udp(A, B), 0x8100), 0x88a8), Verdict::Next, Check::Fdb);
    add("broadcast", 1, ipv4(ALL, A.mac(), A.ip4(), [255; 4]), Verdict::Next, Check::Bridge);
    let by_gateway = |to| ipv6(World::gateway_mac(3), D.mac(), (D.ip6(), to), 17, &[0x5a; 16]);
    add("another's link-local by the gateway, no ICC", 7, by_gateway(A.link_local()), drop(Reason::Icc), Check::Routing);
    add("the gateway's link-local, no ICC", 7, by_gateway(GATEWAY_3), host(3), Check::Routing);
    add("broadcast, no ICC", 7, ipv4(ALL, D.mac(), D.ip4(), [255; 4]), host(3), Check::Icc);
    add("multicast of another type", 1, raw(NODES_MAC, A.mac(), 0x88b5, &[]), Verdict::Next, Check::Bridge);
    add("to the gateway", 1, ipv4(gateway(1), A.mac(), A.ip4(), World::ip4(1, 1)), host(1), Check::Routing);
    add("to the outside", 1, ipv4(gateway(1), A.mac(), A.ip4(), OUTSIDE), host(1), Check::Routing);
    add("to the outside, IPv6", 1, ipv6(gateway(1), A.mac(), (A.ip6(), OUTSIDE6), 6, &[0; 20]), host(1), Check::Routing);
    add("an unknown station", 1, ipv4(mac(1), A.mac(), A.ip4(), World::ip4(1, 200)), Verdict::Next, Check::Bridge);
    add("trusted with any address", 4, ipv4(B.mac(), mac(9), OUTSIDE, B.ip4()), to(2), Check::Fdb);
    add("trusted, but no station", 4, ipv4(B.mac(), [0; 6], OUTSIDE, B.ip4()), drop(Reason::Malformed), Check::SourceMac);
    add("trusted, but a group", 4, ipv4(B.mac(), NODES_MAC, OUTSIDE, B.ip4()), drop(Reason::Malformed), Check::SourceMac);
    add("trusted, anything in IP", 4, raw(B.mac(), TRUSTED.mac(), 0x0800, &[0; 4]), to(2), Check::Fdb);
}

fn refusals(add: Add<'_>) {
    let source_address = Check::SourceAddress;
    add("no port of ours", 0, udp(A, B), drop(Reason::NoPort), Check::Port);
    add("no port of ours, broadcast", 0, ipv4(ALL, A.mac(), A.ip4(), [255; 4]), drop(Reason::NoPort), Check::Port);
    add("another's MAC", 2, udp(A, B), drop(Reason::SpoofedMac), Check::SourceMac);
    add("nobody's MAC", 1, ipv4(B.mac(), mac(1), A.ip4(), B.ip4()), drop(Reason::SpoofedMac), Check::SourceMac);
    add("another's IPv4", 1, ipv4(B.mac(), A.mac(), B.ip4(), B.ip4()), drop(Reason::SpoofedIp), source_address);
    add("another's IPv4 in a tag", 1, tagged(&ipv4(B.mac(), A.mac(), B.ip4(), B.ip4()), 0x8100), drop(Reason::SpoofedIp), source_address);
    add("the gateway's IPv4", 1, ipv4(B.mac(), A.mac(), World::ip4(1, 1), B.ip4()), drop(Reason::SpoofedIp), source_address);
    add("no IPv4", 1, ipv4(B.mac(), A.mac(), [0; 4], B.ip4()), drop(Reason::SpoofedIp), source_address);
    add("another's IPv6", 1, ipv6(B.mac(), A.mac(), (B.ip6(), B.ip6()), 17, &[0x5a; 16]), drop(Reason::SpoofedIp), source_address);
    add("another's link-local", 1, ipv6(B.mac(), A.mac(), (B.link_local(), B.ip6()), 17, &[0x5a; 16]), drop(Reason::SpoofedIp), source_address);
    add("the own link-local", 1, ipv6(B.mac(), A.mac(), (A.link_local(), B.ip6()), 17, &[0x5a; 16]), to(2), Check::Fdb);
    add("no IPv6 with UDP", 1, ipv6(B.mac(), A.mac(), ([0; 16], B.ip6()), 17, &[0x5a; 16]), drop(Reason::SpoofedIp), source_address);
    add("ARP for another's address", 1, A.arp(false, B.ip4(), C.ip4(), ALL), drop(Reason::SpoofedArp), source_address);
    add("ARP as the gateway", 1, A.arp(false, World::ip4(1, 1), B.ip4(), B.mac()), drop(Reason::SpoofedArp), source_address);
    add("ARP with another's MAC inside", 1, A.arp_as(true, (B.mac(), A.ip4()), B.ip4(), ALL), drop(Reason::SpoofedArp), source_address);
    add("a DHCP server", 1, dhcp(A.mac(), A.ip4(), 67), drop(Reason::RogueDhcp), source_address);
    add("a DHCP server behind options", 1, udp4(ALL, A.mac(), (A.ip4(), 67), ([255; 4], 68), &[1; 8]), drop(Reason::RogueDhcp), source_address);
    add("a DHCP server by another port", 1, udp4(B.mac(), A.mac(), (A.ip4(), 1067), (B.ip4(), 68), &[]), drop(Reason::RogueDhcp), source_address);
    add("a DHCPv6 server by another port", 1, ipv6(B.mac(), A.mac(), (A.ip6(), B.ip6()), 17, &[6, 11, 2, 34, 0, 8, 0, 0]), drop(Reason::RogueDhcp), source_address);
    add("a DHCP client without address", 1, dhcp(A.mac(), [0; 4], 68), Verdict::Next, Check::Bridge);
    let client = |source, target| udp4(ALL, A.mac(), source, target, &[]);
    add("a DHCP client without address to another port", 1, client(([0; 4], 68), ([255; 4], 53)), drop(Reason::SpoofedIp), source_address);
    add("a DHCP client without address to one", 1, client(([0; 4], 68), (B.ip4(), 67)), drop(Reason::SpoofedIp), source_address);
    add("another port without address to DHCP servers", 1, client(([0; 4], 1068), ([255; 4], 67)), drop(Reason::SpoofedIp), source_address);
    add("a DHCPv6 server", 1, ipv6(B.mac(), A.mac(), (A.ip6(), B.ip6()), 17, &[2, 35, 2, 34, 0, 8, 0, 0]), drop(Reason::RogueDhcp), source_address);
    let server6 = |next, payload: &[u8]| ipv6(B.mac(), A.mac(), (A.ip6(), B.ip6()), next, payload);
    let twice = tagged(&tagged(&server6(17, &[2, 35, 2, 34, 0, 8, 0, 0]), 0x8100), 0x88a8);
    add("a DHCPv6 server in two tags", 1, twice, drop(Reason::RogueDhcp), source_address);
    let behind = [[17, 0, 1, 4, 0, 0, 0, 0], [2, 35, 2, 34, 0, 8, 0, 0]].concat();
    add("a DHCPv6 server behind options", 1, server6(60, &behind), drop(Reason::RogueDhcp), source_address);
    for (name, kind) in [("a router advertisement", 134), ("a redirect", 137)] {
        let frame = ipv6(NODES_MAC, A.mac(), (A.link_local(), NODES), 58, &[kind, 0, 0, 0, 0, 0, 0, 0]);
        add(name, 1, frame, drop(Reason::RogueRa), source_address);
    }
    for (name, kind, verdict, check) in [
        ("an echo request from no address", 128, drop(Reason::SpoofedIp), source_address),
        ("an advertisement from no address", 136, drop(Reason::SpoofedIp), source_address),
        ("a multicast query from no address", 130, drop(Reason::SpoofedIp), source_address),
        ("a router solicitation from no address", 133, Verdict::Next, Check::Bridge),
        ("a multicast report from no address", 131, Verdict::Next, Check::Bridge),
        ("a multicast done from no address", 132, Verdict::Next, Check::Bridge),
        ("a multicast report of version 2 from no address", 143, Verdict::Next, Check::Bridge),
    ] {
        add(name, 1, ipv6(NODES_MAC, A.mac(), ([0; 16], NODES), 58, &[kind, 0, 0, 0, 0, 0, 0, 0]), verdict, check);
    }
    // Hop-by-hop options, a fragment header, and then the advertisement (RFC 7113, 2).
    let hidden = [[44, 0, 1, 4, 0, 0, 0, 0], [58, 0, 0, 1, 0, 0, 0, 9], [134, 0, 0, 0, 0, 0, 0, 0]].concat();
    add("a router advertisement behind extensions", 1, ipv6(NODES_MAC, A.mac(), (A.link_local(), NODES), 0, &hidden), drop(Reason::RogueRa), source_address);
}
