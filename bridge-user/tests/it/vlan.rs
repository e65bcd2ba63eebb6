//! VLANs: tagged frames of sandboxes, and bridges that filter by VLAN. Their kernel needs VLAN
//! devices (8021q) and VLAN filtering; `cargo xtask test` says where it has them.

use bridge_common::DropReason;

use crate::host::{Endpoint, Host, number};

/// A network with two endpoints that also have a VLAN device each, and reach each other's address
/// through it alone.
fn tagged_pair(host: &Host) -> (Endpoint, Endpoint) {
    host.create("n");
    let [a, b] = ["a", "b"].map(|name| host.join("n", name));
    for (own, other) in [(&a, &b), (&b, &a)] {
        let ip = |words: &str| host.call(&format!("ip -n {} {words}", own.sandbox)).ok();
        ip("link add link eth0 name tagged type vlan id 5");
        ip("link set tagged up");
        ip(&format!(
            "route add {}/32 dev tagged src {}",
            other.ipv4, own.ipv4
        ));
    }
    (a, b)
}

/// Frames that came in with the tag.
fn received(host: &Host, sandbox: &str) -> u64 {
    let link = host.call(&format!("ip -n {sandbox} -s -j link show dev tagged"));
    number(&link.json()[0]["stats64"]["rx"]["packets"])
}

#[test]
fn tagged_frames_take_the_slow_path_and_arrive() {
    let host = Host::new();
    let (a, b) = tagged_pair(&host);
    let (before, arrived) = (host.stats(&a.host_leg), received(&host, "b"));
    host.assert_pings("a", &b.ipv4);
    let after = host.stats(&a.host_leg);
    assert!(received(&host, "b") > arrived, "they keep their tag");
    assert!(after.slow_packets > before.slow_packets);
    assert_eq!(after.fast_packets, before.fast_packets);
}

#[test]
fn a_tag_hides_no_false_source() {
    let host = Host::new();
    let (a, b) = tagged_pair(&host);
    host.assert_pings("a", &b.ipv4);
    let ip = |words: &str| host.call(&format!("ip -n a {words}")).ok();
    // The neighbour is known, so that what is dropped is the packet, not only the question.
    ip(&format!(
        "neigh replace {} lladdr {} dev tagged nud permanent",
        b.ipv4, b.mac
    ));
    let refused = |reason: DropReason| {
        let drops = || host.stats(&a.host_leg).drops[reason as usize];
        let (before, echoes) = (drops(), host.echoes_in("b"));
        assert!(!host.pings("a", &b.ipv4), "{reason:?}");
        assert!(drops() > before, "{reason:?}");
        assert_eq!(host.echoes_in("b"), echoes, "{reason:?}");
    };
    ip("address add 10.66.6.6/32 dev tagged");
    ip(&format!(
        "route replace {}/32 dev tagged src 10.66.6.6",
        b.ipv4
    ));
    refused(DropReason::SpoofedIp);
    ip("address del 10.66.6.6/32 dev tagged");
    ip("link set tagged address 02:00:00:00:66:66");
    ip(&format!(
        "route replace {}/32 dev tagged src {}",
        b.ipv4, a.ipv4
    ));
    refused(DropReason::SpoofedMac);
}

#[test]
fn a_bridge_that_filters_by_vlan_refuses_tags_and_keeps_the_fast_path() {
    let host = Host::new();
    let (a, b) = tagged_pair(&host);
    host.assert_pings("a", &b.ipv4);
    let bridge = host.bridge_of("n");
    host.call(&format!(
        "ip link set {bridge} type bridge vlan_filtering 1"
    ))
    .ok();
    // No port is a member of VLAN 5, and the program hands tagged frames to the bridge.
    assert!(!host.pings("a", &b.ipv4));
    for (own, other) in [("a", &b), ("b", &a)] {
        host.call(&format!(
            "ip -n {own} route del {}/32 dev tagged",
            other.ipv4
        ))
        .ok();
    }
    // All ports are untagged members of VLAN 1.
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
    assert!(host.host_pings(&a.ipv4));
}

#[test]
fn a_bridge_of_others_that_filters_by_vlan_is_left_alone() {
    let host = Host::new();
    for words in [
        "ip link add foreign type bridge vlan_filtering 1",
        "ip link add port type veth peer name outside",
        "ip link set port master foreign",
        "bridge vlan add dev port vid 7 pvid untagged",
        "bridge vlan del dev port vid 1",
    ] {
        host.call(words).ok();
    }
    let vlans = || host.call("bridge -j vlan show dev port").json();
    let before = vlans();
    host.create("n");
    let a = host.join("n", "a");
    host.bridge_user("reconcile").ok();
    assert!(host.host_pings(&a.ipv4));
    host.bridge_user("purge --yes").ok();
    assert_eq!(vlans(), before);
    let bridge = host.link(None, "foreign").expect("it is still there");
    assert_eq!(bridge["linkinfo"]["info_data"]["vlan_filtering"], 1);
    let port = host.link(None, "port").expect("it is still there");
    assert_eq!(port["master"], "foreign");
    assert!(!host.is_checked("port"));
}
