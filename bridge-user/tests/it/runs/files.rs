//! What a sandbox has of its own in /etc, and that it has nothing else of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{field, sleeper};
use crate::host::Host;

/// What a command prints in a sandbox with these options.
#[track_caller]
fn inside(host: &Host, options: &str, script: &str) -> String {
    let run = host.bridge_user(&format!("run --rm {options} -- sh -c"));
    run.arg(script).ok()
}

#[test]
fn the_hosts_file_is_dockers() {
    let host = Host::new();
    sleeper(
        &host,
        "--name a --hostname web --add-host db:192.0.2.7 --add-host six:fd00::7 --add-host out:host-gateway",
    );
    let short = field(&host, "a", ".Id")[..12].to_owned();
    let hosts = host.bridge_user("exec a -- cat /etc/hosts").ok();
    let own = format!("192.0.2.7\tdb\nfd00::7\tsix\n10.90.0.1\tout\n10.90.0.2\tweb {short}\n");
    assert!(
        hosts.starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost"),
        "{hosts}"
    );
    assert!(
        hosts.ends_with(&format!("ip6-allrouters\n{own}")),
        "{hosts}"
    );
    for name in ["web", &short, "db", "six", "out"] {
        host.bridge_user(&format!("exec a -- getent hosts {name}"))
            .ok();
    }
    host.assert_pings("a", "out");
    assert_eq!(
        host.read("/etc/netns/a/hosts"),
        hosts,
        "as ip netns exec has it"
    );
}

#[test]
fn on_a_user_defined_network_others_are_in_it_while_they_are_there() {
    let host = Host::new();
    host.create("n");
    sleeper(&host, "--name a --network n");
    let inode = || host.bridge_user("exec a -- stat -c %i /etc/hosts").ok();
    let before = inode();
    sleeper(&host, "--name b --network n --network-alias www");
    let b = field(&host, "b", ".NetworkSettings.Networks.n.IPAddress");
    let short = field(&host, "b", ".Config.Hostname");
    let line = format!("{b}\tb www {short}\n");
    let hosts = || host.bridge_user("exec a -- cat /etc/hosts").ok();
    assert!(hosts().ends_with(&line), "{}", hosts());
    for name in ["b", "www", &short] {
        host.bridge_user(&format!("exec a -- ping -nqc 1 -W 2 {name}"))
            .ok();
        host.bridge_user(&format!("exec b -- ping -nqc 1 -W 2 {name}"))
            .ok();
    }
    host.bridge_user("rm -f b").ok();
    assert!(!hosts().contains(&b), "{}", hosts());
    assert_eq!(inode(), before);
}

#[test]
fn a_torn_file_is_mended() {
    let host = Host::new();
    sleeper(&host, "--name a");
    let whole = host.read("/etc/netns/a/hosts");
    host.call("truncate -s 40 /etc/netns/a/hosts").ok();
    host.bridge_user("reconcile").ok();
    assert_eq!(host.bridge_user("exec a -- cat /etc/hosts").ok(), whole);
}

#[test]
fn torn_files_of_whatever_network_are_mended() {
    let host = Host::new();
    host.create("n");
    sleeper(&host, "--name none --network none");
    sleeper(&host, "--name n --network n");
    sleeper(&host, "--name host --network host --add-host x:192.0.2.1");
    let own = |name| format!("/run/state/runs/{}", field(&host, name, ".Id"));
    for directory in ["/etc/netns/none".into(), "/etc/netns/n".into(), own("host")] {
        for name in ["hosts", "resolv.conf", "hostname"] {
            let path = format!("{directory}/{name}");
            let whole = host.read(&path);
            host.call(&format!("truncate -s 7 {path}")).ok();
            host.bridge_user("reconcile").ok();
            assert_eq!(host.read(&path), whole, "{path}");
        }
    }
}

#[test]
fn the_host_name_is_its_own() {
    let host = Host::new();
    let outside = host.call("hostname").ok();
    assert_eq!(
        inside(&host, "--hostname web", "hostname; cat /etc/hostname"),
        "web\nweb\n"
    );
    let own = inside(
        &host,
        "--name a --network none",
        "hostname; cat /etc/hostname",
    );
    let (first, second) = own.trim().split_once('\n').unwrap();
    assert!(first == second && first.len() == 12, "{own}");
    assert_eq!(inside(&host, "--network host", "hostname"), outside);
    assert_eq!(
        inside(
            &host,
            "--network host --hostname web",
            "hostname; cat /etc/hostname"
        ),
        "web\nweb\n"
    );
    assert_eq!(host.call("hostname").ok(), outside);
}

