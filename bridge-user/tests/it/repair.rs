//! What was changed by hand, or lost, is made right with the same addresses.

use bridge_common::{DropReason, NO_SLOT};

use crate::host::{Endpoint, Host, PINS, array, text};

/// A dual-stack network with endpoints in `a` and `b`.
fn pair(host: &Host) -> (Endpoint, Endpoint) {
    host.create("--ipv6 n");
    (host.join("n", "a"), host.join("n", "b"))
}

/// Both endpoints are as they were, reachable, and on the fast path.
#[track_caller]
fn assert_restored(host: &Host, a: &Endpoint, b: &Endpoint) {
    let leg = host
        .link(Some("a"), &a.interface)
        .expect("the container leg is back");
    assert_eq!(text(&leg["address"]), a.mac);
    let cidrs = host.addresses(Some("a"), &a.interface);
    let addresses: Vec<&str> = cidrs
        .iter()
        .filter_map(|a| a.cidr.split('/').next())
        .collect();
    assert_eq!(addresses, [&a.ipv4, &a.ipv6]);
    for ipv6 in [false, true] {
        assert_eq!(host.default_routes("a", ipv6).len(), 1);
    }
    for address in a.addresses() {
        host.assert_pings("b", &address);
    }
    assert_eq!(
        (
            host.fdb().len(),
            host.ports().len(),
            host.attachments().len()
        ),
        (2, 2, 2)
    );
    assert_eq!(
        host.bridge_fdb(&a.host_leg)
            .iter()
            // Kernels with VLANs add one for each VLAN of the port (`br_fdb_add`, v6.1).
            .filter(|e| e["mac"] == a.mac.as_str() && e.get("vlan").is_none())
            .count(),
        1
    );
    host.transfer(a, b, &b.ipv4, 1).assert_fast();
    host.transfer(b, a, &a.ipv6, 1).assert_fast();
}

#[test]
fn a_deleted_interface_comes_back() {
    let host = Host::new();
    let (a, b) = pair(&host);
    host.call("ip -n a link del eth0").ok();
    assert_eq!(host.link(None, &a.host_leg), None);
    host.bridge_user("reconcile").ok();
    assert_restored(&host, &a, &b);
}

#[test]
fn every_command_looks_for_lost_interfaces() {
    let host = Host::new();
    let (a, b) = pair(&host);
    host.call(&format!("ip link del {}", a.host_leg)).ok();
    host.bridge_user("net ls").ok();
    assert_restored(&host, &a, &b);
}

#[test]
fn a_port_that_is_down_or_unplugged_is_mended() {
    let host = Host::new();
    let (a, b) = pair(&host);
    for change in ["down", "nomaster"] {
        host.call(&format!("ip link set {} {change}", a.host_leg))
            .ok();
        host.bridge_user("reconcile").ok();
        assert_restored(&host, &a, &b);
    }
}

#[test]
fn changed_flags_and_addresses_are_mended() {
    let host = Host::new();
    let (a, b) = pair(&host);
    let leg = &a.host_leg;
    for words in [
        format!("bridge link set dev {leg} learning on"),
        format!("ip link set {leg} mtu 1400"),
        format!("bridge fdb del {} dev {leg} master", a.mac),
        "ip -n a addr flush dev eth0".into(),
        "ip -n a link set eth0 down".into(),
    ] {
        host.call(&words).ok();
    }
    host.bridge_user("reconcile").ok();
    assert_eq!(host.bridge_port(leg)["learning"], false);
    assert_eq!(host.link(None, leg).expect("it is there")["mtu"], 1500);
    assert_restored(&host, &a, &b);
}

#[test]
fn a_deleted_bridge_comes_back() {
    let host = Host::new();
    let (a, b) = pair(&host);
    let bridge = host.bridge_of("n");
    let before = host.link(None, &bridge).expect("the bridge exists");
    host.call(&format!("ip link del {bridge}")).ok();
    host.bridge_user("reconcile").ok();
    let after = host.link(None, &bridge).expect("the bridge is back");
    assert_eq!(before["address"], after["address"]);
    assert_restored(&host, &a, &b);
    assert!(host.host_pings(&a.ipv4));
}

#[test]
fn lost_pins_come_back() {
    let host = Host::new();
    let (a, b) = pair(&host);
    host.call(&format!("rm -r {PINS}")).ok();
    host.bridge_user("reconcile").ok();
    assert_restored(&host, &a, &b);
}

#[test]
fn lost_map_entries_come_back() {
    let host = Host::new();
    let (a, b) = pair(&host);
    // Its entry by slot is part of the port; an array's is emptied, not deleted.
    for slot in host.ports().into_iter().map(|(_, port)| port.slot) {
        let [low, high] = slot.to_le_bytes();
        let zero = ["0"; 64].join(" ");
        host.call(&format!(
            "bpftool map update pinned {PINS}/maps/ENDPOINTS key {low} {high} 0 0 value {zero}"
        ))
        .ok();
    }
    for map in ["FDB", "PORTS"] {
        for entry in host.dump(map) {
            let bytes = array(&entry["key"]).iter().map(text);
            let key = bytes.collect::<Vec<_>>().join(" ");
            host.call(&format!(
                "bpftool map delete pinned {PINS}/maps/{map} key {key}"
            ))
            .ok();
        }
    }
    assert!(
        !host.pings("a", &b.ipv4),
        "a port without an entry fails closed"
    );
    let drops = host.slot_stats(NO_SLOT).drops;
    assert!(
        drops[DropReason::NoPort as usize] > 0,
        "the drops are counted: {drops:?}"
    );
    host.bridge_user("reconcile").ok();
    assert_restored(&host, &a, &b);
}

#[test]
fn lost_rules_come_back() {
    let host = Host::new();
    pair(&host);
    let rules = host.rules();
    host.call("nft delete table inet bridge_user").ok();
    host.bridge_user("reconcile").ok();
    assert_eq!(host.rules(), rules);
}

#[test]
fn reconcile_of_a_right_host_changes_nothing() {
    let host = Host::new();
    pair(&host);
    host.netns("c");
    host.connect("bridge c");
    let before = host.snapshot();
    host.bridge_user("reconcile").ok();
    host.bridge_user("reconcile").ok();
    host.assert_as_before(&before, "something was changed");
}

#[test]
fn a_bpffs_is_mounted_where_there_is_none() {
    let host = Host::new();
    host.call("umount /sys/fs/bpf").ok();
    let (a, b) = pair(&host);
    // Not findmnt: it counts a mount of the machine's own that this host's /sys hides.
    assert_eq!(host.call("stat -f -c %T /sys/fs/bpf").ok().trim(), "bpf_fs");
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
}

#[test]
fn a_lost_bpffs_is_the_same_as_lost_pins() {
    let host = Host::new();
    let (a, b) = pair(&host);
    host.call("umount /sys/fs/bpf").ok();
    host.bridge_user("reconcile").ok();
    assert_restored(&host, &a, &b);
}
