//! `stats`, `fdb`, `explain` and `trace`: what they say is what the kernel's own tools and real
//! frames say.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::host::{Endpoint, Host, number, text};

fn pair(host: &Host) -> (Endpoint, Endpoint) {
    host.create("--ipv6 n");
    (host.join("n", "a"), host.join("n", "b"))
}

/// The JSON objects that a command prints, one a line.
fn lines(output: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).expect("a line is an object");
    output.lines().map(parse).collect()
}

/// The sandbox `a` speaks with another's MAC address.
fn spoof(host: &Host) {
    host.call("ip -n a link set eth0 address 02:00:00:00:00:99")
        .ok();
    assert!(!host.ping_quickly("a", "10.90.0.3"));
}

#[test]
fn stats_are_what_the_map_has() {
    let host = Host::new();
    let (a, b) = pair(&host);
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
    spoof(&host);
    host.call("ip -n a link set eth0 down").ok();
    let counted = host.stats(&a.host_leg);
    let printed = host.bridge_user("stats --format json a").ok();
    let [row] = &lines(&printed)[..] else {
        panic!("one endpoint: {printed}")
    };
    assert_eq!(
        (text(&row["Endpoint"]), text(&row["Network"])),
        ("a".into(), "n".into())
    );
    for (field, value) in [
        ("TxFastPackets", counted.fast_packets),
        ("TxFastBytes", counted.fast_bytes),
        ("TxSlowPackets", counted.slow_packets),
        ("TxSlowBytes", counted.slow_bytes),
        ("AnsweredPackets", counted.answered_packets),
        ("AnsweredBytes", counted.answered_bytes),
    ] {
        assert_eq!(number(&row[field]), value, "{field}: {row}");
    }
    let spoofed = counted.drops[3];
    assert!(spoofed > 0 && number(&row["Drops"]["spoofed_mac"]) == spoofed);
    let table = host.bridge_user("stats").ok();
    assert!(table.starts_with("ENDPOINT   NETWORK   TX FAST"), "{table}");
    assert!(
        table.contains(&format!("(spoofed_mac {spoofed})")),
        "{table}"
    );
    assert_eq!(
        host.bridge_user("stats --format json n")
            .ok()
            .lines()
            .count(),
        2
    );
}

/// What `stats` says of an endpoint.
fn stats_of(host: &Host, endpoint: &Endpoint) -> Value {
    let words = format!("stats --format json {}", endpoint.sandbox);
    lines(&host.bridge_user(&words).ok()).remove(0)
}

/// Packets and bytes that a container leg received, as its own namespace has them.
fn received(host: &Host, endpoint: &Endpoint) -> (u64, u64) {
    let Endpoint {
        sandbox, interface, ..
    } = endpoint;
    let link = host.call(&format!("ip -n {sandbox} -s -j link show {interface}"));
    let received = &link.json()[0]["stats64"]["rx"];
    (number(&received["packets"]), number(&received["bytes"]))
}

/// Ten pings and a transfer, then silence; gives what `stats` says of both ends before and after
/// the pings, and in the end.
fn traffic_of(host: &Host, a: &Endpoint, b: &Endpoint) -> [[Value; 2]; 3] {
    // A frame may be on its way from the one counter to the other.
    let both = || {
        let mut last = [a, b].map(|end| stats_of(host, end));
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(50));
            let now = [a, b].map(|end| stats_of(host, end));
            if now == last {
                return now;
            }
            last = now;
        }
        panic!("the counters go on: {last:?}");
    };
    // Once before, so that nobody has to be asked for.
    host.assert_pings("a", &b.ipv4);
    let before = both();
    host.exec("a", "ping -n -q -c 10 -i 0.01").arg(&b.ipv4).ok();
    let pinged = both();
    host.transfer(a, b, &b.ipv4, 1);
    for end in [a, b] {
        host.call(&format!("ip -n {} link set eth0 down", end.sandbox))
            .ok();
    }
    let rows = [before, pinged, both()];
    for (end, row) in [a, b].into_iter().zip(&rows[2]) {
        let told = (number(&row["RxPackets"]), number(&row["RxBytes"]));
        assert_eq!(told, received(host, end), "{row}");
    }
    rows
}

