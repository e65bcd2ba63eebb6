//! The rows through the decision on the host, and what no single row shows.

use bridge_common::{ENDPOINT_REACHABLE, FdbKey, SubnetEntry};

use super::{Row, World, rows, tagged};
use crate::{
    Answer, Check, Decision, Frame, NA_LENGTH, Verdict, arp_reply, decide, neighbour_advertisement,
};

fn decide_row(world: &World, row: &Row) -> Decision {
    let ifindex = if row.from == 0 {
        1
    } else {
        World::ifindex(row.from)
    };
    decide(&row.frame.as_slice(), ifindex, false, world)
}

fn row(name: &str) -> Row {
    rows()
        .into_iter()
        .find(|row| row.name == name)
        .expect("a row of this name")
}

#[test]
fn every_row_comes_out_as_it_says() {
    let world = World::standard();
    for row in rows() {
        let decision = decide_row(&world, &row);
        assert_eq!(
            (decision.verdict, decision.check),
            (row.verdict, row.check),
            "{}",
            row.name
        );
        assert_eq!(decision.slot, row.from, "{}", row.name);
    }
}

#[test]
fn hints_change_no_decision() {
    for hints in World::odd_hints() {
        let world = World {
            hints,
            ..World::standard()
        };
        for row in rows() {
            let decision = decide_row(&world, &row);
            let expected = (row.from, row.verdict, row.check);
            assert_eq!(
                (decision.slot, decision.verdict, decision.check),
                expected,
                "{}, {:?}",
                row.name,
                world.hints
            );
        }
    }
}

#[test]
fn every_check_and_reason_has_a_row() {
    use bridge_common::DropReason;
    let rows = rows();
    for check in Check::ALL {
        // Frames of less than an Ethernet header come from no kernel; the limit is not in a row.
        let exempt = [Check::Ethernet, Check::Storm].contains(&check);
        assert!(
            exempt || rows.iter().any(|row| row.check == check),
            "{check:?}"
        );
    }
    for &reason in DropReason::ALL {
        let has = rows.iter().any(|row| row.verdict == Verdict::Drop(reason));
        assert!(has || reason == DropReason::Storm, "{reason:?}");
    }
}

#[test]
fn names_are_unique() {
    let rows = rows();
    let names: std::collections::HashSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
}

#[test]
fn no_row_leaves_its_network() {
    let world = World::standard();
    for row in rows() {
        if let Verdict::Redirect { ifindex } = decide_row(&world, &row).verdict {
            assert_eq!(
                world.ports[&ifindex].network, world.endpoints[&row.from].network,
                "{}",
                row.name
            );
        }
    }
}

#[test]
fn a_frame_of_no_length_is_refused() {
    let world = World::standard();
    for length in 0..14 {
        let frame = &row("IPv4 to a neighbour").frame[..length];
        let decision = decide(&frame, World::ifindex(1), false, &world);
        assert_eq!(decision.check, Check::Ethernet, "{length}");
    }
}

#[test]
fn storms_are_limited_and_answers_are_not() {
    let world = World {
        storm: true,
        ..World::standard()
    };
    for (name, check) in [
        ("broadcast", Check::Storm),
        ("broadcast, no ICC", Check::Storm),
        ("ARP for nobody", Check::Storm),
        ("ARP for a neighbour", Check::Neighbour),
        ("IPv4 to a neighbour", Check::Fdb),
    ] {
        assert_eq!(decide_row(&world, &row(name)).check, check, "{name}");
    }
}

#[test]
fn an_endpoint_that_is_not_reachable_yet_is_the_bridges() {
    let mut world = World::standard();
    let target = world.endpoints.get_mut(&2).expect("it is there");
    target.flags &= !ENDPOINT_REACHABLE;
    world.fdb.remove(&FdbKey {
        mac: World::mac(2),
        network: 1,
    });
    let decision = decide_row(&world, &row("IPv4 to a neighbour"));
    assert_eq!(
        (decision.verdict, decision.check),
        (Verdict::Next, Check::Bridge)
    );
}

#[test]
fn an_fdb_entry_that_became_another_networks_is_not_used() {
    let mut world = World::standard();
    world.hints.clear();
    world
        .fdb
        .get_mut(&FdbKey {
            mac: World::CHOSEN,
            network: 1,
        })
        .expect("there")
        .network = 2;
    let decision = decide_row(&world, &row("a chosen MAC as destination"));
    assert_eq!(decision.verdict, Verdict::Next);
}

#[test]
fn a_tag_that_was_taken_off_is_a_tag() {
    let world = World::standard();
    let frame = row("IPv4 to a neighbour").frame;
    let decision = decide(&frame.as_slice(), World::ifindex(1), true, &world);
    assert_eq!(decision.verdict, Verdict::Next);
}

#[test]
fn a_third_tag_is_refused_wherever_the_first_is() {
    let world = World::standard();
    let twice = row("tagged twice").frame;
    for (frame, off) in [(twice.clone(), true), (tagged(&twice, 0x8100), false)] {
        let decision = decide(&frame.as_slice(), World::ifindex(1), off, &world);
        assert_eq!(decision.check, Check::Ethernet, "{off}");
    }
}

#[test]
fn a_gateway_that_is_not_the_hosts_is_not_reached_from_another_network() {
    let mut world = World::standard();
    for (_, _, entry) in &mut world.subnets {
        *entry = SubnetEntry {
            gateway: [0; 16],
            ..*entry
        };
    }
    let decision = decide_row(&world, &row("another network's gateway is the host"));
    assert_eq!(decision.check, Check::Routing);
}

#[test]
fn arp_replies_are_right() {
    let request = row("ARP for a neighbour");
    let Verdict::Answer(Answer::Arp { mac }) = request.verdict else {
        panic!("it is answered")
    };
    let reply = arp_reply(&request.frame.as_slice(), mac).expect("a request is whole");
    assert_eq!(reply.ethernet, [World::mac(1), World::mac(2)].concat()[..]);
    let message = [
        &[0, 2],
        &World::mac(2)[..],
        &World::ip4(1, 12),
        &World::mac(1),
        &World::ip4(1, 11),
    ];
    assert_eq!(reply.message[..], message.concat());
}

#[test]
fn advertisements_are_right() {
    for (name, router, to_all) in [
        ("solicitation of a neighbour", false, false),
        ("solicitation of the gateway", true, false),
        ("duplicate address detection, taken", false, true),
    ] {
        let request = row(name);
        let Verdict::Answer(Answer::Neighbour { mac, .. }) = request.verdict else {
            panic!("{name} is answered")
        };
        let frame = request.frame.as_slice();
        let mut reply = [0; NA_LENGTH];
        neighbour_advertisement(&frame, mac, router, &mut reply).expect("a request is whole");
        let reply = reply.as_slice();
        let flags = reply.u8(58).expect("whole");
        assert_eq!(flags & 0x80 != 0, router, "{name}");
        assert_eq!(flags & 0x40 == 0, to_all, "{name}: solicited");
        assert_eq!(reply[62..78], frame[62..78], "{name}: target");
        assert_eq!(
            reply[38..54] == frame[22..38],
            !to_all,
            "{name}: destination"
        );
        // Summed with its checksum, a right message gives all ones (RFC 1071).
        let words = reply[22..]
            .chunks(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
        let sum: u32 = words.sum::<u32>() + 32 + 58;
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "{name}: checksum");
    }
}
