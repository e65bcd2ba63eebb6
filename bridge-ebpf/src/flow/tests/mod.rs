//! Which packets take the road, on a world of one publication: 192.0.2.1:8080 of the host leads to port
//! 80 of the endpoint in slot 1.

mod came_out;

use bridge_common::{
    ENDPOINT_FLOWS, ENDPOINT_FLOWS_ASKED, ENDPOINT_REACHABLE, ENDPOINT_REDIRECT_OFF, FlowEntry,
    NO_SLOT, PublishedKey, SocketAddress, mapped,
};

use super::{IDLE_NS, Inward, Outward, Seen, TRUST_NS, inward, outward, takes_flows};
use crate::nat::End;
use crate::segment::Segment;
use crate::testing::{World, raw};
use crate::{Publications, Tables};

const HOST: [u8; 4] = [192, 0, 2, 1];
const CLIENT: [u8; 4] = [192, 0, 2, 2];
const UPLINK: u32 = 7;
const NOW: u64 = 100 * IDLE_NS;
/// The longest frame that came out.
const LONGEST: u32 = 1514;
const SYN: u8 = 2;
const ACK: u8 = 16;

struct Published;

impl Publications for Published {
    fn publication(&self, asked: &PublishedKey) -> Option<SocketAddress> {
        (asked.port == 8080 && asked.protocol == 6 && asked.address == mapped([0; 4])).then(|| {
            SocketAddress {
                address: mapped(World::ip4(1, World::host(1))),
                port: 80,
                reserved: [0; 3],
            }
        })
    }
}

/// A TCP segment.
fn segment(from: ([u8; 4], u16), to: ([u8; 4], u16), flags: u8, hops: u8) -> Segment {
    let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    let header = [
        &[0x45, 0, 0, 40, 0, 0, 0, 0, hops, 6, 0, 0],
        &from.0[..],
        &to.0,
    ]
    .concat();
    let rest = [0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0];
    let frame = raw(
        [2; 6],
        [4; 6],
        0x0800,
        &[&header[..], &ports, &rest].concat(),
    );
    Segment::read(&frame.as_slice(), false).expect("it is plain")
}

fn to_host(flags: u8) -> Segment {
    segment((CLIENT, 4000), (HOST, 8080), flags, 64)
}

fn seen() -> Seen {
    Seen {
        ifindex: UPLINK,
        hash: 11,
        now: NOW,
    }
}

fn world() -> World {
    let mut world = World::default();
    world.add_network(1);
    world.add_endpoint(1, 1, ENDPOINT_FLOWS, None);
    world.add_endpoint(1, 2, 0, None);
    world
}

fn go_in(segment: &Segment, flow: Option<&FlowEntry>, world: &World) -> Inward {
    let endpoint = segment.asked(&Published).expect("it is published");
    inward(
        segment,
        &segment.flow_to(&endpoint),
        flow,
        (UPLINK, NOW),
        true,
        world,
    )
}

/// The entry that a first packet makes.
fn begun() -> FlowEntry {
    match go_in(&to_host(SYN), None, &world()) {
        Inward::New(entry) => FlowEntry {
            hash_in: 11,
            ..entry
        },
        other => panic!("{other:?}"),
    }
}

/// One that has passed both ways, a moment ago.
fn passed() -> FlowEntry {
    FlowEntry {
        passed_in: NOW - TRUST_NS + 1,
        passed_out: NOW - TRUST_NS + 1,
        hash_out: 12,
        ifindex_out: 9,
        slot: 1,
        link: [1, 2, 3, 4, 5, 6],
        longest_out: LONGEST,
        ..begun()
    }
}

#[test]
fn the_first_packets_go_to_the_firewall() {
    let entry = begun();
    assert_eq!(
        (entry.host_port, entry.slot, entry.ifindex_in),
        (8080, NO_SLOT, UPLINK)
    );
    assert_eq!(
        (entry.hash_in, entry.passed_in, entry.passed_out),
        (11, 0, 0)
    );
    let half = [
        FlowEntry {
            passed_in: 0,
            ..passed()
        },
        FlowEntry {
            passed_out: 0,
            ..passed()
        },
        FlowEntry {
            passed_in: NOW - TRUST_NS,
            ..passed()
        },
    ];
    for flow in half {
        assert_eq!(
            go_in(&to_host(ACK), Some(&flow), &world()),
            Inward::Tried,
            "{flow:?}"
        );
    }
}

