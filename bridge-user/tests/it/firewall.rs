//! Our table among others: what flushes it is noticed, and what others would drop is told.

use std::time::{Duration, Instant};

use crate::host::{Host, assert_quick, text, wait_until};

/// Ways to lose a table, or a part of it.
const LOSSES: [&str; 12] = [
    "nft flush ruleset",
    "nft delete table inet bridge_user",
    "nft flush table inet bridge_user",
    "nft flush chain inet bridge_user forward",
    "nft flush set inet bridge_user bridges",
    "nft flush set inet bridge_user subnets6",
    "nft flush map inet bridge_user published4_all",
    "nft delete element inet bridge_user published6_all { tcp . 8080 }",
    "nft delete element inet bridge_user allowed4 { 0.0.0.0/0 . tcp . 8080 . 10.0.0.0/8 }",
    "nft add element inet bridge_user published4_all { udp . 53 : 10.90.0.77 . 53 }",
    // Rulesets that were saved before there was this network, and before a port was published.
    "nft -f /run/before-network.nft",
    "nft -f /run/before-port.nft",
];

/// A network with a published port, and the rulesets of times before them.
fn host() -> Host {
    let host = Host::new();
    let save = |file: &str| {
        let save = format!("(echo flush ruleset; nft list ruleset) >/run/{file}.nft");
        host.call("sh -c").arg(&save).ok();
    };
    host.create("before");
    save("before-network");
    host.create("--ipv6 n");
    host.join("n", "a");
    save("before-port");
    host.netns("b");
    host.connect("-p 8080:80 --publish-from 10.0.0.0/8 --publish-from fd00::/8 n b");
    host
}

#[test]
fn the_next_command_restores_a_lost_table() {
    let host = host();
    let rules = host.rules();
    for loss in LOSSES {
        host.call(loss).ok();
        assert_ne!(host.rules(), rules, "{loss}");
        host.bridge_user("net ls").ok();
        assert_eq!(host.rules(), rules, "{loss}");
    }
}

#[test]
fn the_daemon_restores_a_lost_table_within_a_second() {
    let host = host();
    let rules = host.rules();
    let _daemon = host.daemon();
    for loss in LOSSES {
        assert_quick(loss, Duration::from_secs(1), || {
            host.call(loss).ok();
            let lost = Instant::now();
            wait_until(loss, || host.rules() == rules);
            lost.elapsed()
        });
    }
}

#[test]
fn a_table_that_is_whole_is_left_alone() {
    let host = host();
    let handles = || host.call("nft -a list table inet bridge_user").ok();
    let before = handles();
    host.create("m");
    host.bridge_user("net rm m").ok();
    assert_ne!(
        handles(),
        before,
        "a table that is written anew has other handles"
    );
    let before = handles();
    host.bridge_user("net connect --create n c").ok();
    host.bridge_user("net disconnect n c").ok();
    host.bridge_user("net ls").ok();
    assert_eq!(handles(), before);
    // Ports come and go in a table that stays.
    let table = || {
        let tables = host.call("nft -a list tables").ok();
        let mut lines = tables.lines().filter(|line| line.contains("bridge_user"));
        lines.next().map(str::to_owned)
    };
    let before = table();
    assert!(before.is_some());
    host.bridge_user("net connect --create -p 8081:80 n c").ok();
    host.bridge_user("net ls").ok();
    host.bridge_user("net disconnect n c").ok();
    assert_eq!(table(), before);
    // What others do to tables of their own has it written again, once.
    host.call("nft add table inet foreign").ok();
    host.bridge_user("net ls").ok();
    let again = handles();
    host.bridge_user("net ls").ok();
    assert_eq!(handles(), again);
}

/// What doctor warns of among firewalls, and says to do.
pub(crate) fn warnings(host: &Host) -> Vec<(String, String)> {
    let told = host.bridge_user("doctor --format json").run().stdout;
    let findings = told.lines().map(|line| {
        let finding: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        finding
    });
    let bad = findings.filter(|f| f["Check"] == "firewall" && f["Status"] == "warning");
    bad.map(|f| (text(&f["Detail"]), text(&f["Advice"])))
        .collect()
}

#[test]
fn what_doctor_says_against_a_firewall_helps() {
    let host = Host::new();
    let outside = host.outside();
    host.create("--ipv6 -o com.docker.network.bridge.name=shop0 n");
    host.join("n", "a");
    let reaches = || {
        outside
            .addresses()
            .iter()
            .all(|t| host.ping_quickly("a", t))
    };
    assert_eq!(warnings(&host), []);
    let drops = "{ type filter hook forward priority 0; policy drop; }";
    let accepts = "{ type filter hook forward priority 0; }";
    let foreign = |chain: &str, rules: &[&str]| {
        host.call("nft add table inet foreign").ok();
        let chain = format!("add chain inet foreign routed {chain}");
        host.call("nft").arg(&chain).ok();
        for rule in rules {
            host.call(&format!("nft add rule inet foreign routed {rule}"))
                .ok();
        }
    };
    let docker = || {
        for words in [
            "-N DOCKER-USER",
            "-A FORWARD -j DOCKER-USER",
            "-P FORWARD DROP",
        ] {
            host.call(&format!("iptables {words}")).ok();
        }
    };
    let firewalls: [(&str, &str, &dyn Fn()); 3] = [
        ("inet foreign routed", "nft insert rule", &|| {
            foreign(drops, &[]);
        }),
        ("inet foreign routed", "nft insert rule", &|| {
            foreign(accepts, &["icmp type 5 accept", "counter reject"]);
        }),
        ("ip filter FORWARD", "iptables -I DOCKER-USER", &docker),
    ];
    for (chain, tool, make) in firewalls {
        make();
        assert!(!reaches(), "{chain}");
        let found = warnings(&host);
        assert_eq!(found.len(), 1, "{found:?}");
        let (detail, advice) = &found[0];
        assert!(detail.contains(chain) && advice.contains(tool), "{found:?}");
        host.call("sh -c").arg(advice).ok();
        assert!(reaches(), "{advice}");
        assert_eq!(warnings(&host), []);
        let table = chain.rsplit_once(' ').expect("a table and a chain").0;
        host.call(&format!("nft delete table {table}")).ok();
    }
}

#[test]
fn doctor_tells_of_forwarding_that_was_turned_off() {
    let host = Host::new();
    host.do_not_forward();
    let forwarding = || {
        let template = "{{.Check}} {{.Status}}";
        let told = host.bridge_user("doctor --format").arg(template).ok();
        let lines = told.lines().filter(|line| line.contains("forward"));
        lines
            .map(|line| line.ends_with("warning"))
            .collect::<Vec<_>>()
    };
    assert_eq!(forwarding(), [false, false]);
    host.create("--ipv6 n");
    host.do_not_forward();
    assert_eq!(forwarding(), [true, true]);
    host.bridge_user("reconcile").ok();
    assert_eq!(forwarding(), [false, false]);
}
