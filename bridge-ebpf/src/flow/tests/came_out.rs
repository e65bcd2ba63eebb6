//! Which packets are known again behind the firewall, and how answers leave.

use bridge_common::FlowEntry;

use super::super::{Outward, Seen, TRUST_NS, came_in, came_out, outward};
use super::{ACK, CLIENT, HOST, NOW, SYN, begun, passed, seen, segment, world};
use crate::Tables;
use crate::nat::End;
use crate::segment::Segment;
use crate::testing::World;

/// A segment of who asks, translated.
fn to_endpoint(flags: u8) -> Segment {
    segment(
        (CLIENT, 4000),
        (World::ip4(1, World::host(1)), 80),
        flags,
        63,
    )
}

#[test]
fn only_the_packet_that_went_askingcame_out() {
    let world = world();
    let endpoint = world.endpoint(1).expect("it was added");
    let asking = to_endpoint(ACK);
    assert!(came_in(&asking, &begun(), &seen(), endpoint));
    // Nothing passes by before the handshake is done.
    assert!(!came_in(&to_endpoint(SYN), &begun(), &seen(), endpoint));
    for wrong in [
        Seen { hash: 12, ..seen() },
        Seen {
            ifindex: 8,
            ..seen()
        },
    ] {
        assert!(!came_in(&asking, &begun(), &wrong, endpoint), "{wrong:?}");
    }
    let unknown = FlowEntry {
        hash_in: 0,
        ..begun()
    };
    assert!(!came_in(
        &asking,
        &unknown,
        &Seen { hash: 0, ..seen() },
        endpoint
    ));
    assert!(!came_in(
        &asking,
        &begun(),
        &seen(),
        world.endpoint(2).expect("it was added")
    ));

    let leaving = segment((HOST, 8080), (CLIENT, 4000), ACK, 63);
    let left = Seen {
        ifindex: World::bridge(1),
        hash: 12,
        now: NOW,
    };
    assert!(came_out(&leaving, &passed(), &left, &world));
    assert!(!came_out(
        &leaving,
        &passed(),
        &Seen { hash: 11, ..left },
        &world
    ));
    assert!(!came_out(
        &leaving,
        &passed(),
        &Seen { ifindex: 9, ..left },
        &world
    ));
    let other = segment((HOST, 8081), (CLIENT, 4000), ACK, 63);
    assert!(
        !came_out(&other, &passed(), &left, &world),
        "another port of the host"
    );
    assert!(
        !came_out(&leaving, &begun(), &left, &world),
        "nobody got it yet"
    );
}

#[test]
fn answers_leave_as_the_firewall_let_them() {
    let answer = segment((World::ip4(1, World::host(1)), 80), (CLIENT, 4000), ACK, 64);
    let Outward::Uplink(ifindex, to) = outward(&answer, &passed(), 1, NOW) else {
        panic!("it passed");
    };
    assert_eq!((ifindex, to.end, to.port), (9, End::Source, 8080));
    assert_eq!(to.link, [1, 2, 3, 4, 5, 6]);
    for flow in [
        FlowEntry {
            passed_out: NOW - TRUST_NS,
            ..passed()
        },
        FlowEntry {
            passed_in: 0,
            ..passed()
        },
        FlowEntry {
            slot: 2,
            ..passed()
        },
        FlowEntry {
            ifindex_out: 0,
            ..passed()
        },
    ] {
        assert_eq!(outward(&answer, &flow, 1, NOW), Outward::Tried, "{flow:?}");
    }
}
