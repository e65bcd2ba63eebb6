//! Nameservers that one sandbox has of its own: `run --dns`.

use hickory_proto::op::ResponseCode;

use super::GATEWAY;
use crate::host::{Host, Running, fails, says};

const HOSTS: &str = "192.0.2.1";
const GIVEN: &str = "192.0.2.2";

/// A host with a daemon and a network, and a sandbox on it that is run with these options.
fn host(options: &str) -> (Host, Running) {
    let host = Host::new();
    host.set_nameservers(&[HOSTS]);
    let daemon = host.daemon();
    host.create("n");
    let words = format!("run -d --name x --network n {options} -- sleep 1000");
    host.bridge_user(&words).ok();
    (host, daemon)
}

#[test]
fn they_are_asked_for_its_questions_and_for_nobody_elses() {
    let (host, _daemon) = host(&format!("--dns {GIVEN}"));
    host.join("n", "y");
    let hosts = host.nameserver(HOSTS, says("198.51.100.1", 60));
    let given = host.nameserver(GIVEN, says("198.51.100.2", 60));
    // Twice: what is kept is kept apart.
    for _ in 0..2 {
        for (name, expected) in [("x", "198.51.100.2"), ("y", "198.51.100.1")] {
            let dug = host.dig(name, &format!("@{GATEWAY} site.example"));
            assert_eq!(dug.answers, [expected], "{name}: {}", dug.text);
        }
    }
    assert_eq!((hosts.asked(), given.asked()), (1, 1));
    let found = host.exec("x", "getent ahostsv4 other.example").ok();
    assert!(found.starts_with("198.51.100.2"), "{found}");
    // Who has some of its own is not told what the host's say.
    drop(given);
    let _given = host.nameserver(GIVEN, fails(ResponseCode::Refused, 0));
    let before = hosts.asked();
    let dug = host.dig("x", &format!("@{GATEWAY} private.example"));
    assert_eq!(dug.status, "REFUSED", "{}", dug.text);
    assert_eq!(hosts.asked(), before);
    // Names of ours are ours all the same.
    assert_eq!(host.dig("x", &format!("@{GATEWAY} y")).answers.len(), 1);
}

#[test]
fn one_on_its_own_loopback_is_asked_by_the_sandbox() {
    let (host, _daemon) = host("--dns 127.0.0.1");
    let hosts = host.nameserver(HOSTS, says("198.51.100.1", 60));
    // The host's own server there is another one.
    let stranger = host.nameserver("127.0.0.1", says("198.51.100.3", 60));
    let own = host.nameserver_in("x", "127.0.0.1", says("198.51.100.2", 60));
    let found = host.exec("x", "getent ahostsv4 site.example").ok();
    assert!(found.starts_with("198.51.100.2"), "{found}");
    assert!(own.asked() > 0);
    let dug = host.dig("x", &format!("@{GATEWAY} site.example"));
    assert_eq!(dug.status, "REFUSED", "{}", dug.text);
    assert_eq!((hosts.asked(), stranger.asked()), (0, 0));
    assert_eq!(host.dig("x", &format!("@{GATEWAY} x")).answers.len(), 1);
}

#[test]
fn what_nobody_would_ask_is_refused() {
    let host = Host::new();
    host.create("--internal inside");
    let words = "run --rm --network inside --dns 192.0.2.2 -- true";
    let expected = ["--dns", "network inside is internal", "hint: "];
    host.bridge_user(words).fails_with(125, &expected);
    assert_eq!(host.bridge_user("ps -aq").ok(), "");
    host.create("-o bridge-user.dns=false silent");
    let words = "run --rm --network silent --network-alias www -- true";
    let expected = [
        "an alias has no use: network silent tells no names",
        "hint: ",
    ];
    host.bridge_user(words).fails_with(125, &expected);
    assert_eq!(host.bridge_user("ps -aq").ok(), "");
    host.netns("x");
    for network in ["silent", "bridge"] {
        let said = format!("network {network} tells no names");
        host.bridge_user(&format!("net connect --alias www {network} x"))
            .fails_with(1, &[&said, "hint: "]);
    }
    assert_eq!(host.bridge_user("fdb").ok().lines().count(), 1);
    // There the sandbox asks itself, as the hint says.
    host.create("--internal -o bridge-user.dns=false quiet");
    let words = "run --rm --network quiet --dns 192.0.2.2 -- cat /etc/resolv.conf";
    let conf = host.bridge_user(words).ok();
    assert!(conf.contains("nameserver 192.0.2.2\n"), "{conf}");
}

#[test]
fn behind_a_stub_of_the_host_its_own_nameservers_are_given() {
    let host = Host::new();
    // systemd-resolved: what it asks is in a file of its own.
    host.set_nameservers(&["127.0.0.53"]);
    host.call("mkdir -p /run/systemd/resolve").ok();
    host.call("sh -c")
        .arg("echo nameserver 192.0.2.9 >/run/systemd/resolve/resolv.conf")
        .ok();
    host.create("n");
    for network in ["n", "bridge"] {
        let words = format!("run --rm --network {network} -- cat /etc/resolv.conf");
        let conf = host.bridge_user(&words).ok();
        assert!(conf.contains("nameserver 192.0.2.9\n"), "{conf}");
        assert!(!conf.contains("127.0.0.53"), "{conf}");
    }
}