#[test]
fn what_passed_goes_to_the_endpoint() {
    let Inward::Endpoint(ifindex, to) = go_in(&to_host(ACK), Some(&passed()), &world()) else {
        panic!("it passed");
    };
    assert_eq!(
        (ifindex, to.end, to.port),
        (World::ifindex(1), End::Destination, 80)
    );
    // The other direction may be silent: a datagram need not be answered.
    let silent = FlowEntry {
        passed_out: 1,
        ..passed()
    };
    assert!(matches!(
        go_in(&to_host(ACK), Some(&silent), &world()),
        Inward::Endpoint(..)
    ));
}

#[test]
fn beginnings_and_ends_are_the_firewalls() {
    let again = go_in(&to_host(SYN), Some(&passed()), &world());
    let new = FlowEntry {
        hash_in: 0,
        ..begun()
    };
    assert_eq!(again, Inward::New(new), "another connection");
    // FIN, RST, and what is no segment: without ACK, or of nothing.
    for flags in [1 | ACK, 4 | ACK, 8, 0] {
        assert_eq!(
            go_in(&to_host(flags), Some(&passed()), &world()),
            Inward::Tried
        );
        assert_eq!(
            outward(&to_host(flags), &passed(), (1, LONGEST), NOW),
            Outward::Tried
        );
    }
    let closing = FlowEntry {
        closing: 1,
        ..passed()
    };
    for flags in [ACK, 1 | ACK, 4 | ACK] {
        let last = go_in(&to_host(flags), Some(&closing), &world());
        assert_eq!(last, Inward::Tried);
        assert_eq!(
            outward(&to_host(flags), &closing, (1, LONGEST), NOW),
            Outward::Tried
        );
    }
    let old = segment((CLIENT, 4000), (HOST, 8080), ACK, 1);
    assert_eq!(
        go_in(&old, Some(&passed()), &world()),
        Inward::Tried,
        "no hop is left"
    );
    assert_eq!(outward(&old, &passed(), (1, LONGEST), NOW), Outward::Tried);
}

#[test]
fn an_entry_is_of_one_host_port_and_uplink() {
    let elsewhere = segment((CLIENT, 4000), ([192, 0, 2, 9], 8080), ACK, 64);
    assert_eq!(go_in(&elsewhere, Some(&passed()), &world()), Inward::Stack);
    let other = FlowEntry {
        ifindex_in: 8,
        ..passed()
    };
    assert_eq!(go_in(&to_host(ACK), Some(&other), &world()), Inward::Stack);
    let idle = FlowEntry {
        passed_in: NOW - IDLE_NS - 1,
        passed_out: NOW - IDLE_NS - 1,
        ..other
    };
    assert!(matches!(
        go_in(&to_host(ACK), Some(&idle), &world()),
        Inward::New(_)
    ));
}

#[test]
fn an_endpoint_that_is_not_there_gets_nothing() {
    for change in [ENDPOINT_FLOWS, ENDPOINT_REACHABLE, ENDPOINT_REDIRECT_OFF] {
        let mut world = world();
        world.endpoints.get_mut(&1).expect("it was added").flags ^= change;
        assert_eq!(
            go_in(&to_host(ACK), Some(&passed()), &world),
            Inward::Tried,
            "{change}"
        );
    }
    let mut world = world();
    world.endpoints.get_mut(&1).expect("it was added").ipv4 ^= 1;
    assert_eq!(go_in(&to_host(ACK), Some(&passed()), &world), Inward::Tried);
}

#[test]
fn rules_that_have_to_see_each_packet_do_unless_somebody_asked() {
    let mut world = world();
    for (flags, passing, takes) in [
        (0, true, true),
        (0, false, false),
        (ENDPOINT_FLOWS_ASKED, false, true),
        (ENDPOINT_FLOWS_ASKED, true, true),
    ] {
        world.endpoints.get_mut(&1).expect("it was added").flags |= flags;
        let endpoint = world.endpoint(1).expect("it was added");
        assert_eq!(takes_flows(endpoint, passing), takes, "{flags} {passing}");
        let (to, key) = (
            to_host(ACK),
            to_host(ACK).flow_to(&to_host(ACK).asked(&Published).expect("it is published")),
        );
        let inward = inward(&to, &key, Some(&passed()), (UPLINK, NOW), passing, &world);
        assert_eq!(
            matches!(inward, Inward::Endpoint(..)),
            takes,
            "{flags} {passing}"
        );
    }
}
