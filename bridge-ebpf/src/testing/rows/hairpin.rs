//! What answers a neighbour that asked by an address of the host, and what only looks like it.

#![allow(clippy::wildcard_imports, reason = "the vocabulary of the rows")]

use super::*;

/// Who publishes, in network 1 and in network 5, whose datapath is off.
const P: Sender = Sender {
    network: 1,
    slot: 15,
};
const Q: Sender = Sender {
    network: 5,
    slot: 16,
};

fn route(network: u16) -> Verdict {
    Verdict::Route {
        ifindex: World::bridge(network),
    }
}

fn answer(from: Sender, target: Sender, ports: (u16, u16)) -> Vec<u8> {
    let ends = ((from.ip4(), ports.0), (target.ip4(), ports.1));
    udp4(target.mac(), from.mac(), ends.0, ends.1, &[])
}

fn answer6(from: Sender, target: Sender, next: u8, rest: &[u8]) -> Vec<u8> {
    let ends = (from.ip6(), target.ip6());
    ipv6(target.mac(), from.mac(), ends, next, rest)
}

/// UDP from port 53 to another.
fn udp_to(port: u16) -> Vec<u8> {
    let [a, b] = port.to_be_bytes();
    vec![0, 53, a, b, 0, 8, 0, 0]
}

/// IPv4 with another protocol, and fragment offset.
fn changed(mut frame: Vec<u8>, protocol: u8, fragment: u16) -> Vec<u8> {
    frame[20..22].copy_from_slice(&fragment.to_be_bytes());
    frame[23] = protocol;
    frame
}

/// An ICMP error of `from` to `target` about a datagram from its port to port 53.
fn error(from: Sender, target: Sender, kind: u8, port: u16) -> Vec<u8> {
    let quoted = udp4(from.mac(), target.mac(), (target.ip4(), port), (from.ip4(), 53), &[]);
    let mut frame = changed(answer(from, target, (0, 0)), 1, 0);
    frame.truncate(34);
    frame.extend([kind, 3, 0, 0, 0, 0, 0, 0]);
    frame.extend(&quoted[14..42]);
    frame
}

fn error6(from: Sender, target: Sender, kind: u8, port: u16) -> Vec<u8> {
    let [a, b] = port.to_be_bytes();
    let quoted = ipv6(from.mac(), target.mac(), (target.ip6(), from.ip6()), 17, &[a, b, 0, 53, 0, 8, 0, 0]);
    let rest = [&[kind, 4, 0, 0, 0, 0, 0, 0], &quoted[14..62]].concat();
    answer6(from, target, 58, &rest)
}

pub(super) fn hairpin(add: Add<'_>) {
    let by_host = Check::Hairpin;
    add("an answer by the host", 15, answer(P, A, (53, 2000)), route(1), by_host);
    add("an answer by the host, IPv6", 15, answer6(P, A, 17, &udp_to(2000)), route(1), by_host);
    add("an answer by the host, datapath off", 16, answer(Q, H, (53, 2000)), route(5), by_host);
    let elsewhere = udp4(A.mac(), P.mac(), (P.ip4(), 53), (C.ip4(), 2000), &[]);
    add("an answer by the host, to another network", 15, elsewhere, drop(Reason::Isolated), Check::Routing);
    add("an answer to another port", 15, answer(P, A, (53, 2001)), to(1), Check::Fdb);
    add("an answer to another port, IPv6", 15, answer6(P, A, 17, &udp_to(2001)), to(1), Check::Fdb);
    add("an answer to another port, datapath off", 16, answer(Q, H, (53, 2001)), Verdict::Next, Check::Fdb);
    add("an answer to a port that a socket chose", 15, answer(P, A, (53, 40_000)), to(1), Check::Fdb);
    add("an answer to another neighbour", 15, answer(P, B, (53, 2000)), to(2), Check::Fdb);
    add("an answer of another port", 15, answer(P, A, (80, 2000)), to(1), Check::Fdb);
    add("an answer of another protocol", 15, changed(answer(P, A, (53, 2000)), 132, 0), to(1), Check::Fdb);
    add("an answer of a protocol without ports", 15, changed(answer(P, A, (53, 2000)), 47, 0), to(1), Check::Fdb);
    add("an answer of who publishes nothing", 2, answer(B, A, (53, 2000)), to(1), Check::Fdb);
    add("an answer in a tag", 15, tagged(&answer(P, A, (53, 2000)), 0x8100), Verdict::Next, Check::Fdb);
    for (first, later, target, verdict, check) in [
        ("a first fragment", "another fragment", A, route(1), by_host),
        ("a first fragment, not by the host", "another fragment, not by the host", B, to(2), Check::Fdb),
    ] {
        add(first, 15, changed(answer(P, target, (53, 2001)), 17, 0x2000), verdict, check);
        add(later, 15, changed(answer(P, target, (1, 2)), 17, 0x00b9), verdict, check);
    }
    for (name, offset, target, verdict, check) in [
        ("a first fragment, IPv6", 1, A, route(1), by_host),
        ("another fragment, IPv6", 8, A, route(1), by_host),
        ("a first fragment, not by the host, IPv6", 1, B, to(2), Check::Fdb),
    ] {
        let rest = [&[17, 0, 0, offset, 0, 0, 0, 9][..], &udp_to(2001)].concat();
        add(name, 15, answer6(P, target, 44, &rest), verdict, check);
    }
    add("an error about what came by the host", 15, error(P, A, 3, 2000), route(1), by_host);
    add("an error about what came directly", 15, error(P, A, 3, 2001), to(1), Check::Fdb);
    add("an echo with the same in it", 15, error(P, A, 8, 2000), to(1), Check::Fdb);
    add("an error about what came by the host, IPv6", 15, error6(P, A, 1, 2000), route(1), by_host);
    add("an error about what came directly, IPv6", 15, error6(P, A, 1, 2001), to(1), Check::Fdb);
    add("an echo with the same in it, IPv6", 15, error6(P, A, 128, 2000), to(1), Check::Fdb);
}
