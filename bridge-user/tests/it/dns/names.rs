//! Names of endpoints by DNS, asked by dig(1) and by getent(1) in sandboxes.

use super::GATEWAY;
use crate::host::{Endpoint, Host, wait_until};

/// A host with a daemon and a dual-stack network `n` that has `a` and `b`.
fn host() -> (Host, [Endpoint; 2], impl Sized) {
    let host = Host::new();
    host.set_nameservers(&[]);
    let daemon = host.daemon();
    host.create("--ipv6 n");
    let endpoints = ["a", "b"].map(|name| host.join("n", name));
    (host, endpoints, daemon)
}

#[test]
fn an_endpoint_has_names_and_addresses_of_both_families() {
    let (host, [a, b], _daemon) = host();
    host.netns("c");
    let c = host.connect("--alias www --alias db.main n c");
    let container = host.inspect("n")["Containers"]
        .as_object()
        .and_then(|all| all.iter().find(|(_, view)| view["Name"] == "c"))
        .map(|(id, _)| id[..12].to_owned())
        .expect("c is there");
    let gateway6 = host.default_routes("a", true)[0].0.clone();
    let names = [
        "c",
        "C",
        "www",
        "db.main",
        "c.n",
        "www.n",
        &container,
        &c.id[..12],
    ];
    for server in [GATEWAY, &gateway6] {
        for transport in ["", "+tcp", "+noedns", "+bufsize=4096"] {
            for name in names {
                let dig = |kind| host.dig("a", &format!("@{server} {transport} {name} {kind}"));
                for (kind, address) in [("A", &c.ipv4), ("AAAA", &c.ipv6)] {
                    let dug = dig(kind);
                    assert_eq!(
                        (&*dug.status, dug.answers),
                        ("NOERROR", vec![address.clone()]),
                        "{}",
                        dug.text
                    );
                    assert!(dug.flags.contains(&"aa".into()), "{}", dug.text);
                }
                assert_eq!(dig("ANY").sorted(), [c.ipv4.clone(), c.ipv6.clone()]);
                let other = dig("MX");
                assert_eq!(
                    (&*other.status, other.answers),
                    ("NOERROR", vec![]),
                    "{}",
                    other.text
                );
            }
        }
        for (address, name) in [(&a.ipv4, "a.n."), (&b.ipv6, "b.n."), (&c.ipv6, "c.n.")] {
            let dug = host.dig("a", &format!("@{server} -x {address}"));
            assert_eq!(dug.answers, [name], "{}", dug.text);
        }
    }
    // An address of the network that nobody has is nobody else's to know.
    let dug = host.dig("a", &format!("@{GATEWAY} -x 10.90.0.200"));
    assert_eq!(dug.status, "NXDOMAIN", "{}", dug.text);
}

#[test]
fn a_name_without_an_address_of_a_family_is_an_empty_answer() {
    let host = Host::new();
    let _daemon = host.daemon();
    host.create("n");
    host.join("n", "a");
    let dug = host.dig("a", &format!("@{GATEWAY} -q a -t AAAA"));
    assert_eq!(
        (&*dug.status, dug.answers),
        ("NOERROR", vec![]),
        "{}",
        dug.text
    );
    assert!(
        dug.text.contains("EDNS: version: 0") && dug.text.contains("udp: 1232"),
        "{}",
        dug.text
    );
    let dug = host.dig("a", &format!("@{GATEWAY} +noedns -q a -t AAAA"));
    assert!(
        dug.status == "NOERROR" && !dug.text.contains("EDNS"),
        "{}",
        dug.text
    );
    let dug = host.dig("a", &format!("@{GATEWAY} +edns=1 +noednsnegotiation -q a"));
    assert_eq!(dug.status, "BADVERS", "{}", dug.text);
    let dug = host.dig("a", &format!("@{GATEWAY} version.bind CH TXT"));
    assert_eq!(dug.status, "REFUSED", "{}", dug.text);
    let dug = host.dig("a", &format!("@{GATEWAY} +opcode=status -q a"));
    assert_eq!(dug.status, "NOTIMP", "{}", dug.text);
}

