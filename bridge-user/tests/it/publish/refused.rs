//! What is refused, by whom it stands in the way of, and leaves nothing.

use super::publish;
use crate::host::{Host, wait_until};

#[test]
fn who_has_the_port_is_named() {
    let host = Host::new();
    host.create("--ipv6 n");
    publish(&host, "-p 8080:80 -p 127.0.0.1:8081:81 n web");
    host.netns("other");
    let listeners = [
        ("nc -l 127.0.0.1 9000", "ss -Hltn", 9000),
        ("nc -u -l 0.0.0.0 9000", "ss -Hlun", 9000),
        ("nc -6 -l ::1 9001", "ss -Hltn", 9001),
    ];
    let _listening = listeners.map(|(nc, ss, port)| {
        let running = host.call(nc).spawn();
        wait_until(nc, || {
            let found = host.call(ss).arg(&format!("sport = :{port}")).run();
            !found.stdout.is_empty()
        });
        running
    });
    let before = host.snapshot();
    let allocated = "port is already allocated: endpoint web of network n has it";
    for (options, parts) in [
        (
            "-p 8080:80",
            ["bind for 0.0.0.0:8080 (tcp) failed", allocated],
        ),
        ("-p 127.0.0.1:8080:80", ["127.0.0.1:8080", allocated]),
        ("-p [::]:8080:80", ["[::]:8080", allocated]),
        ("-p 8081:80", ["0.0.0.0:8081", allocated]),
        ("-p 8000-8100:8000-8100", ["0.0.0.0:8080", allocated]),
        (
            "-p 7000:80 -p 7000:81",
            ["0.0.0.0:7000", "endpoint other of network n"],
        ),
        (
            "-p 9000:80",
            ["0.0.0.0:9000 (tcp)", "address already in use: nc (process"],
        ),
        (
            "-p 9000:80/udp",
            ["0.0.0.0:9000 (udp)", "address already in use: nc (process"],
        ),
        ("-p 127.0.0.1:9000:80", ["127.0.0.1:9000", "nc (process"]),
        ("-p [::1]:9001:80", ["[::1]:9001", "nc (process"]),
        ("-p 9001:80", ["[::]:9001", "nc (process"]),
        (
            "-p 203.0.113.9:80:80",
            ["203.0.113.9:80", "no address of this host"],
        ),
    ] {
        let call = host.bridge_user(&format!("net connect {options} n other"));
        call.fails_with(1, &parts);
        let run = host.bridge_user(&format!("run --name r --network n {options} -- true"));
        let parts = parts.map(|part| part.replace("endpoint other", "endpoint r"));
        run.fails_with(125, &[parts[0].as_str(), parts[1].as_str()]);
        host.assert_as_before(&before, options);
    }
}

#[test]
fn what_is_free_is_given() {
    let host = Host::new();
    host.create("--ipv6 n");
    publish(&host, "-p 8080:80 -p 127.0.0.1:8081:81 n web");
    host.netns("other");
    let before = host.snapshot();
    for free in ["-p 127.0.0.2:8081:80", "-p 8080:80/udp"] {
        let arguments = format!("{free} n other");
        host.connect(&arguments);
        host.bridge_user("net disconnect n other").ok();
    }
    host.assert_as_before(&before, "published and unpublished");
}

#[test]
fn specs_that_say_nothing_are_refused() {
    let host = Host::new();
    host.create("n");
    host.netns("a");
    for options in [
        "-p 0:80",
        "-p 80:0",
        "-p 65536:80",
        "-p 80:65536",
        "-p 82-80:80",
        "-p 80:82-80",
        "-p 8000-8001:80-82",
        "-p 80/icmp",
        "-p ::1:80:80",
        "-p host:80:80",
        "-p 8080:",
        "--expose 80",
        "-P",
        "-P --expose 0",
        "--publish-from 10.0.0.0/8",
        "-p 224.0.0.1:8080:80",
        "-p 255.255.255.255:8080:80/udp",
        "-p [ff02::1]:8080:80/udp",
        "-p [fe80::1]:8080:80",
        "-p 80 --publish-from 10.0.0.0/33",
        "-p 80 --publish-from ten",
    ] {
        host.bridge_user(&format!("net connect {options} n a"))
            .fails_with_usage();
    }
    assert_eq!(host.members("n"), [""; 0]);
}

#[test]
fn addresses_that_lead_nowhere_are_refused() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 n");
    host.netns("a");
    let refused = |options: &str, parts: &[&str]| {
        let before = host.snapshot();
        let call = host.bridge_user(&format!("net connect {options} n a"));
        call.fails_with(1, parts);
        host.assert_as_before(&before, options);
    };
    let broadcast = [
        "192.0.2.255:8080",
        "it is a broadcast address",
        "hint: ip address",
    ];
    refused("-p 192.0.2.255:8080:80", &broadcast);
    refused("-p 192.0.2.255:8080:80/udp", &broadcast);
    refused(
        "-p 127.0.0.1:8080:80/sctp",
        &[
            "127.0.0.1:8080 (sctp)",
            "loopback",
            "hint: publish on another",
        ],
    );
    host.call("umount /sys/fs/cgroup").ok();
    for at in ["127.0.0.1:8080", "[::1]:8080"] {
        refused(
            &format!("-p 80:80 -p {at}:80"),
            &[
                at,
                "(tcp)",
                "loopback",
                "cgroup v2",
                "hint: mount -t cgroup2",
            ],
        );
    }
    // Written as IPv6, an address of IPv4 is what it is.
    host.connect("-p [::ffff:192.0.2.1]:8080:80 n a");
    assert_eq!(
        host.bridge_user("port a").ok(),
        "80/tcp -> 192.0.2.1:8080\n"
    );
}

#[test]
fn where_nothing_can_be_published() {
    let host = Host::new();
    host.create("--internal inside");
    host.create("one");
    host.create("two");
    host.join("one", "a");
    host.netns("b");
    let before = host.snapshot();
    host.bridge_user("net connect -p 80 inside b")
        .fails_with(1, &["network inside is internal", "hint: "]);
    host.bridge_user("net connect -p 80 two a").fails_with(
        1,
        &["network two is not the way out of sandbox a: that is network one"],
    );
    host.bridge_user("net connect -p [::1]:80:80 two b")
        .fails_with(1, &["b", "no IPv6 address"]);
    let words = "conflicting options: port publishing and the";
    for mode in ["host", "none"] {
        host.bridge_user(&format!("run --network {mode} -p 80 -- true"))
            .fails_with(125, &[words, mode]);
    }
    host.bridge_user("run -d --name c --network none -- sleep 600")
        .ok();
    host.bridge_user("run --network container:c -p 80 -- true")
        .fails_with(125, &[words, "container type network mode"]);
    host.bridge_user("run --network container:c --expose 80 -- true")
        .fails_with(125, &["conflicting options: port exposing"]);
    host.bridge_user("rm -f c").ok();
    host.bridge_user("run --network inside -p 80 -- true")
        .fails_with(125, &["network inside is internal"]);
    host.bridge_user("port nobody").fails_with(1, &["nobody"]);
    host.assert_as_before(&before, "refused");
}
