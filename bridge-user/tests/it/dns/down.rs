//! The daemon is killed, or kept from being asked: what goes on, and what doctor says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::GATEWAY;
use crate::host::{Host, says, text, wait_until};

/// Findings of doctor that are not well, by what was looked at.
fn bad(host: &Host, check: &str) -> Vec<(String, String)> {
    let ran = host.bridge_user("doctor --format json").run();
    let findings = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{line}: {e}")));
    let bad = findings.filter(|f| f["Check"] == check && f["Status"] != "ok");
    bad.map(|f| {
        (
            text(&f["Status"]),
            text(&f["Detail"]) + " -> " + &text(&f["Advice"]),
        )
    })
    .collect()
}

#[test]
fn killed_amid_traffic_and_changes_it_costs_no_packet_and_no_name() {
    let host = Host::new();
    host.set_nameservers(&["192.0.2.1"]);
    let _upstream = host.nameserver("192.0.2.1", says("198.51.100.7", 60));
    host.create("n");
    let [_, b] = ["a", "b"].map(|name| host.join("n", name));
    host.netns("c");
    let ping = host
        .exec("a", &format!("ping -q -i 0.01 -c 600 {}", b.ipv4))
        .spawn();
    for round in 0..6 {
        let daemon = host.daemon();
        let changing = host.bridge_user("net connect --alias www n c").spawn();
        let killed = daemon.end(Signal::SIGKILL);
        assert_eq!(killed.signal, Some(libc::SIGKILL), "{killed}");
        let address = changing.wait();
        let address = address.trim().split('/').next().unwrap_or_default();
        // With nobody at the gateway, the hosts file knows, and the next nameserver.
        host.assert_pings("a", "c");
        let start = Instant::now();
        let found = host.exec("a", "getent ahostsv4 site.example").ok();
        assert!(found.starts_with("198.51.100.7"), "{found}");
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
        let daemon = host.daemon();
        let dug = host.dig("a", &format!("@{GATEWAY} www"));
        assert_eq!(dug.answers, [address], "round {round}: {}", dug.text);
        let changing = host.bridge_user("net disconnect n c").spawn();
        drop(daemon);
        changing.wait();
        let _daemon = host.daemon();
        for name in ["c", "www"] {
            let dug = host.dig("a", &format!("@{GATEWAY} {name}"));
            // Not ours any more: the upstream says what it says of every name.
            assert_eq!(dug.answers, ["198.51.100.7"], "round {round}: {}", dug.text);
        }
        let dug = host.dig("a", &format!("@{GATEWAY} b"));
        assert_eq!(
            dug.answers,
            std::slice::from_ref(&b.ipv4),
            "round {round}: {}",
            dug.text
        );
    }
    let said = ping.wait();
    assert!(
        said.contains("600 packets transmitted, 600 received, 0% packet loss"),
        "{said}"
    );
}

#[test]
fn doctor_says_that_dns_is_down() {
    let host = Host::new();
    assert_eq!(bad(&host, "daemon"), []);
    host.create("n");
    host.join("n", "a");
    let found = bad(&host, "daemon");
    assert!(
        found.len() == 1 && found[0].0 == "warning" && found[0].1.contains("DNS is down"),
        "{found:?}"
    );
    assert_eq!(bad(&host, "DNS"), []);
    let daemon = host.daemon();
    assert_eq!((bad(&host, "daemon"), bad(&host, "DNS")), (vec![], vec![]));
    // A server of somebody's has the port of a network that comes later.
    let _taken = host.inside(|| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        socket.set_freebind_v4(true)?;
        socket.bind(&std::net::SocketAddr::from(([10, 91, 0, 1], 53)).into())?;
        std::io::Result::Ok(socket)
    });
    host.create("--subnet 10.91.0.0/24 m");
    host.join("m", "b");
    let found = bad(&host, "DNS");
    assert!(
        found.len() == 1 && found[0].1.contains("another server has 10.91.0.1:53"),
        "{found:?}"
    );
    drop(daemon);
    assert_eq!(bad(&host, "daemon").len(), 1);
}

#[test]
fn doctor_blames_a_daemon_that_hangs_and_no_firewall() {
    let host = Host::new();
    host.create("n");
    host.join("n", "a");
    let daemon = host.daemon();
    daemon.signal(Signal::SIGSTOP);
    let found = bad(&host, "daemon");
    assert!(
        found.len() == 1 && found[0].0 == "failure" && found[0].1.contains("does not say"),
        "{found:?}"
    );
    assert_eq!(bad(&host, "DNS"), []);
    daemon.signal(Signal::SIGCONT);
    assert_eq!((bad(&host, "daemon"), bad(&host, "DNS")), (vec![], vec![]));
}

