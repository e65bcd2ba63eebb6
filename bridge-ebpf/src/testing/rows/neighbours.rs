//! Requests for neighbours, and what speaks for them.

#![allow(clippy::wildcard_imports, reason = "the vocabulary of the rows")]

use super::*;

pub(super) fn discovery(add: Add<'_>) {
    let arp = |slot| {
        Verdict::Answer(Answer::Arp {
            mac: World::mac(slot),
        })
    };
    let nd = |slot| {
        Verdict::Answer(Answer::Neighbour {
            mac: World::mac(slot),
            router: false,
        })
    };
    let neighbour_check = Check::Neighbour;
    add("ARP for a neighbour", 1, A.arp(true, A.ip4(), B.ip4(), ALL), arp(2), neighbour_check);
    add("ARP for the gateway", 1, A.arp(true, A.ip4(), World::ip4(1, 1), ALL), Verdict::Answer(Answer::Arp { mac: gateway(1) }), neighbour_check);
    add("ARP for nobody", 1, A.arp(true, A.ip4(), World::ip4(1, 200), ALL), Verdict::Next, Check::Bridge);
    add("ARP for an address of another network", 1, A.arp(true, A.ip4(), C.ip4(), ALL), Verdict::Next, Check::Bridge);
    add("a probe for a taken address", 1, A.arp(true, [0; 4], B.ip4(), ALL), arp(2), neighbour_check);
    add("a probe for the own address", 1, A.arp(true, [0; 4], A.ip4(), ALL), Verdict::Next, Check::Bridge);
    add("an announcement", 1, A.arp(true, A.ip4(), A.ip4(), ALL), Verdict::Next, Check::Bridge);
    add("unicast ARP", 1, A.arp(true, A.ip4(), B.ip4(), B.mac()), to(2), Check::Fdb);
    add("ARP, no ICC", 7, D.arp(true, D.ip4(), E.ip4(), ALL), drop(Reason::Icc), neighbour_check);
    add("ARP for the linked one, no ICC", 7, D.arp(true, D.ip4(), LINKED.ip4(), ALL), arp(13), neighbour_check);
    add("ARP by the linked one, no ICC", 13, LINKED.arp(true, LINKED.ip4(), D.ip4(), ALL), arp(7), neighbour_check);
    add("ARP for another than the linked one, no ICC", 13, LINKED.arp(true, LINKED.ip4(), E.ip4(), ALL), drop(Reason::Icc), neighbour_check);
    add("solicitation of the linked one, no ICC", 7, ask6(D, D.ip6(), LINKED.ip6(), Some(D.mac())), nd(13), neighbour_check);
    add("ARP for the gateway, no ICC", 7, D.arp(true, D.ip4(), World::ip4(3, 1), ALL), Verdict::Answer(Answer::Arp { mac: gateway(3) }), neighbour_check);
    add("tagged ARP is not answered", 1, tagged(&A.arp(true, A.ip4(), B.ip4(), ALL), 0x8100), Verdict::Next, Check::Bridge);
    add("solicitation of a neighbour", 1, ask6(A, A.ip6(), B.ip6(), Some(A.mac())), nd(2), neighbour_check);
    add("solicitation of the gateway", 1, ask6(A, A.ip6(), World::ip6(1, 1), Some(A.mac())), Verdict::Answer(Answer::Neighbour { mac: gateway(1), router: true, }), neighbour_check);
    add("solicitation of nobody", 1, ask6(A, A.ip6(), World::ip6(1, 200), Some(A.mac())), Verdict::Next, Check::Bridge);
    add("duplicate address detection, own", 1, ask6(A, [0; 16], A.ip6(), None), Verdict::Next, Check::Bridge);
    add("duplicate address detection, taken", 1, ask6(A, [0; 16], B.ip6(), None), nd(2), neighbour_check);
    add("solicitation, no ICC", 7, ask6(D, D.ip6(), E.ip6(), Some(D.mac())), drop(Reason::Icc), neighbour_check);
    add("solicitation with another's MAC", 1, ask6(A, A.ip6(), B.ip6(), Some(B.mac())), drop(Reason::SpoofedNd), Check::SourceAddress);
    let advertise = |target, option| { ipv6(B.mac(), A.mac(), (A.ip6(), B.ip6()), 58, &neighbour(136, target, option)) };
    add("advertisement of the own address", 1, advertise(A.ip6(), Some(A.mac())), to(2), Check::Fdb);
    add("advertisement of another's address", 1, advertise(B.ip6(), Some(A.mac())), drop(Reason::SpoofedNd), Check::SourceAddress);
    add("advertisement with another's MAC", 1, advertise(A.ip6(), Some(B.mac())), drop(Reason::SpoofedNd), Check::SourceAddress);
    link_local(add);
}

/// Solicitations of addresses that are made of MAC addresses.
fn link_local(add: Add<'_>) {
    let nd = |mac, router| Verdict::Answer(Answer::Neighbour { mac, router });
    let ask = |from: Sender, target| ask6(from, from.link_local(), target, Some(from.mac()));
    let of = |[a, b, c, d, e, f]: [u8; 6]| [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    let check = Check::Neighbour;
    add("solicitation of a link-local address", 1, ask(A, B.link_local()), nd(B.mac(), false), check);
    add("solicitation of a chosen MAC's link-local address", 1, ask(A, of(World::CHOSEN)), nd(World::CHOSEN, false), check);
    add("solicitation of the gateway's link-local address", 1, ask(A, of(gateway(1))), nd(gateway(1), true), check);
    add("solicitation of another gateway's link-local address", 1, ask(A, of(gateway(2))), Verdict::Next, Check::Bridge);
    add("solicitation of another network's link-local address", 1, ask(A, C.link_local()), Verdict::Next, Check::Bridge);
    add("solicitation of nobody's link-local address", 1, ask(A, of(mac(1))), Verdict::Next, Check::Bridge);
    let mut odd = B.link_local();
    odd[7] = 1;
    add("solicitation of another link's address", 1, ask(A, odd), Verdict::Next, Check::Bridge);
    add("duplicate address detection, own link-local", 1, ask6(A, [0; 16], A.link_local(), None), Verdict::Next, Check::Bridge);
    add("solicitation of a link-local address, no ICC", 7, ask(D, E.link_local()), drop(Reason::Icc), check);
    add("solicitation of the linked one's link-local address, no ICC", 7, ask(D, LINKED.link_local()), nd(LINKED.mac(), false), check);
    add("solicitation of another than the linked one's link-local address, no ICC", 13, ask(LINKED, E.link_local()), drop(Reason::Icc), check);
    add("solicitation of the gateway's link-local address, no ICC", 7, ask(D, GATEWAY_3), nd(gateway(3), true), check);
    add("solicitation of a link-local address, datapath off", 11, ask(H, I.link_local()), nd(I.mac(), false), check);
}
