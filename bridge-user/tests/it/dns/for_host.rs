//! Where the host itself asks: `[dns] listen`, on its loopback.

use std::slice::from_ref;

use nix::sys::signal::Signal;

use crate::host::{Host, says, wait_until};

const HERE: &str = "127.0.0.54";

/// Whether something listens at an address and port, by ss(8), by UDP and by TCP.
fn is_listened_at(host: &Host, at: &str) -> bool {
    let found = host.call("ss -Hlntu").ok();
    let places = found.lines().map(|line| line.split_whitespace());
    let mut here = places.filter_map(|mut words| {
        let transport = words.next()?;
        (words.nth(3) == Some(at)).then_some(transport)
    });
    let all: Vec<&str> = here.by_ref().collect();
    all.contains(&"udp") && all.contains(&"tcp")
}

#[test]
fn the_host_is_told_the_names_of_all_networks() {
    let host = Host::new();
    host.configure("[dns]\nlisten = [\"127.0.0.54\", \"[::1]:5353\"]\n");
    // It is the host's own nameserver too, and does not ask itself.
    host.set_nameservers(&[HERE, "192.0.2.1"]);
    let upstream = host.nameserver("192.0.2.1", says("198.51.100.7", 60));
    host.create("one");
    host.create("--ipv6 --internal two");
    let web = host.join("one", "web");
    let db = host.join("two", "db");
    host.netns("linking");
    host.connect("--link web:own one linking");
    let (web4, db6) = (from_ref(&web.ipv4), from_ref(&db.ipv6));
    let _daemon = host.daemon();
    for server in [format!("@{HERE}"), "@::1 -p 5353".into()] {
        for transport in ["", "+tcp"] {
            let asked = |words: &str| host.dig_here(&format!("{server} {transport} {words}"));
            assert_eq!(asked("web A").sorted(), web4);
            assert_eq!(asked("web.one A").sorted(), web4);
            assert_eq!(asked("db.two AAAA").sorted(), db6);
            assert_eq!(asked(&format!("-x {}", db.ipv4)).answers, ["db.two."]);
            let others = asked("site.example A");
            assert_eq!(others.answers, ["198.51.100.7"], "{}", others.text);
            // A link is its endpoint's; of the host, others are asked.
            assert_eq!(asked("own A").answers, ["198.51.100.7"]);
        }
    }
    assert!(upstream.asked() >= 2);
    let found = host.call("getent ahostsv4 web.one").ok();
    assert!(found.starts_with(&web.ipv4), "{found}");
    let dug = host.dig("web", &format!("@{HERE} +time=1 db"));
    assert_eq!(
        dug.status, "",
        "a sandbox's loopback is its own: {}",
        dug.text
    );
    let text = host.read("/etc/netns/web/resolv.conf");
    assert!(!text.contains(HERE), "{text}");
}

#[test]
fn where_it_listens_is_read_again_and_the_option_counts_before() {
    let host = Host::new();
    host.set_nameservers(&[]);
    host.create("n");
    let a = host.join("n", "a");
    let at = |port: u16| format!("{HERE}:{port}");
    host.configure(&format!("[dns]\nlisten = [\"{HERE}:54\"]\n"));
    let daemon = host.daemon();
    assert!(is_listened_at(&host, &at(54)));
    host.configure(&format!("[dns]\nlisten = [\"{HERE}:55\"]\n"));
    daemon.signal(Signal::SIGHUP);
    wait_until("it listens elsewhere", || {
        is_listened_at(&host, &at(55)) && !is_listened_at(&host, &at(54))
    });
    let dug = host.dig_here(&format!("@{HERE} -p 55 -q a"));
    assert_eq!(dug.answers, [a.ipv4], "{}", dug.text);
    // What is not read changes nothing.
    host.configure("[dns]\nlisten = [\"0.0.0.0\"]\n");
    daemon.signal(Signal::SIGHUP);
    host.bridge_user("net ls")
        .fails_with(1, &["line 2", "0.0.0.0:53 is no address on the loopback"]);
    assert!(is_listened_at(&host, &at(55)));
    drop(daemon);
    host.configure(&format!("[dns]\nlisten = [\"{HERE}:55\"]\n"));
    let words = format!("daemon --foreground --listen {HERE}:56");
    let mut daemon = host.bridge_user(&words).spawn();
    daemon.wait_for_error_line("ready");
    assert!(is_listened_at(&host, &at(56)) && !is_listened_at(&host, &at(55)));
    host.bridge_user("daemon --listen 10.0.0.1")
        .fails_with_usage();
}
