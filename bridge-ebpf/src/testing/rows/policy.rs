//! What may not be reached, and frames that are odd.

#![allow(clippy::wildcard_imports, reason = "the vocabulary of the rows")]

use super::*;

pub(super) fn policy(add: Add<'_>) {
    let routing = Check::Routing;
    add("another network by its gateway", 1, ipv4(gateway(1), A.mac(), A.ip4(), C.ip4()), drop(Reason::Isolated), routing);
    add("another network by its gateway, IPv6", 1, ipv6(gateway(1), A.mac(), (A.ip6(), C.ip6()), 6, &[0; 20]), drop(Reason::Isolated), routing);
    add("another network, in a tag", 1, tagged(&ipv4(gateway(1), A.mac(), A.ip4(), C.ip4()), 0x8100), drop(Reason::Isolated), routing);
    add("another network by an unknown station", 1, ipv4(mac(1), A.mac(), A.ip4(), C.ip4()), drop(Reason::Isolated), routing);
    add("another network's gateway is the host", 1, ipv4(gateway(1), A.mac(), A.ip4(), World::ip4(2, 1)), host(1), routing);
    add("an endpoint of another network by its MAC", 1, ipv4(C.mac(), A.mac(), A.ip4(), C.ip4()), drop(Reason::Isolated), routing);
    add("the own network by its gateway", 1, ipv4(gateway(1), A.mac(), A.ip4(), B.ip4()), host(1), routing);
    add("no ICC", 7, udp(D, E), drop(Reason::Icc), Check::Icc);
    add("no ICC, IPv6", 7, udp6(D, E), drop(Reason::Icc), Check::Icc);
    add("no ICC, an unknown station", 7, ipv4(mac(1), D.mac(), D.ip4(), E.ip4()), drop(Reason::Icc), Check::Icc);
    add("no ICC, by the gateway", 7, ipv4(gateway(3), D.mac(), D.ip4(), E.ip4()), drop(Reason::Icc), routing);
    add("no ICC, to the gateway", 7, ipv4(gateway(3), D.mac(), D.ip4(), World::ip4(3, 1)), host(3), routing);
    add("no ICC, to the outside", 7, ipv4(gateway(3), D.mac(), D.ip4(), OUTSIDE), host(3), routing);
    add("no ICC, to the linked one", 7, udp(D, LINKED), to(13), Check::Fdb);
    add("no ICC, to the linked one, IPv6", 7, udp6(D, LINKED), to(13), Check::Fdb);
    add("no ICC, back from the linked one", 13, udp(LINKED, D), to(7), Check::Fdb);
    add("no ICC, ARP of the linked one by its MAC", 7, D.arp(true, D.ip4(), LINKED.ip4(), LINKED.mac()), to(13), Check::Fdb);
    add("no ICC, linked with another", 13, udp(LINKED, E), drop(Reason::Icc), Check::Icc);
    add("no ICC, another than the one that is linked", 8, udp(E, LINKED), drop(Reason::Icc), Check::Icc);
    add("no ICC, linked, in a tag", 7, tagged(&udp(D, LINKED), 0x8100), drop(Reason::Icc), Check::Fdb);
    add("no ICC, linked, by the gateway", 7, ipv4(gateway(3), D.mac(), D.ip4(), LINKED.ip4()), drop(Reason::Icc), routing);
    add("no ICC, linked, not there yet", 7, udp(D, NOT_YET), drop(Reason::Icc), Check::Icc);
    add("internal, to the gateway", 9, ipv4(gateway(4), F.mac(), F.ip4(), World::ip4(4, 1)), host(4), routing);
    add("internal, to the outside", 9, ipv4(gateway(4), F.mac(), F.ip4(), OUTSIDE), drop(Reason::Internal), routing);
    add("internal, to the outside, IPv6", 9, ipv6(gateway(4), F.mac(), (F.ip6(), OUTSIDE6), 6, &[0; 20]), drop(Reason::Internal), routing);
    add("internal, to another network", 9, ipv4(gateway(4), F.mac(), F.ip4(), A.ip4()), drop(Reason::Internal), routing);
    add("internal, to another gateway", 9, ipv4(gateway(4), F.mac(), F.ip4(), World::ip4(1, 1)), drop(Reason::Internal), routing);
    add("datapath off, another network", 11, ipv4(gateway(5), H.mac(), H.ip4(), A.ip4()), drop(Reason::Isolated), routing);
    add("datapath off, another's MAC", 12, udp(H, I), drop(Reason::SpoofedMac), Check::SourceMac);
}

pub(super) fn odd(add: Add<'_>) {
    let malformed = drop(Reason::Malformed);
    let cut = |frame: Vec<u8>, length: usize| frame[..length].to_vec();
    add("IPv4 cut short", 1, cut(udp(A, B), 30), malformed, Check::Headers);
    add("IPv6 cut short", 1, cut(udp6(A, B), 50), malformed, Check::Headers);
    add("ARP cut short", 1, cut(A.arp(true, A.ip4(), B.ip4(), ALL), 40), malformed, Check::Headers);
    add("UDP cut short", 1, cut(udp(A, B), 35), malformed, Check::Headers);
    add("IPv4 of another version", 1, raw(B.mac(), A.mac(), 0x0800, &[0x65; 46]), malformed, Check::Headers);
    add("IPv4 with a short header length", 1, raw(B.mac(), A.mac(), 0x0800, &[0x44; 46]), malformed, Check::Headers);
    add("IPv6 of another version", 1, raw(B.mac(), A.mac(), 0x86dd, &[0x45; 60]), malformed, Check::Headers);
    add("ARP for another protocol", 1, raw(ALL, A.mac(), 0x0806, &[9; 46]), malformed, Check::Headers);
    let three = tagged(&tagged(&tagged(&udp(A, B), 0x8100), 0x8100), 0x88a8);
    add("three tags", 1, three.clone(), malformed, Check::Ethernet);
    add("three tags, trusted", 4, three, malformed, Check::Ethernet);
    let chain = [[0, 0, 1, 4, 0, 0, 0, 0]; 6].concat();
    add("a long chain of extensions", 1, ipv6(B.mac(), A.mac(), (A.ip6(), B.ip6()), 0, &chain), malformed, Check::Headers);
    let endless = [neighbour(135, B.ip6(), None), vec![1, 0, 0, 0, 0, 0, 0, 0]].concat();
    add("an option without length", 1, ipv6(NODES_MAC, A.mac(), (A.ip6(), NODES), 58, &endless), malformed, Check::Headers);
    let victim = [&[1, 1][..], &B.mac()].concat();
    let ask = |options: &[u8]| ipv6(NODES_MAC, A.mac(), (A.ip6(), NODES), 58, &[&neighbour(135, B.ip6(), None)[..], options].concat());
    let far = [&[14, 31][..], &[0; 246], &victim].concat();
    add("another's MAC behind a long option", 1, ask(&far), malformed, Check::Headers);
    let many = [&[14, 1, 0, 0, 0, 0, 0, 0].repeat(4)[..], &victim].concat();
    add("another's MAC behind many options", 1, ask(&many), malformed, Check::Headers);
    let fragment = [17, 0, 0, 8, 0, 0, 0, 9, 1, 2, 3, 4];
    add("a later fragment", 1, ipv6(B.mac(), A.mac(), (A.ip6(), B.ip6()), 44, &fragment), to(2), Check::Fdb);
}