#[test]
fn stats_tell_the_road_of_what_was_received() {
    let host = Host::new();
    let (a, b) = pair(&host);
    let [before, pinged, end] = traffic_of(&host, &a, &b);
    for side in [0, 1] {
        let grown = number(&pinged[side]["RxFastPackets"]) - number(&before[side]["RxFastPackets"]);
        assert_eq!(grown, 10, "{}", pinged[side]);
        // A frame of several segments is one where it is received, and of the same bytes.
        let (sent, got) = (&end[1 - side], &end[side]);
        assert_eq!(sent["TxFastBytes"], got["RxFastBytes"], "{sent} {got}");
        assert!(number(&got["RxFastPackets"]) > 100, "{got}");
        let rest = number(&got["RxPackets"])
            - number(&got["RxFastPackets"])
            - number(&got["RxSlowPackets"]);
        assert_eq!(rest, number(&got["AnsweredPackets"]), "{got}");
        assert!(rest > 0, "somebody was asked for: {got}");
    }
}

#[test]
fn stats_tell_that_the_bridge_delivered() {
    let host = Host::new();
    host.create("--datapath off n");
    let (a, b) = (host.join("n", "a"), host.join("n", "b"));
    let [before, pinged, end] = traffic_of(&host, &a, &b);
    for side in [0, 1] {
        let slow = |row: &Value| number(&row["RxSlowPackets"]);
        assert!(slow(&pinged[side]) >= slow(&before[side]) + 10);
        assert_eq!(number(&end[side]["RxFastPackets"]), 0);
        let all = slow(&end[side]) + number(&end[side]["AnsweredPackets"]);
        assert_eq!(all, number(&end[side]["RxPackets"]));
    }
}

#[test]
fn stats_of_xdp_ports_have_the_total_of_what_was_received() {
    let host = Host::new();
    host.create("--datapath xdp n");
    let (a, b) = (host.join("n", "a"), host.join("n", "b"));
    let [_, _, end] = traffic_of(&host, &a, &b);
    for row in &end {
        assert!(number(&row["RxPackets"]) > 100, "{row}");
        for road in [
            "RxFastPackets",
            "RxFastBytes",
            "RxSlowPackets",
            "RxSlowBytes",
        ] {
            assert!(row[road].is_null(), "{row}");
        }
    }
    let table = host.bridge_user("stats").ok();
    assert!(table.contains("   -         -         "), "{table}");
}

#[test]
fn fdb_is_what_the_map_has() {
    let host = Host::new();
    let (a, b) = pair(&host);
    host.create("m");
    let c = host.connect("--mac-address 02:00:00:aa:bb:cc m b");
    let rows = lines(&host.bridge_user("fdb --format json").ok());
    let printed: BTreeSet<(String, u64)> = rows
        .iter()
        .map(|row| (text(&row["Mac"]), number(&row["Ifindex"])))
        .collect();
    let wanted = [&a, &b, &c].map(|e| (e.mac.clone(), host.ifindex(&e.host_leg).into()));
    assert_eq!(printed, BTreeSet::from(wanted));
    assert_eq!(host.fdb().len(), rows.len());
    let of_m = lines(&host.bridge_user("fdb --format json m").ok());
    assert_eq!(of_m.len(), 1);
    assert_eq!(of_m[0]["Port"], c.host_leg);
    assert_eq!(
        (&of_m[0]["Endpoint"], &of_m[0]["Network"]),
        (&"b".into(), &"m".into())
    );
}