#[test]
fn the_resolver_is_the_hosts_but_for_its_loopback() {
    let host = Host::new();
    host.create("--subnet 10.77.0.0/24 n");
    let text = "nameserver 127.0.0.1\nnameserver 192.0.2.1\nsearch example.org\n";
    host.call("sh -c")
        .arg(&format!(
            "rm -f /etc/resolv.conf; printf '{text}' >/etc/resolv.conf"
        ))
        .ok();
    let read = |options: &str| {
        let text = inside(&host, options, "cat /etc/resolv.conf");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let own = ["nameserver 192.0.2.1", "search example.org"];
    assert_eq!(read(""), own);
    assert_eq!(read("--network none"), own);
    assert_eq!(read("--network host"), text.lines().collect::<Vec<_>>());
    let given = [
        "nameserver 192.0.2.7",
        "nameserver fd00::7",
        "search example.org",
    ];
    for network in ["bridge", "none", "host"] {
        let options = format!("--network {network} --dns 192.0.2.7 --dns fd00::7");
        assert_eq!(read(&options), given);
    }
    // Where names are told, who tells them is asked first.
    let first = "nameserver 10.77.0.1";
    assert_eq!(read("--network n")[..2], [first, own[0]]);
    assert_eq!(read("--network n --dns 192.0.2.7")[..2], [first, given[0]]);
    assert_eq!(host.read("/etc/resolv.conf"), text);
}

#[test]
fn on_the_hosts_network_added_hosts_are_added_to_the_hosts_own() {
    let host = Host::new();
    host.call("sh -c")
        .arg("echo 192.0.2.5 printer >>/etc/hosts")
        .ok();
    let hosts = inside(
        &host,
        "--network host --add-host db:192.0.2.7",
        "cat /etc/hosts",
    );
    assert!(
        hosts.contains("192.0.2.5 printer\n") && hosts.contains("192.0.2.7\tdb\n"),
        "{hosts}"
    );
    assert!(!host.read("/etc/hosts").contains("192.0.2.7"));
    assert_eq!(host.files("/run/state/runs"), [""; 0]);
}

#[test]
fn a_host_that_shares_its_mounts_gets_none_of_a_sandboxs() {
    let host = Host::new();
    // As systemd has them.
    host.call("mount --make-rshared /").ok();
    let mounts = || host.call("findmnt -rno TARGET,FSTYPE").ok();
    let before = mounts();
    sleeper(&host, "--name a");
    // What ip-netns has too: the namespace's file, and its directory as a mount.
    let ours = mounts().lines().map(str::to_owned).collect::<Vec<_>>();
    let more: Vec<&String> = ours.iter().filter(|m| !before.contains(*m)).collect();
    assert!(
        !more.is_empty() && more.iter().all(|m| m.starts_with("/run/netns")),
        "{more:?}"
    );
    // What the host mounts later, the sandbox sees.
    host.call("mkdir /run/later").ok();
    host.call("mount -t tmpfs later /run/later").ok();
    let there = host.bridge_user("exec a -- findmnt -no SOURCE /run/later");
    assert_eq!(there.ok().trim(), "later");
}

#[test]
fn nothing_else_is_its_own() {
    let host = Host::new();
    let list = "findmnt -rno TARGET | sort; ls /";
    let outside = host.call("sh -c").arg(list).ok();
    let inside = inside(&host, "--network none", list);
    let only = |these: &str, those: &str| -> Vec<String> {
        let those: Vec<&str> = those.lines().collect();
        let mut lines: Vec<&str> = these.lines().filter(|line| !those.contains(line)).collect();
        lines.dedup();
        lines.into_iter().map(str::to_owned).collect()
    };
    let added = only(&inside, &outside);
    // Its own namespace has a name, as ip netns has it; that mount is the host's.
    let expected = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
    let added: Vec<&String> = added
        .iter()
        .filter(|m| !m.starts_with("/run/netns"))
        .collect();
    assert_eq!(added, expected);
    let gone = only(&outside, &inside);
    assert!(
        gone.iter().all(|mount| mount.starts_with("/sys/")),
        "{gone:?}"
    );
    assert_eq!(
        host.call("sh -c")
            .arg(list)
            .ok()
            .replace("/run/netns\n", ""),
        outside.replace("/run/netns\n", "")
    );
}

#[test]
fn a_resolver_file_that_is_being_renewed_goes_with_its_run() {
    let host = Host::new();
    let _daemon = host.daemon();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for last in (1..255).cycle() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                host.set_nameservers(&[&format!("192.0.2.{last}")]);
            }
        });
        for round in 0..30 {
            host.bridge_user("run --rm --name a -- true").ok();
            if host.files("/etc/netns") != [""; 0] {
                done.store(true, Ordering::Relaxed);
                panic!("round {round} leaves {:?}", host.files("/etc/netns"));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
