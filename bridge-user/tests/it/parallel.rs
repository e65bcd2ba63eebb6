//! Commands side by side.

use std::collections::BTreeSet;
use std::thread;

use crate::host::{Endpoint, Host, array, text};

/// Runs one closure for each number, all at once, and gives the results in order.
fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || work(n))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("the command succeeds"))
            .collect()
    })
}

#[test]
fn sixteen_connects_get_sixteen_addresses() {
    let host = Host::new();
    host.create("--ipv6 n");
    for n in 0..16 {
        host.netns(&format!("s{n}"));
    }
    let endpoints = at_once(16, |n| host.connect(&format!("n s{n}")));
    let distinct = |of: fn(&Endpoint) -> &String| endpoints.iter().map(of).collect::<BTreeSet<_>>();
    let counts = [
        distinct(|e| &e.ipv4),
        distinct(|e| &e.ipv6),
        distinct(|e| &e.mac),
    ];
    assert_eq!(counts.map(|set| set.len()), [16; 3], "{endpoints:?}");
    assert_eq!(
        (
            host.fdb().len(),
            host.ports().len(),
            host.attachments().len()
        ),
        (16, 16, 16)
    );
    for endpoint in &endpoints {
        let [cidr] = &host.addresses(Some(&endpoint.sandbox), "eth0")[..1] else {
            unreachable!()
        };
        assert_eq!(cidr.cidr, format!("{}/24", endpoint.ipv4));
        let hosts = host.read(&format!("/etc/netns/{}/hosts", endpoint.sandbox));
        assert_eq!(hosts.lines().count(), 6 + 2 * 16, "{hosts}");
    }
    host.assert_pings("s0", "s15");
    at_once(16, |n| {
        host.bridge_user(&format!("net disconnect n s{n}")).ok()
    });
    assert_eq!(
        (host.fdb(), host.ports(), host.attachments()),
        Default::default()
    );
    host.bridge_user("net rm n").ok();
    host.assert_clean();
}

#[test]
fn the_first_commands_may_come_together() {
    let host = Host::new();
    for _ in 0..20 {
        at_once(12, |_| host.bridge_user("net ls").ok());
        host.call("rm -r /run/state").ok();
    }
}

#[test]
fn eight_creates_get_eight_subnets() {
    let host = Host::new();
    at_once(8, |n| host.create(&format!("--ipv6 n{n}")));
    let mut subnets = BTreeSet::new();
    for n in 0..8 {
        let network = host.inspect(&format!("n{n}"));
        subnets.extend(
            array(&network["IPAM"]["Config"])
                .iter()
                .map(|pool| text(&pool["Subnet"])),
        );
        let bridge = text(&network["BridgeUser"]["Bridge"]);
        assert_eq!(host.addresses(None, &bridge).len(), 2);
    }
    assert_eq!(subnets.len(), 16, "{subnets:?}");
    at_once(8, |n| host.bridge_user(&format!("net rm n{n}")).ok());
    host.assert_clean();
}

#[test]
fn who_wants_a_network_gone_is_content_that_another_was_quicker() {
    let host = Host::new();
    for command in ["net prune --force", "net rm --force n"] {
        for _ in 0..4 {
            host.create("n");
            at_once(4, |_| host.bridge_user(command).ok());
        }
    }
    host.assert_clean();
}

#[test]
fn one_of_eight_equal_creates_wins() {
    let host = Host::new();
    let codes = at_once(8, |_| host.bridge_user("net create n").run());
    let winners = codes.iter().filter(|ran| ran.code == Some(0)).count();
    assert_eq!(winners, 1, "{codes:?}");
    for loser in codes.iter().filter(|ran| ran.code != Some(0)) {
        loser.assert_failure(1, &["network with name n already exists"]);
    }
    assert_eq!(host.networks(), ["n"]);
    host.bridge_user("net rm n").ok();
    host.assert_clean();
}