#[test]
fn explain_says_what_becomes_of_real_frames() {
    let host = Host::new();
    let (a, b) = pair(&host);
    host.create("m");
    let c = host.join("m", "c");
    let explain = |words: &str| {
        let printed = host
            .bridge_user(&format!("explain --format json {words}"))
            .ok();
        lines(&printed).remove(0)
    };
    let counted = |e: &Endpoint| host.stats(&e.host_leg);
    // The sandbox's kernel says nothing of its own meanwhile.
    host.call("ip -n a link set eth0 down").ok();
    let before = counted(&a);
    for to in ["b", b.ipv4.as_str(), b.ipv6.as_str()] {
        for proto in ["tcp", "udp", "icmp"] {
            let view = explain(&format!("a {to} --proto {proto}"));
            assert_eq!(
                (&view["Road"], &view["Check"]),
                (&"fast".into(), &"fdb".into()),
                "{view}"
            );
        }
    }
    let gateway = text(&host.inspect("n")["IPAM"]["Config"][0]["Gateway"]);
    assert_eq!(explain(&format!("a {gateway}"))["Road"], "slow");
    assert_eq!(explain("a 192.0.2.1")["Road"], "slow");
    assert_eq!(
        explain("a 10.90.0.77")["Check"],
        "bridge",
        "an ARP request for nobody"
    );
    let refused = explain(&format!("a {}", c.ipv4));
    assert_eq!(
        (&refused["Road"], &refused["Reason"]),
        (&"dropped".into(), &"isolated".into())
    );
    assert_eq!(explain("a c")["Reason"], "isolated");
    let checks = refused["Checks"].as_array().expect("a list");
    assert_eq!(checks.len(), 12);
    assert_eq!(counted(&a), before, "no counter moved");
    // Real frames of the same kind.
    host.bridge_user("reconcile").ok();
    host.assert_pings("a", &b.ipv4);
    assert!(counted(&a).fast_packets > before.fast_packets);
    assert!(!host.ping_quickly("a", &c.ipv4));
    let table = host.bridge_user("explain a b").ok();
    assert!(table.contains("fdb              decided"), "{table}");
    assert!(
        table.contains("fast: redirected into eth0 of sandbox b"),
        "{table}"
    );
}

#[test]
fn trace_tells_of_drops_and_misses() {
    let host = Host::new();
    let (a, _) = pair(&host);
    let trace = host.trace("--drops a");
    let second = host.bridge_user("trace");
    second.fails_with(1, &["another trace is running"]);
    spoof(&host);
    // Another command, purge too, does not wait for a trace.
    host.bridge_user("net ls").ok();
    let told = trace.stop();
    let events = lines(&told);
    assert!(!events.is_empty(), "{told}");
    for event in &events {
        assert_eq!(
            (&event["Endpoint"], &event["Reason"]),
            (&"a".into(), &"spoofed_mac".into())
        );
        assert_eq!(
            number(&event["Ifindex"]),
            u64::from(host.ifindex(&a.host_leg))
        );
        assert!(
            text(&event["Frame"]).contains("02:00:00:00:00:99"),
            "{event}"
        );
    }
    assert!(!host.is_traced(), "nobody pays any more");
}

#[test]
fn names_may_mean_the_same_ports() {
    let host = Host::new();
    let id = host.create("n");
    let (_, _) = (host.join("n", "a"), host.join("n", "b"));
    for (names, expected) in [
        ("a a", vec!["a"]),
        ("n a", vec!["a", "b"]),
        ("b n", vec!["b", "a"]),
        (&id[..12], vec!["a", "b"]),
    ] {
        let rows = lines(
            &host
                .bridge_user(&format!("stats --format json {names}"))
                .ok(),
        );
        let shown: Vec<String> = rows.iter().map(|row| text(&row["Endpoint"])).collect();
        assert_eq!(shown, expected, "{names}");
    }
}

#[test]
fn networks_that_are_listed_are_known_though_nobody_is_on_them() {
    let host = Host::new();
    host.create("n");
    for network in ["n", "bridge", "host", "none"] {
        for command in ["stats", "fdb"] {
            let command = format!("{command} --format json {network}");
            assert_eq!(host.bridge_user(&command).ok(), "", "{command}");
        }
    }
}

#[test]
fn names_that_stand_for_nothing_are_refused() {
    let host = Host::new();
    for words in ["stats", "fdb"] {
        host.bridge_user(words).ok();
    }
    host.bridge_user("trace")
        .fails_with(1, &["nothing to trace", "net create"]);
    pair(&host);
    for (words, part) in [
        ("stats nobody", "called nobody"),
        ("fdb nobody", "network nobody not found"),
        ("explain nobody b", "called nobody"),
        ("explain a nobody", "called nobody"),
        ("explain n b", "no endpoint or sandbox is called n"),
        ("trace nobody", "called nobody"),
    ] {
        host.bridge_user(words).fails_with(1, &[part, "hint:"]);
    }
    host.bridge_user("explain a b --proto sctp")
        .fails_with(2, &["sctp"]);
}
