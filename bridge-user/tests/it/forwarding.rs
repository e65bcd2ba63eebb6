//! Frames between endpoints of one network: who carries them, and that they arrive.

use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use bridge_ebpf::testing::raw;

use crate::host::{Endpoint, Host, array, mac, number, wait_until};

/// A network with two endpoints in `a` and `b`.
fn pair(host: &Host, create: &str) -> (Endpoint, Endpoint) {
    host.create(&format!("{create} n"));
    (host.join("n", "a"), host.join("n", "b"))
}

#[test]
fn ping_works_by_address_and_by_name_in_both_families() {
    let host = Host::new();
    let (a, b) = pair(&host, "--ipv6");
    for address in b.addresses() {
        host.assert_pings("a", &address);
    }
    for address in a.addresses() {
        host.assert_pings("b", &address);
    }
    host.assert_pings("a", "-4 b");
    host.assert_pings("a", "-6 b");
    host.assert_pings("b", "a");
}

#[test]
fn host_and_endpoints_reach_each_other() {
    let host = Host::new();
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 n");
    let a = host.join("n", "a");
    for address in a.addresses() {
        assert!(host.host_pings(&address), "{address}");
    }
    for gateway in ["10.77.0.1", "fd77::1"] {
        host.assert_pings("a", gateway);
    }
}

#[test]
fn tcp_takes_the_fast_path() {
    let host = Host::new();
    let (a, b) = pair(&host, "");
    assert_eq!(host.inspect("n")["BridgeUser"]["Datapath"], "tc");
    host.transfer(&a, &b, &b.ipv4, 2).assert_fast();
    let replies = host.stats(&b.host_leg);
    assert!(
        replies.fast_packets > 100 && replies.slow_packets < 100,
        "{replies:?}"
    );
    assert_eq!(
        (replies.drops, host.stats(&a.host_leg).drops),
        Default::default()
    );
}

#[test]
fn tcp_over_ipv6_takes_the_fast_path() {
    let host = Host::new();
    let (a, b) = pair(&host, "--ipv6");
    host.transfer(&a, &b, &b.ipv6, 1).assert_fast();
}

#[test]
fn the_fast_path_does_not_depend_on_br_netfilter() {
    let host = Host::with_br_netfilter(true);
    let (a, b) = pair(&host, "--ipv6");
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
    host.assert_pings("a", &b.ipv6);
}

#[test]
fn datapath_off_works_by_the_bridge_alone() {
    for br_netfilter in [false, true] {
        let host = Host::with_br_netfilter(br_netfilter);
        let (a, b) = pair(&host, "--ipv6 --datapath off");
        host.transfer(&a, &b, &b.ipv4, 1).assert_slow();
        host.transfer(&a, &b, &b.ipv6, 1).assert_slow();
        host.assert_pings("a", "b");
        assert!(
            host.is_checked(&a.host_leg),
            "security stays when the redirect is off"
        );
    }
}

#[test]
fn kernels_without_tcx_use_clsact() {
    let host = Host::new();
    let clsact = |words: &str| {
        host.bridge_user(words)
            .env("BRIDGE_USER_TEST_HOOK", "clsact")
            .ok()
    };
    clsact("net create n");
    let [a, b] = ["a", "b"].map(|name| {
        host.netns(name);
        let view = clsact(&format!("net connect --format json n {name}"));
        Host::endpoint(&serde_json::from_str(&view).expect("it printed JSON"), name)
    });
    assert_eq!(host.clsact_filters(&a.host_leg).len(), 1);
    assert_eq!(host.tcx_programs(&a.host_leg), [0; 0]);
    let attached = clsact("net inspect --format {{.BridgeUser.Attached}} n");
    assert_eq!(attached.trim(), "clsact");
    clsact("reconcile");
    assert_eq!(
        host.clsact_filters(&a.host_leg).len(),
        1,
        "reconcile added a second filter"
    );
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
    clsact("net disconnect n a");
    clsact("net disconnect n b");
    clsact("net rm n");
    host.assert_clean();
}

#[test]
fn the_fast_path_needs_no_process() {
    let host = Host::new();
    let (a, b) = pair(&host, "");
    let commands = host.call("ps -e -o comm=").ok();
    let commands: Vec<&str> = commands.lines().map(str::trim).collect();
    assert_eq!(
        commands,
        ["cat", "timeout", "ps"],
        "something of ours is still running"
    );
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
}

#[test]
fn a_taken_away_program_leaves_a_working_network() {
    let host = Host::new();
    let (a, b) = pair(&host, "--ipv6");
    host.detach_all();
    wait_until("the program is detached", || !host.is_checked(&a.host_leg));
    for address in b.addresses() {
        host.assert_pings("a", &address);
    }
    host.bridge_user("reconcile").ok();
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
}

#[test]
fn fast_and_slow_road_deliver_the_same_bytes() {
    let host = Host::new();
    host.create("--ipv6 -o com.docker.network.driver.mtu=9000 fast");
    host.create("--ipv6 -o com.docker.network.driver.mtu=9000 --datapath off slow");
    for network in ["fast", "slow"] {
        let [from, to] = [1, 2].map(|n| host.join(network, &format!("{network}{n}")));
        for (address, size) in [(&to.ipv4, 8972), (&to.ipv6, 8952)] {
            host.assert_pings(&from.sandbox, &format!("-M do -s {size} {address}"));
            let too_big = format!("-M do -s {} {address}", size + 1);
            assert!(
                !host.pings(&from.sandbox, &too_big),
                "{network}: the MTU is not kept"
            );
        }
    }
}