#[test]
fn doctor_says_that_a_firewall_drops_questions() {
    let host = Host::new();
    host.create("--ipv6 n");
    host.join("n", "a");
    let bridge = host.bridge_of("n");
    let _daemon = host.daemon();
    host.call("nft add table inet foreign").ok();
    host.call("nft")
        .arg("add chain inet foreign input { type filter hook input priority 0; }")
        .ok();
    for (rule, expected) in [
        ("udp dport 53 drop", vec!["53/udp"; 2]),
        ("ip protocol tcp tcp dport 53 drop", vec!["53/tcp"]),
        ("meta nfproto ipv6 udp dport 53 reject", vec!["53/udp"]),
    ] {
        host.call(&format!(
            "nft add rule inet foreign input iifname {bridge} {rule}"
        ))
        .ok();
        let found = bad(&host, "DNS");
        assert_eq!(found.len(), expected.len(), "{rule}: {found:?}");
        for ((status, text), expected) in found.iter().zip(expected) {
            assert!(
                status == "failure" && text.contains(expected) && text.contains("INPUT"),
                "{text}"
            );
        }
        assert_eq!(host.bridge_user("doctor").run().code, Some(1));
        host.call("nft flush chain inet foreign input").ok();
    }
    assert_eq!(bad(&host, "DNS"), []);
    // A policy, with the way out that is named.
    host.call("nft")
        .arg("add chain inet foreign input { policy drop; }")
        .ok();
    host.call("nft add rule inet foreign input meta l4proto ipv6-icmp accept")
        .ok();
    assert_eq!(bad(&host, "DNS").len(), 4);
    let way_out = format!("nft insert rule inet foreign input iifname {bridge}");
    for transport in ["udp", "tcp"] {
        host.call(&format!("{way_out} {transport} dport 53 accept"))
            .ok();
    }
    assert_eq!(bad(&host, "DNS"), []);
}

#[test]
fn doctor_says_that_another_server_has_the_port() {
    let host = Host::new();
    host.create("n");
    let web = host.join("n", "web");
    // One that answers whatever it is asked, as many have it: on all addresses.
    let is_answering = Arc::new(AtomicBool::new(true));
    let says_so = Arc::clone(&is_answering);
    let other = host.nameserver("0.0.0.0", move |answer, by_tcp| {
        says_so.load(Ordering::Relaxed) && says("198.51.100.7", 60)(answer, by_tcp)
    });
    let found = bad(&host, "DNS");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found.iter().all(|(status, _)| status == "warning"),
        "{found:?}"
    );
    let mut daemon = host.bridge_user("daemon --foreground").spawn();
    daemon.wait_for_error_line("another server has 0.0.0.0:53");
    daemon.wait_for_error_line("hint: ");
    let is_named = |found: &[(String, String)]| {
        let (status, text) = &found[0];
        found.len() == 1
            && status == "failure"
            && text.contains("another server has 0.0.0.0:53 -> ")
    };
    let found = bad(&host, "DNS");
    assert!(is_named(&found), "{found:?}");
    is_answering.store(false, Ordering::Relaxed);
    let found = bad(&host, "DNS");
    assert!(is_named(&found), "{found:?}");
    drop(other);
    wait_until("the daemon listens", || bad(&host, "DNS").is_empty());
    let dug = host.dig("web", &format!("@{GATEWAY} web"));
    assert_eq!(dug.answers, [web.ipv4], "{}", dug.text);
}

#[test]
fn doctor_names_the_process_that_has_the_port() {
    let host = Host::new();
    host.create("n");
    host.join("n", "a");
    let _other = host.call("iperf3 -s -B 0.0.0.0 -p 53").spawn();
    let pid = host.pid_of("iperf3");
    wait_until("it has the port", || {
        let listening = host.call("ss -Hltn").arg("sport = :53").run();
        !listening.stdout.is_empty()
    });
    let _daemon = host.daemon();
    let found = bad(&host, "DNS");
    let name = format!("iperf3 (process {pid}) has 0.0.0.0:53");
    assert!(found.len() == 1 && found[0].1.contains(&name), "{found:?}");
}

#[test]
fn doctor_says_that_a_firewall_sends_questions_elsewhere() {
    let host = Host::new();
    host.create("n");
    host.join("n", "a");
    let _daemon = host.daemon();
    let _other = host.nameserver("192.0.2.1", says("198.51.100.7", 60));
    host.call("nft add table ip foreign").ok();
    host.call("nft")
        .arg("add chain ip foreign pre { type nat hook prerouting priority -100; }")
        .ok();
    assert_eq!(bad(&host, "DNS"), []);
    host.call(
        "nft add rule ip foreign pre meta l4proto { tcp, udp } th dport 53 dnat to 192.0.2.1",
    )
    .ok();
    let found = bad(&host, "DNS");
    assert!(
        found.len() == 2 && found.iter().all(|(_, text)| text.contains("(DNAT)")),
        "{found:?}"
    );
}