#[test]
fn the_default_network_is_made_once() {
    let host = Host::new();
    at_once(8, |n| {
        host.bridge_user(&format!("net connect --create bridge s{n}"))
            .ok()
    });
    assert_eq!(host.members("bridge").len(), 8);
    host.assert_pings(
        "s0",
        &host.addresses(Some("s7"), "eth0")[0]
            .cidr
            .replace("/24", ""),
    );
}

#[test]
fn one_sandbox_joins_eight_networks_at_once() {
    let host = Host::new();
    for n in 0..8 {
        host.create(&format!("n{n}"));
    }
    at_once(8, |n| {
        host.bridge_user(&format!("net connect --create n{n} a"))
            .ok()
    });
    let links = host.call("ip -n a -j link").json();
    let names: BTreeSet<String> = array(&links)
        .iter()
        .map(|link| text(&link["ifname"]))
        .collect();
    let expected = (0..8)
        .map(|n| format!("eth{n}"))
        .chain(["lo".into()])
        .collect();
    assert_eq!(names, expected);
    at_once(8, |n| {
        host.bridge_user(&format!("net disconnect n{n} a")).ok()
    });
    assert_eq!(
        host.files("/run/netns"),
        [""; 0],
        "the namespace that we made went once"
    );
}

#[test]
fn churn_ends_clean() {
    let host = Host::new();
    host.create("--ipv6 n");
    let stays = host.join("n", "stays");
    at_once(6, |n| {
        for _ in 0..4 {
            host.bridge_user(&format!("net connect --create n s{n}"))
                .ok();
            host.assert_pings("stays", "10.90.0.1");
            host.bridge_user(&format!("net disconnect n s{n}")).ok();
        }
    });
    assert_eq!(host.members("n"), ["stays"]);
    assert_eq!(host.files("/run/netns"), ["/run/netns/stays"]);
    assert_eq!(
        (
            host.fdb().len(),
            host.ports().len(),
            host.attachments().len()
        ),
        (1, 1, 1)
    );
    assert!(host.host_pings(&stays.ipv6));
    host.bridge_user("net disconnect n stays").ok();
    host.bridge_user("net rm n").ok();
    host.assert_clean();
}

#[test]
fn a_network_is_not_removed_under_a_connect() {
    let host = Host::new();
    for round in 0..6 {
        host.create("n");
        host.netns("a");
        let [connect, remove] = &at_once(2, |n| {
            host.bridge_user(["net connect n a", "net rm n"][n]).run()
        })[..] else {
            unreachable!("two results")
        };
        let codes = (connect.code, remove.code);
        assert!(
            codes == (Some(0), Some(1)) || codes == (Some(1), Some(0)),
            "{connect}{remove}"
        );
        host.bridge_user("net disconnect -f n a").run();
        host.bridge_user("net rm -f n").ok();
        host.call("ip netns del a").ok();
        host.assert_clean();
        assert_eq!(host.networks(), [""; 0], "round {round}");
    }
}

#[test]
fn purge_leaves_nothing_behind_that_others_make_meanwhile() {
    let host = Host::new();
    for round in 0..4 {
        host.create("n");
        at_once(8, |n| match n {
            4 => drop(host.bridge_user("purge --yes").ok()),
            // It may come too late.
            n => drop(
                host.bridge_user(&format!("net connect --create n s{round}{n}"))
                    .run(),
            ),
        });
        // What came after it is known to the new state, and so is purged too.
        host.bridge_user("purge --yes").ok();
        host.assert_clean();
        assert!(host.files("/run/netns").is_empty(), "round {round}");
    }
}

/// One port of the host, by a protocol each.
#[test]
fn of_two_that_go_at_once_no_port_stays_reserved() {
    let host = Host::new();
    host.create("n");
    let sysctls = host.sysctls();
    for round in 0..10 {
        for (sandbox, protocol) in [("a", "tcp"), ("b", "udp")] {
            let publish = format!("net connect --create -p 40000:80/{protocol} n {sandbox}");
            host.bridge_user(&publish).ok();
        }
        at_once(2, |at| {
            let sandbox = ["a", "b"][at];
            host.bridge_user(&format!("net disconnect n {sandbox}"))
                .ok()
        });
        assert_eq!(host.sysctls(), sysctls, "round {round}");
    }
}