#[test]
fn the_fdb_map_is_readable_by_bpftool() {
    let host = Host::new();
    let (a, _) = pair(&host, "");
    let index = host.inspect("n")["BridgeUser"]["Index"].clone();
    let dump = host.dump("FDB");
    assert_eq!(dump.len(), 2);
    let of_a = dump
        .iter()
        .find(|entry| entry["formatted"]["value"]["ifindex"] == host.ifindex(&a.host_leg));
    let key = &of_a.expect("a's host leg is a value")["formatted"]["key"];
    assert_eq!(key["network"], index);
    let bytes: Vec<String> = array(&key["mac"])
        .iter()
        .map(|byte| format!("{:02x}", number(byte)))
        .collect();
    assert_eq!(bytes.join(":"), a.mac);
}

/// Types of frames for experiments (IEEE 802-2014, 9.2.4): what is tried, and the end of it.
const EXPERIMENT: u16 = 0x88b5;
const END: u16 = 0x88b6;

#[test]
fn frames_for_nobody_are_flooded_to_trusted_endpoints_only() {
    for datapath in ["tc", "off"] {
        let host = Host::new();
        let (a, b) = pair(&host, &format!("--datapath {datapath}"));
        host.netns("t");
        let trusted = host.connect("--trusted n t");
        for (leg, floods) in [(&a.host_leg, false), (&trusted.host_leg, true)] {
            assert_eq!(host.bridge_port(leg)["flood"], floods, "{leg}");
        }
        let wire = host.wire(&a);
        let receivers = [(&b, host.wire(&b)), (&trusted, host.wire(&trusted))];
        let own = mac(&a.mac);
        let nobody = raw([0x02, 0, 0, 0, 0x77, 0x77], own, EXPERIMENT, b"nobody");
        wire.send(&nobody);
        wire.send(&raw([0xff; 6], own, END, b"end"));
        for (receiver, seen) in receivers {
            let mut frames = Vec::new();
            wait_until("the end arrives", || {
                frames.extend(seen.arrived().into_iter().map(|arrival| arrival.frame));
                frames
                    .iter()
                    .any(|frame| frame[12..14] == END.to_be_bytes())
            });
            let is_trusted = receiver.sandbox == "t";
            assert_eq!(frames.contains(&nobody), is_trusted, "{}", receiver.sandbox);
        }
        host.assert_pings("t", &a.ipv4);
        host.assert_pings("b", &trusted.ipv4);
    }
}

/// An IPv4 packet to a group, with the header's checksum right.
fn to_group(from: &Endpoint, group: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let source: Ipv4Addr = from.ipv4.parse().expect("IPv4");
    let length = u16::try_from(20 + payload.len()).expect("it is short");
    let [high, low] = length.to_be_bytes();
    let start = [0x45, 0, high, low, 0, 0, 0, 0, 1, protocol, 0, 0];
    let mut packet = [&start[..], &source.octets(), &group, payload].concat();
    let sum = sum_of(&packet[..20]);
    packet[10..12].copy_from_slice(&sum);
    let [_, b, c, d] = group;
    let to = [0x01, 0x00, 0x5e, b & 0x7f, c, d];
    raw(to, mac(&from.mac), 0x0800, &packet)
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn sum_of(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!u16::try_from(sum).expect("few words carry once")).to_be_bytes()
}

#[test]
fn who_asks_for_groups_takes_none_from_others() {
    let host = Host::new();
    let (a, b) = pair(&host, "");
    let bridge = host.bridge_of("n");
    let c = host.join("n", "c");
    let [wire, from_b, seen] = [&a, &b, &c].map(|endpoint| host.wire(endpoint));
    // A general query of version 2 that wants its answers within 0.1 s (RFC 2236, 2).
    let mut query = vec![0x11, 1, 0, 0, 0, 0, 0, 0];
    let sum = sum_of(&query);
    query[2..4].copy_from_slice(&sum);
    let query = to_group(&a, [224, 0, 0, 1], 2, &query);
    let datagram = [0x0f, 0xa0, 0x13, 0x88, 0, 12, 0, 0, 1, 2, 3, 4];
    let datagram = to_group(&b, [239, 1, 2, 3], 17, &datagram);
    let arrives = || {
        seen.arrived();
        from_b.send(&datagram);
        from_b.send(&raw([0xff; 6], mac(&b.mac), END, b"end"));
        let mut frames = Vec::new();
        wait_until("the end arrives", || {
            frames.extend(seen.arrived().into_iter().map(|arrival| arrival.frame));
            frames
                .iter()
                .any(|frame| frame[12..14] == END.to_be_bytes())
        });
        frames
            .iter()
            .any(|frame| frame.starts_with(&datagram[..42]))
    };
    let query = || {
        wire.send(&query);
        // The bridge believes it once its answers are due (`br_multicast_querier_exists`).
        thread::sleep(Duration::from_millis(300));
    };
    assert!(arrives(), "nobody asked");
    query();
    assert!(arrives(), "a asked");
    // Where the bridge snoops, a takes them: the test of the test, and what reconcile mends.
    let snoops = || {
        host.link(None, &bridge).expect("it is there")["linkinfo"]["info_data"]["mcast_snooping"]
            == 1
    };
    assert!(!snoops());
    host.call(&format!(
        "ip link set {bridge} type bridge mcast_snooping 1"
    ))
    .ok();
    query();
    assert!(snoops() && !arrives(), "a asked a bridge that snoops");
    host.bridge_user("reconcile").ok();
    assert!(!snoops() && arrives(), "after reconcile");
}