#[test]
fn endpoints_share_an_alias_and_take_turns() {
    let host = Host::new();
    let _daemon = host.daemon();
    host.create("n");
    let mut expected: Vec<String> = ["a", "b", "c"]
        .map(|name| {
            host.netns(name);
            host.connect(&format!("--alias www n {name}")).ipv4
        })
        .into();
    expected.sort();
    let mut first = Vec::new();
    for _ in 0..6 {
        let dug = host.dig("a", &format!("@{GATEWAY} www"));
        assert_eq!(dug.sorted(), expected, "{}", dug.text);
        first.push(dug.answers[0].clone());
    }
    for address in &expected {
        let times = first.iter().filter(|other| *other == address).count();
        assert_eq!(times, 2, "{first:?}");
    }
    host.bridge_user("net disconnect n c").ok();
    assert_eq!(
        host.dig("a", &format!("@{GATEWAY} www")).sorted(),
        expected[..2]
    );
}

#[test]
fn a_record_is_right_the_moment_a_command_returns() {
    let (host, _, _daemon) = host();
    host.netns("c");
    for round in 0..10 {
        let c = host.connect("--alias alias n c");
        for name in ["c", "alias"] {
            let dug = host.dig("a", &format!("@{GATEWAY} {name}"));
            assert_eq!(
                dug.answers,
                std::slice::from_ref(&c.ipv4),
                "round {round}: {}",
                dug.text
            );
        }
        host.bridge_user("net disconnect n c").ok();
        for words in ["c".to_owned(), "alias".to_owned(), format!("-x {}", c.ipv4)] {
            let dug = host.dig("a", &format!("@{GATEWAY} {words}"));
            assert!(
                dug.answers.is_empty() && !dug.status.is_empty(),
                "round {round}: {}",
                dug.text
            );
        }
    }
    // So it is with networks, and with a state that is removed and made anew.
    host.bridge_user("purge --yes").ok();
    for round in 0..3 {
        host.create("m");
        let c = host.connect("m c");
        let dug = host.dig("c", &format!("@{GATEWAY} c.m"));
        assert_eq!(dug.answers, [c.ipv4], "round {round}: {}", dug.text);
        if round == 1 {
            host.bridge_user("purge --yes").ok();
        } else {
            host.bridge_user("net disconnect m c").ok();
            host.bridge_user("net rm m").ok();
        }
    }
    wait_until("nobody listens", || listening(&host).is_empty());
}

/// Addresses that something listens at on port 53, by ss(8): each by UDP and by TCP.
fn listening(host: &Host) -> Vec<String> {
    let found = host.call("ss -Hlntu").ok();
    let mut places: Vec<(&str, &str)> = Vec::new();
    for line in found.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        places.extend(words[4].strip_suffix(":53").map(|at| (at, words[0])));
    }
    places.sort_unstable();
    // Several sockets share an address.
    places.dedup();
    places.into_iter().map(|(at, _)| at.to_owned()).collect()
}

#[test]
fn it_listens_at_gateways_and_nowhere_else() {
    let host = Host::new();
    let _daemon = host.daemon();
    host.create("--subnet 10.91.0.0/24 --subnet fd00:91::/64 both");
    host.create("-o bridge-user.dns=false silent");
    host.create("--subnet 10.92.0.0/24 -o com.docker.network.bridge.inhibit_ipv4=true elsewhere");
    host.netns("a");
    host.connect("bridge a");
    let expected = ["10.91.0.1", "10.91.0.1", "[fd00:91::1]", "[fd00:91::1]"];
    wait_until("it listens", || listening(&host) == expected);
    host.bridge_user("net rm both").ok();
    wait_until("nobody listens", || listening(&host).is_empty());
    host.change_rows(
        "UPDATE networks SET options = '{\"bridge-user.dns\":\"true\"}' WHERE name = 'bridge'",
    );
    wait_until("it listens on the default network", || {
        listening(&host).len() == 2
    });
}

