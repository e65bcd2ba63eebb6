//! What another version, or another boot, left behind.

use crate::host::{Endpoint, Host, text};

/// A dual-stack network with endpoints in `a` and `b`.
fn pair(host: &Host) -> (Endpoint, Endpoint) {
    host.create("--ipv6 n");
    (host.join("n", "a"), host.join("n", "b"))
}

#[test]
fn pins_of_another_layout_are_refused() {
    let host = Host::new();
    let (a, b) = pair(&host);
    host.netns("c");
    host.change_meta(|meta| meta.layout_version = 99);
    for words in ["net connect n c", "net create m"] {
        let refused = host.bridge_user(words);
        refused.fails_with(1, &["layout version 99", "/sys/fs/bpf/bridge-user"]);
    }
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
}

#[test]
fn what_another_layout_made_is_removed_by_purge() {
    for host in [Host::new(), Host::without_tcx()] {
        host.do_not_forward();
        host.outside();
        let before = host.sysctls();
        host.create("--ipv6 n");
        host.netns("web");
        host.bridge_user("net connect -p 40000:80 n web").ok();
        host.bridge_user("net connect --create n made").ok();
        let run = "run -d --name run --network n -p 40001:80 -- sleep 1000";
        host.bridge_user(run).ok();
        assert_ne!(host.sysctls(), before);
        host.change_meta(|meta| meta.layout_version = 99);
        host.bridge_user("net ls").fails_with(1, &["purge"]);
        host.bridge_user("purge --yes").ok();
        assert_eq!(host.sysctls(), before);
        assert_eq!(host.call("pgrep -x sleep").run().stdout, "");
        host.assert_clean();
    }
}

#[test]
fn another_build_puts_its_program_in_place() {
    let host = Host::new();
    let (a, b) = pair(&host);
    let before = host.transfer(&a, &b, &b.ipv4, 1);
    let [old] = host.programs(&a.host_leg)[..] else {
        panic!("one program is at the port");
    };
    host.change_meta(|meta| meta.object_hash += 1);
    let c = host.join("n", "c");
    let [new] = host.programs(&a.host_leg)[..] else {
        panic!("one program is at the port");
    };
    assert_ne!(new, old);
    assert_eq!(host.programs(&c.host_leg), [new]);
    let counted = host.stats(&a.host_leg).fast_packets;
    assert!(
        counted >= before.fast,
        "the counters went on from {before:?}: {counted}"
    );
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
    host.transfer(&a, &c, &c.ipv6, 1).assert_fast();
}

#[test]
fn a_reboot_restores_networks_and_what_comes_back() {
    let host = Host::new();
    let (a, b) = pair(&host);
    host.bridge_user("net connect --create n made").ok();
    let bridge = host.bridge_of("n");
    let mac = || text(&host.link(None, &bridge).expect("the bridge exists")["address"]);
    let old_mac = mac();
    host.reboot(&bridge, &["a", "b", "made"]);
    host.netns("a");
    host.bridge_user("net ls").ok();
    assert_eq!((mac(), host.has_table()), (old_mac, true));
    assert_eq!(
        host.members("n"),
        ["a", "b"],
        "a namespace that we made went for good"
    );
    for address in a.addresses() {
        assert!(host.host_pings(&address), "{address}");
    }
    host.netns("b");
    host.bridge_user("net ls").ok();
    for address in b.addresses() {
        host.assert_pings("a", &address);
    }
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
    for sandbox in ["a", "b"] {
        host.bridge_user(&format!("net disconnect n {sandbox}"))
            .ok();
    }
    host.bridge_user("net rm n").ok();
    host.assert_clean();
}

#[test]
fn an_index_of_an_earlier_boot_may_be_another_ports() {
    let host = Host::new();
    let (a, b) = pair(&host);
    host.reboot(&host.bridge_of("n"), &["a", "b"]);
    host.netns("a");
    host.netns("b");
    // In this boot the bridge is the next link, and the leg that is restored first the one after:
    // both rows say that their leg had that index.
    host.call("ip link add probe type bridge").ok();
    let probe = host.ifindex("probe");
    host.call("ip link del probe").ok();
    host.change_rows(&format!("UPDATE endpoints SET ifindex = {}", probe + 2));
    host.bridge_user("net ls").ok();
    assert_eq!(host.ports().len(), 2, "no port took another one's entry");
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
    host.transfer(&b, &a, &a.ipv6, 1).assert_fast();
}

/// Another state's are not touched, whatever layout their pins have: as with pins of ours.
#[test]
fn purge_leaves_pins_of_another_state_and_layout() {
    let host = Host::new();
    host.create("n");
    let a = host.join("n", "a");
    host.change_meta(|meta| meta.layout_version = 99);
    host.call("mkdir -m 700 /run/other").ok();
    let purge = "/run/bin/bridge-user --state-dir /run/other purge --yes";
    host.call(purge).fails_with(1, &["another state"]);
    assert!(
        host.link(None, &a.host_leg).is_some(),
        "another state's leg is gone"
    );
}

/// What is to be removed needs no program that runs.
#[test]
fn purge_removes_what_another_layout_made_where_programs_cannot_be_loaded() {
    let host = Host::new();
    host.create("n");
    host.join("n", "a");
    host.change_meta(|meta| meta.layout_version = 99);
    host.call("prlimit --nofile=26 /run/bin/bridge-user --state-dir /run/state purge --yes")
        .ok();
    host.assert_clean();
}
