//! Names of links by DNS: who has the link is told them, nobody else.

use super::GATEWAY;
use crate::host::Host;

/// What getent(1) finds in a sandbox by DNS alone, its hosts file aside.
#[track_caller]
fn found_by_dns(host: &Host, name: &str, other: &str) -> Option<String> {
    let ran = host
        .exec(name, &format!("getent -s hosts:dns ahostsv4 {other}"))
        .run();
    let address = ran.stdout.split_whitespace().next().map(str::to_owned);
    assert_eq!(ran.code == Some(0), address.is_some(), "{}", ran.stdout);
    address
}

#[test]
fn a_link_is_answered_to_who_has_it_alone() {
    let host = Host::new();
    host.set_nameservers(&[]);
    let _daemon = host.daemon();
    host.create("--ipv6 n");
    host.netns("web");
    host.connect("--link db:Store --link db:store2 n web");
    let asked = |from: &str, words: &str| host.dig(from, &format!("@{GATEWAY} {words}"));
    let dug = asked("web", "store");
    assert!(
        dug.answers.is_empty() && !dug.status.is_empty(),
        "{}",
        dug.text
    );
    let db = host.join("n", "db");
    host.join("n", "other");
    for name in ["store", "STORE", "store2", "store.n"] {
        for transport in ["", "+tcp"] {
            for (kind, address) in [("A", &db.ipv4), ("AAAA", &db.ipv6)] {
                let dug = asked("web", &format!("{transport} {name} {kind}"));
                assert_eq!(dug.answers, std::slice::from_ref(address), "{}", dug.text);
            }
        }
        assert_eq!(
            found_by_dns(&host, "web", name),
            Some(db.ipv4.clone()),
            "{name}"
        );
        for from in ["other", "db"] {
            let dug = asked(from, name);
            assert!(
                dug.answers.is_empty() && !dug.status.is_empty(),
                "{from}: {}",
                dug.text
            );
            assert_eq!(found_by_dns(&host, from, name), None, "{from}: {name}");
        }
    }
    let dug = host.dig_here(&format!("@{GATEWAY} store"));
    assert!(dug.answers.is_empty(), "the host has no link: {}", dug.text);
    // An address has one name, whoever has others for it.
    let dug = asked("web", &format!("-x {}", db.ipv4));
    assert_eq!(dug.answers, ["db.n."], "{}", dug.text);
    host.bridge_user("net disconnect n db").ok();
    assert_eq!(found_by_dns(&host, "web", "store"), None);
    host.netns("else");
    let second = host.connect("--alias db n else");
    assert_eq!(found_by_dns(&host, "web", "store"), Some(second.ipv4));
    host.bridge_user("net disconnect n web").ok();
    host.connect("n web");
    assert_eq!(found_by_dns(&host, "web", "store"), None);
}

#[test]
fn a_link_counts_before_who_has_the_name() {
    let host = Host::new();
    host.set_nameservers(&[]);
    let _daemon = host.daemon();
    host.create("n");
    let [db, cache] = ["db", "cache"].map(|name| host.join("n", name));
    host.netns("web");
    host.connect("--link db:cache n web");
    let asked = |from: &str| host.dig(from, &format!("@{GATEWAY} cache")).answers;
    assert_eq!(asked("web"), [db.ipv4]);
    assert_eq!(asked("db"), [cache.ipv4]);
}

#[test]
fn links_of_the_default_network_are_all_that_dns_says_of_it() {
    let host = Host::new();
    host.set_nameservers(&[]);
    let _daemon = host.daemon();
    let db = host.join("bridge", "db");
    host.join("bridge", "other");
    host.netns("web");
    host.connect("--link db:store bridge web");
    // Nobody is asked there, so it is by another network that web has a resolver at all.
    host.create("n");
    host.connect("n web");
    host.connect("n other");
    let gateway = host.gateway_of("n");
    for name in ["store", "db", "store.bridge"] {
        assert_eq!(
            found_by_dns(&host, "web", name),
            Some(db.ipv4.clone()),
            "{name}"
        );
        let dug = host.dig("other", &format!("@{gateway} {name}"));
        assert!(
            dug.answers.is_empty() && !dug.status.is_empty(),
            "{}",
            dug.text
        );
    }
    assert_eq!(found_by_dns(&host, "web", "other.bridge"), None);
    // Another sandbox of the name is not what was linked to.
    host.bridge_user("net disconnect bridge db").ok();
    host.netns("new");
    host.connect("--name db bridge new");
    assert_eq!(found_by_dns(&host, "web", "store"), None);
}