#[test]
fn sandboxes_resolve_by_their_own_files() {
    let (host, [a, b], _daemon) = host();
    // Not in the hosts file: the resolver has to know.
    let found = host.exec("a", "getent ahostsv4 b.n").ok();
    assert!(found.starts_with(&b.ipv4), "{found}");
    let found = host.exec("a", "getent ahostsv6 b.n").ok();
    assert!(found.starts_with(&b.ipv6), "{found}");
    host.call("rm /etc/netns/b/hosts").ok();
    let found = host.exec("b", "getent hosts a").ok();
    assert!(
        found.contains(&a.ipv6) || found.contains(&a.ipv4),
        "{found}"
    );
    let found = host.exec("b", &format!("getent hosts {}", a.ipv4)).ok();
    assert!(found.contains("a.n"), "{found}");
}

#[test]
fn resolver_files_come_and_go_with_networks() {
    let host = Host::new();
    host.set_nameservers(&["127.0.0.53", "192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    host.create("n");
    host.create("--internal inside");
    for name in ["a", "own", "empty"] {
        host.netns(name);
    }
    let path = |name: &str| format!("/etc/netns/{name}/resolv.conf");
    let nameservers = |name: &str| -> Vec<String> {
        let text = host.read(&path(name));
        let servers = text
            .lines()
            .filter_map(|line| line.strip_prefix("nameserver "));
        servers.map(str::to_owned).collect()
    };
    let is_there = |name: &str| host.call("test -e").arg(&path(name)).run().code == Some(0);
    host.connect("bridge a");
    assert!(!is_there("a"), "nothing is told on the default network");
    host.connect("inside a");
    let inside = host.gateway_of("inside");
    assert_eq!(nameservers("a"), std::slice::from_ref(&inside));
    let inode = || host.call("stat -c %i").arg(&path("a")).ok();
    let before = inode();
    host.connect("n a");
    let gateway = host.gateway_of("n");
    assert_eq!(nameservers("a"), [&gateway, "192.0.2.1", "192.0.2.2"]);
    assert_eq!(inode(), before, "a process that has it mounted sees it");
    host.bridge_user("net disconnect n a").ok();
    assert_eq!((nameservers("a"), inode()), (vec![inside], before));
    host.bridge_user("net disconnect inside a").ok();
    assert!(!is_there("a"));
    // One that the user has is the user's.
    host.call("mkdir -p /etc/netns/own").ok();
    host.call("sh -c")
        .arg(&format!("echo nameserver 192.0.2.9 >{}", path("own")))
        .ok();
    host.connect("n own");
    assert_eq!(nameservers("own"), ["192.0.2.9"]);
    host.bridge_user("net disconnect n own").ok();
    assert_eq!(nameservers("own"), ["192.0.2.9"]);
}

#[test]
fn networks_tell_each_other_nothing_but_to_who_is_on_both() {
    let host = Host::new();
    host.set_nameservers(&[]);
    let _daemon = host.daemon();
    host.create("one");
    host.create("two");
    let [one, two] = ["one", "two"].map(|network| host.gateway_of(network));
    let only_one = host.join("one", "x");
    let only_two = host.join("two", "y");
    host.netns("both");
    host.connect("one both");
    let both_on_two = host.connect("two both");
    for gateway in [&one, &two] {
        for (name, address) in [
            ("x", &only_one.ipv4),
            ("y", &only_two.ipv4),
            ("both.two", &both_on_two.ipv4),
        ] {
            let dug = host.dig("both", &format!("@{gateway} {name}"));
            assert_eq!(dug.answers, std::slice::from_ref(address), "{}", dug.text);
        }
    }
    for name in ["y", "y.two", "both.two"] {
        let dug = host.dig("x", &format!("@{one} {name}"));
        assert!(
            dug.answers.is_empty() && !dug.status.is_empty(),
            "{}",
            dug.text
        );
    }
    let dug = host.dig("x", &format!("@{one} -x {}", only_two.ipv4));
    assert_eq!(dug.status, "NXDOMAIN", "{}", dug.text);
    let dug = host.dig("x", &format!("@{two} y"));
    assert_eq!(dug.status, "REFUSED", "{}", dug.text);
    // The host may ask anywhere.
    assert_eq!(host.dig_here(&format!("@{two} y")).answers, [only_two.ipv4]);
}

#[test]
fn a_thousand_names_are_told_and_what_does_not_fit_comes_by_tcp() {
    let (host, _, _daemon) = host();
    let mut addresses = Vec::new();
    for part in 0..4 {
        let name = format!("many{part}");
        host.netns(&name);
        let aliases: Vec<String> = (0..250)
            .map(|n| format!("--alias name{part}x{n}"))
            .collect();
        let more: Vec<String> = (0..40).map(|_| "--alias all".into()).collect();
        let endpoint = host.connect(&format!(
            "{} {} n {name}",
            aliases.join(" "),
            more.join(" ")
        ));
        addresses.push(endpoint.ipv4);
    }
    let asked = "for p in 0 1 2 3; do n=0; while [ $n -lt 250 ]; do echo name${p}x$n A; n=$((n+1)); done; done >/run/names";
    host.call("sh -c").arg(asked).ok();
    let found = host
        .exec("a", &format!("dig +short @{GATEWAY} -f /run/names"))
        .ok();
    let found: Vec<&str> = found.lines().collect();
    assert_eq!(found.len(), 1000);
    for (n, address) in found.iter().enumerate() {
        assert_eq!(*address, addresses[n / 250]);
    }
    let dug = host.dig("a", &format!("@{GATEWAY} all"));
    assert_eq!(dug.answers.len(), 4, "{}", dug.text);
}

#[test]
fn resolver_files_follow_the_hosts_while_the_daemon_runs() {
    let host = Host::new();
    host.set_nameservers(&["192.0.2.1"]);
    host.create("n");
    host.join("n", "a");
    host.bridge_user("run -d --name r -- sleep 600").ok();
    host.bridge_user("run -d --name own --dns 192.0.2.99 -- sleep 600")
        .ok();
    host.netns("silent");
    host.connect("bridge silent");
    let nameservers = |name: &str| -> Vec<String> {
        let text = host.read(&format!("/etc/netns/{name}/resolv.conf"));
        let servers = text
            .lines()
            .filter_map(|line| line.strip_prefix("nameserver "));
        servers.map(str::to_owned).collect()
    };
    let inode = || host.call("stat -c %i /etc/netns/a/resolv.conf").ok();
    let before = inode();
    host.set_nameservers(&["192.0.2.2"]);
    assert_eq!(nameservers("a"), [GATEWAY, "192.0.2.1"]);
    // What changed while it did not run, and what changes while it does.
    let _daemon = host.daemon();
    for nameserver in ["192.0.2.2", "192.0.2.3"] {
        host.set_nameservers(&[nameserver]);
        wait_until("the file follows", || {
            nameservers("a") == [GATEWAY, nameserver]
        });
        wait_until("so does the run's", || nameservers("r") == [nameserver]);
    }
    let inside = host.bridge_user("exec r -- cat /etc/resolv.conf").ok();
    assert!(inside.contains("nameserver 192.0.2.3\n"), "{inside}");
    assert_eq!(nameservers("own"), ["192.0.2.99"]);
    assert_eq!(inode(), before, "a process that has it mounted sees it");
    let is_there = host.call("test -e /etc/netns/silent/resolv.conf").run();
    assert_eq!(is_there.code, Some(1), "nothing is told there");
    // One that the user wrote since is the user's.
    host.call("sh -c")
        .arg("echo nameserver 192.0.2.50 >/etc/netns/a/resolv.conf")
        .ok();
    host.set_nameservers(&["192.0.2.4"]);
    wait_until("the run's follows", || nameservers("r") == ["192.0.2.4"]);
    assert_eq!(nameservers("a"), ["192.0.2.50"]);
}
