//! Which packets are known again behind the firewall, and how answers leave.

use bridge_common::FlowEntry;

use super::super::passed as passed_at;
use super::super::{Outward, Seen, TRUST_NS, came_in, came_out, longest, outward};
use super::{ACK, CLIENT, HOST, LONGEST, NOW, SYN, begun, passed, seen, segment, world};
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
fn only_the_packet_that_went_in_came_out() {
    let world = world();
    let asking = to_endpoint(ACK);
    assert!(came_in(&begun(), &seen()));
    // Nothing passes by before the handshake is done.
    assert_eq!(passed_at(&asking, &seen()), NOW);
    assert_eq!(passed_at(&to_endpoint(SYN), &seen()), 0);
    for wrong in [
        Seen { hash: 12, ..seen() },
        Seen {
            ifindex: 8,
            ..seen()
        },
    ] {
        assert!(!came_in(&begun(), &wrong), "{wrong:?}");
    }
    let unknown = FlowEntry {
        hash_in: 0,
        ..begun()
    };
    assert!(!came_in(&unknown, &Seen { hash: 0, ..seen() }));

    let leaving = segment((HOST, 8080), (CLIENT, 4000), ACK, 63);
    let left = Seen {
        ifindex: World::bridge(1),
        hash: 12,
        now: NOW,
    };
    assert!(came_out(&leaving, &passed(), &left, true, &world));
    assert!(!came_out(
        &leaving,
        &passed(),
        &Seen { hash: 11, ..left },
        true,
        &world
    ));
    assert!(!came_out(
        &leaving,
        &passed(),
        &Seen { ifindex: 9, ..left },
        true,
        &world
    ));
    let other = segment((HOST, 8081), (CLIENT, 4000), ACK, 63);
    assert!(
        !came_out(&other, &passed(), &left, true, &world),
        "another port of the host"
    );
    assert!(
        !came_out(&leaving, &begun(), &left, true, &world),
        "nobody got it yet"
    );
}

#[test]
fn answers_leave_as_the_firewall_let_them() {
    let answer = segment((World::ip4(1, World::host(1)), 80), (CLIENT, 4000), ACK, 64);
    let Outward::Uplink(ifindex, to) = outward(&answer, &passed(), (1, LONGEST), NOW) else {
        panic!("it passed");
    };
    assert_eq!((ifindex, to.end, to.port), (9, End::Source, 8080));
    assert_eq!(to.link, [1, 2, 3, 4, 5, 6]);
    let longer = outward(&answer, &passed(), (1, LONGEST + 1), NOW);
    assert_eq!(longer, Outward::Tried, "none as long came out");
    let short = FlowEntry {
        longest_out: 60,
        ..passed()
    };
    for (length, leaves) in [(590, true), (591, false)] {
        let way = outward(&answer, &short, (1, length), NOW);
        assert_eq!(way != Outward::Tried, leaves, "{length}");
    }
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
        assert_eq!(
            outward(&answer, &flow, (1, LONGEST), NOW),
            Outward::Tried,
            "{flow:?}"
        );
    }
}

#[test]
fn a_longer_one_has_to_come_out_each_time() {
    let flow = passed();
    for (length, is_fresh, expected) in [
        (100, true, LONGEST),
        (LONGEST + 1, true, LONGEST + 1),
        (100, false, 100),
    ] {
        let now = if is_fresh { NOW } else { NOW + TRUST_NS };
        assert_eq!(longest(&flow, length, now), expected);
    }
}
