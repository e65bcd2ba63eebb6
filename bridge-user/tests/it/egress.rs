//! The way outside, and from outside directly to endpoints: under which address, of which size, and
//! for whom.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use crate::host::{Arrival, Endpoint, Host, OUTSIDE, UPLINK, link_local, mac, wait_until};
use crate::publish::{publish, serve, url, who};
use crate::spoofing::icmpv6;

const MASQUERADE: &str = "com.docker.network.bridge.enable_ip_masquerade";
const DOCKERS: &str = "com.docker.network";

/// Sources of the echo requests among frames.
fn echo_sources(frames: &[Arrival]) -> BTreeSet<IpAddr> {
    let sources = frames.iter().filter_map(|arrival| {
        let frame = &arrival.frame;
        // Ethernet, then an IPv4 header without options and the ICMP type, or the same of IPv6.
        match (frame.get(12..14)?, frame.get(23)?, frame.get(20)?) {
            ([8, 0], 1, _) if frame.get(34) == Some(&8) => {
                let source: [u8; 4] = frame[26..30].try_into().ok()?;
                Some(Ipv4Addr::from(source).into())
            }
            ([0x86, 0xdd], _, 58) if frame.get(54) == Some(&128) => {
                let source: [u8; 16] = frame[22..38].try_into().ok()?;
                Some(Ipv6Addr::from(source).into())
            }
            _ => None,
        }
    });
    sources.collect()
}

/// Pings every address of `to`, and gives the sources that it sees.
#[track_caller]
fn seen_by(host: &Host, from: &str, to: &Endpoint) -> Vec<String> {
    let wire = host.wire(to);
    for target in to.addresses() {
        host.assert_pings(from, &target);
    }
    let seen = echo_sources(&wire.arrived());
    seen.iter().map(ToString::to_string).collect()
}

#[test]
fn nobody_outside_comes_with_an_endpoints_address() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 n");
    // The kernel's own check of sources, which IPv6 has not, is not what keeps them out.
    for link in ["all", "up0"] {
        host.call(&format!("sysctl -qw net.ipv4.conf.{link}.rp_filter=0"))
            .ok();
    }
    host.call("ip -n outside addr add 10.77.0.77/32 dev eth0")
        .ok();
    host.call("ip -n outside addr add fd77::77/128 dev eth0 nodad")
        .ok();
    let received = || {
        let count = |file: &str, name: &str| {
            let text = host.read(file);
            let mut lines = text.lines().filter(|line| line.starts_with(name));
            lines.next_back().map(str::to_owned)
        };
        (
            count("/proc/net/snmp", "Icmp:"),
            count("/proc/net/snmp6", "Icmp6InEchos"),
        )
    };
    let ping = |from: &str, to: &str| host.ping_quickly("outside", &format!("-I {from} {to}"));
    let before = received();
    assert!(!ping("10.77.0.77", "192.0.2.1"));
    assert!(!ping("fd77::77", "2001:db8::1"));
    assert_eq!(received(), before);
    // That is how they would have been seen.
    assert!(ping("192.0.2.2", "192.0.2.1"));
    assert!(ping("2001:db8::2", "2001:db8::1"));
    let after = received();
    assert!(after.0 != before.0 && after.1 != before.1, "{after:?}");
}

#[test]
fn what_leaves_has_the_address_that_the_options_say() {
    let host = Host::new();
    let outside = host.outside();
    // Not for the host's own packets: masquerading takes what they have.
    for address in ["192.0.2.77/32", "2001:db8::77/64"] {
        let deprecated = "preferred_lft 0 nodad";
        host.call(&format!("ip addr add {address} dev up0 {deprecated}"))
            .ok();
    }
    let link = ["192.0.2.1", "2001:db8::1"];
    let fixed = ["192.0.2.77", "2001:db8::77"];
    let fixed_options = format!(
        "-o {DOCKERS}.host_ipv4={} -o {DOCKERS}.host_ipv6={}",
        fixed[0], fixed[1]
    );
    let rows = [
        ("", Some(link)),
        (&format!("-o {MASQUERADE}=false"), None),
        (&fixed_options, Some(fixed)),
        ("-o bridge-user.gateway_mode=routed", None),
        (
            &format!(
                "-o {DOCKERS}.bridge.gateway_mode_ipv4=nat -o {DOCKERS}.bridge.gateway_mode_ipv6=nat"
            ),
            Some(link),
        ),
    ];
    for (n, (options, expected)) in rows.into_iter().enumerate() {
        let name = format!("n{n}");
        host.create(&format!("--ipv6 {options} {name}"));
        let endpoint = host.join(&name, &name);
        let own = [endpoint.ipv4.as_str(), endpoint.ipv6.as_str()];
        assert_eq!(
            seen_by(&host, &name, &outside),
            expected.unwrap_or(own),
            "{options}"
        );
    }
}

#[test]
fn what_stays_within_a_network_keeps_its_address() {
    // Every frame by the bridge, and every frame of it through the firewall.
    let host = Host::with_br_netfilter(true);
    let outside = host.outside();
    host.create("--ipv6 --datapath off n");
    let [a, b] = ["a", "b"].map(|name| host.join("n", name));
    let own = [a.ipv4, a.ipv6];
    assert_eq!(seen_by(&host, "a", &b), own);
    // Routed by the host, from the bridge to the bridge.
    for target in b.addresses() {
        let (family, length) = if target.contains(':') {
            (true, 128)
        } else {
            (false, 32)
        };
        let gateway = &host.default_routes("a", family)[0].0;
        host.call(&format!(
            "ip -n a route add {target}/{length} via {gateway}"
        ))
        .ok();
    }
    assert_eq!(seen_by(&host, "a", &b), own);
    assert_eq!(seen_by(&host, "a", &outside), ["192.0.2.1", "2001:db8::1"]);
}

/// Whether a TCP connection to port 5201 comes about.
fn connects(host: &Host, from: &str, target: &str) -> bool {
    let command = format!("timeout 1 bash -c 'exec 3<>/dev/tcp/{target}/5201' || exit 1");
    host.exec(from, "sh -c").arg(&command).run().code == Some(0)
}

#[test]
fn from_outside_endpoints_are_reached_where_they_are_routed() {
    let host = Host::new();
    let outside = host.outside();
    let half = format!("-o {DOCKERS}.bridge.gateway_mode_ipv6=routed half");
    for (name, options, reached) in [
        ("nat", "nat", [false, false]),
        (
            "kept",
            &*format!("-o {MASQUERADE}=false kept"),
            [false, false],
        ),
        ("half", &half, [false, true]),
        (
            "routed",
            "-o bridge-user.gateway_mode=routed routed",
            [true, true],
        ),
    ] {
        host.create(&format!("--ipv6 {options}"));
        let endpoint = host.join(name, name);
        let _server = host.exec(name, "iperf3 -s").spawn();
        wait_until("iperf3 listens", || {
            let listening = host.exec(name, "ss -Hltn").arg("sport = :5201").run();
            !listening.stdout.is_empty()
        });
        for (target, reached) in endpoint.addresses().iter().zip(reached) {
            let before = host.echoes_in(name);
            assert_eq!(
                host.ping_quickly("outside", target),
                reached,
                "{name}: {target}"
            );
            assert_eq!(host.echoes_in(name) > before, reached, "{name}: {target}");
            assert_eq!(
                connects(&host, "outside", target),
                reached,
                "{name}: {target}"
            );
            assert!(host.host_pings(target), "{name}: {target}");
        }
        for target in outside.addresses() {
            host.assert_pings(name, &target);
        }
    }
}

#[test]
fn options_that_contradict_are_refused() {
    let host = Host::new();
    let fresh = host.snapshot();
    for (arguments, parts) in [
        (
            "-o bridge-user.gateway_mode=isolated n",
            ["gateway_mode", "nat or routed"],
        ),
        (
            "-o com.docker.network.bridge.gateway_mode_ipv4=nat-unprotected n",
            ["gateway_mode_ipv4", "nat or routed"],
        ),
        (
            "-o com.docker.network.host_ipv4=fd00::1 n",
            ["host_ipv4", "IPv4 address"],
        ),
        (
            "-o com.docker.network.host_ipv4=192.0.2.1 -o bridge-user.gateway_mode=routed n",
            ["host_ipv4", "routed"],
        ),
        (
            "-o com.docker.network.host_ipv6=2001:db8::1 n",
            ["host_ipv6", "no IPv6 subnet"],
        ),
        (
            "--internal -o bridge-user.gateway_mode=routed n",
            ["gateway_mode", "internal"],
        ),
        (
            "--internal -o bridge-user.publish=bpf n",
            ["publish", "an internal network"],
        ),
        (
            "--datapath off -o bridge-user.publish=bpf n",
            ["publish", "datapath off"],
        ),
        (
            "-o bridge-user.gateway_mode=routed -o bridge-user.publish=bpf n",
            ["publish", "routed"],
        ),
    ] {
        host.bridge_user(&format!("net create {arguments}"))
            .fails_with(1, &parts);
        host.assert_as_before(&fresh, arguments);
    }
}

/// The maximum segment sizes that the first SYN or SYN-ACK among frames offers, by the family.
fn segment_size(frames: &[Arrival]) -> Option<u16> {
    frames.iter().find_map(|arrival| {
        let frame = &arrival.frame;
        let tcp = match (frame.get(12..14)?, frame.get(23)?, frame.get(20)?) {
            ([8, 0], 6, _) => 34,
            ([0x86, 0xdd], _, 6) => 54,
            _ => return None,
        };
        // SYN, and the first option, which Linux has as this one (RFC 9293, 3.2).
        let syn = frame.get(tcp + 13)? & 2 != 0;
        let option = frame.get(tcp + 20..tcp + 24)?;
        (syn && option[..2] == [2, 4]).then(|| u16::from_be_bytes([option[2], option[3]]))
    })
}

#[test]
fn segments_fit_the_way_out() {
    let host = Host::new();
    let outside = host.outside();
    host.create("--ipv6 n");
    let a = host.join("n", "a");
    let _server = host.exec("outside", "iperf3 -s").spawn();
    wait_until("iperf3 listens", || {
        let listening = host.exec("outside", "ss -Hltn").arg("sport = :5201").run();
        !listening.stdout.is_empty()
    });
    for (mtu, sizes) in [(1500, [1460, 1440]), (1400, [1360, 1340])] {
        host.call(&format!("ip link set up0 mtu {mtu}")).ok();
        for (target, size) in outside.addresses().iter().zip(sizes) {
            let wires = [&outside, &a].map(|endpoint| host.wire(endpoint));
            assert!(connects(&host, "a", target), "{mtu}: {target}");
            for wire in wires {
                assert_eq!(segment_size(&wire.arrived()), Some(size), "{mtu}: {target}");
            }
        }
    }
}

/// Of a published port, too: an answer's SYN is one of an established connection.
#[test]
fn segments_of_published_ports_fit_the_way_out() {
    let host = Host::new();
    let outside = host.outside();
    host.create("--ipv6 n");
    publish(&host, "-p 8080:80 n web");
    let _server = serve(&host, "web", 80);
    for (mtu, sizes) in [(1500, [1460, 1440]), (1400, [1360, 1340])] {
        host.call(&format!("ip link set up0 mtu {mtu}")).ok();
        for (address, size) in UPLINK.iter().zip(sizes) {
            let wire = host.wire(&outside);
            let at = url(address, 8080);
            assert!(who(&host, Some("outside"), &at).is_some(), "{mtu}: {at}");
            assert_eq!(segment_size(&wire.arrived()), Some(size), "{mtu}: {at}");
        }
    }
}

/// What stays within a network fits it, whatever the host's way back to the sender would be.
#[test]
fn segments_within_a_network_fit_the_network() {
    let host = Host::with_br_netfilter(true);
    host.outside();
    host.call("ip link set up0 mtu 1300").ok();
    for options in ["", "--internal"] {
        let inhibit = format!("-o {DOCKERS}.bridge.inhibit_ipv4=true");
        host.create(&format!("--datapath off {inhibit} {options} n"));
        host.join("n", "a");
        let b = host.join("n", "b");
        let wire = host.wire(&b);
        assert!(!connects(&host, "a", &b.ipv4), "nobody listens");
        assert_eq!(segment_size(&wire.arrived()), Some(1460), "{options:?}");
        for name in ["a", "b"] {
            host.bridge_user(&format!("net disconnect n {name}")).ok();
            host.call(&format!("ip netns del {name}")).ok();
        }
        host.bridge_user("net rm n").ok();
    }
}

/// Value of a sysctl below /proc/sys/net.
fn sysctl(host: &Host, key: &str) -> String {
    host.read(&format!("/proc/sys/net/{key}")).trim().into()
}

fn set_sysctl(host: &Host, key: &str, value: &str) {
    let command = format!("echo {value} >/proc/sys/net/{key}");
    host.call("sh -c").arg(&command).ok();
}

/// Forwarding of both families.
fn forwards(host: &Host) -> [String; 2] {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"].map(|key| sysctl(host, key))
}

#[test]
fn the_host_forwards_as_long_as_a_network_needs_it() {
    let host = Host::new();
    let outside = host.outside();
    host.do_not_forward();
    // As hardened hosts have it, and one link that forwards for somebody else.
    set_sysctl(&host, "ipv4/conf/all/accept_redirects", "0");
    set_sysctl(&host, "ipv6/conf/up0/forwarding", "1");
    host.call("ip link add up1 type bridge").ok();
    let before = host.sysctls();
    host.create("--internal --ipv6 closed");
    assert_eq!(host.sysctls(), before);
    host.create("n");
    assert_eq!(forwards(&host), ["1", "0"]);
    host.create("--ipv6 m");
    assert_eq!(forwards(&host), ["1", "1"]);
    assert_eq!(sysctl(&host, "ipv6/conf/up1/accept_ra"), "2");
    host.join("m", "a");
    for target in outside.addresses() {
        host.assert_pings("a", &target);
    }
    host.bridge_user("net disconnect m a").ok();
    host.bridge_user("net rm m").ok();
    assert_eq!(forwards(&host), ["1", "0"]);
    host.bridge_user("net rm n").ok();
    assert_eq!(host.sysctls(), before);
    // What somebody changed meanwhile is theirs, and what is already so too.
    host.create("--ipv6 m");
    set_sysctl(&host, "ipv6/conf/up1/accept_ra", "0");
    host.bridge_user("purge --yes").ok();
    assert_eq!(sysctl(&host, "ipv6/conf/up1/accept_ra"), "0");
    set_sysctl(&host, "ipv6/conf/up1/accept_ra", "1");
    assert_eq!(host.sysctls(), before);
    set_sysctl(&host, "ipv4/ip_forward", "1");
    host.create("n");
    host.bridge_user("net rm n").ok();
    assert_eq!(forwards(&host), ["1", "0"]);
}

#[test]
fn the_host_keeps_its_router() {
    let host = Host::new();
    let outside = host.outside();
    host.do_not_forward();
    let wire = host.wire(&outside);
    let own = mac(&outside.mac);
    let advertise = || {
        // A router for half an hour (RFC 4861, 4.2).
        let message = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).octets();
        let ends = (link_local(own).octets(), nodes);
        wire.send(&icmpv6([0x33, 0x33, 0, 0, 0, 1], own, ends, &message));
    };
    let has_router = || !host.call("ip -6 route show default").ok().is_empty();
    wait_until("the host has a router", || {
        advertise();
        has_router()
    });
    host.create("--ipv6 n");
    assert_eq!(forwards(&host), ["1", "1"]);
    assert!(has_router(), "forwarding took the default route away");
    host.call("ip -6 route flush default").ok();
    wait_until("the host has a router again", || {
        advertise();
        has_router()
    });
    host.bridge_user("net rm n").ok();
    assert_eq!(sysctl(&host, "ipv6/conf/up0/accept_ra"), "1");
}

/// Whoever has an address next is not sent what its last one asked for.
#[test]
fn what_an_endpoint_asked_outside_ends_with_it() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 n");
    let join = |name: &str| {
        host.netns(name);
        host.connect(&format!("--ip 10.77.0.2 --ip6 fd77::2 n {name}"));
        ["0.0.0.0:4000", "[::]:4001"].map(|at| {
            let socket = host.within(name, || UdpSocket::bind(at));
            let timeout = socket.set_read_timeout(Some(Duration::from_millis(300)));
            timeout.expect("it is no zero");
            socket
        })
    };
    let asked = OUTSIDE.map(|address| host.within("outside", || UdpSocket::bind((address, 53))));
    let of_first = join("first");
    let mut answers = Vec::new();
    for (socket, (server, address)) in of_first.iter().zip(asked.iter().zip(OUTSIDE)) {
        socket.send_to(b"?", (address, 53)).expect("there is a way");
        let (_, from) = server.recv_from(&mut [0; 8]).expect("it was sent");
        server.send_to(b"1", from).expect("there is a way");
        socket.recv(&mut [0; 8]).expect("it is answered");
        answers.push((server, from));
    }
    host.bridge_user("net disconnect n first").ok();
    let tracked = host.call("cat /proc/net/nf_conntrack").ok();
    assert!(!tracked.contains("10.77.0.2"), "{tracked}");
    let of_next = join("next");
    for (socket, (server, from)) in of_next.iter().zip(answers) {
        server.send_to(b"2", from).expect("there is a way");
        socket.recv(&mut [0; 8]).expect_err("it asked for nothing");
    }
}

/// Others' connections go on: those of the host, and of other endpoints.
#[test]
fn connections_of_others_do_not_end_with_an_endpoint() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 n");
    for name in ["a", "b"] {
        host.join("n", name);
    }
    let ask = |name: Option<&str>, port: u16| {
        for address in OUTSIDE {
            let ask = || {
                let own = if address.contains(':') {
                    "[::]"
                } else {
                    "0.0.0.0"
                };
                let socket = UdpSocket::bind(format!("{own}:{port}"))?;
                socket.send_to(b"?", (address, 53))
            };
            match name {
                Some(name) => host.within(name, ask),
                None => host.inside(ask).expect("there is a way"),
            };
        }
    };
    ask(None, 4000);
    ask(Some("a"), 4001);
    ask(Some("b"), 4002);
    // One line each, by IPv4 and by IPv6.
    let tracked = || {
        let all = host.call("cat /proc/net/nf_conntrack").ok();
        let ports = [4000, 4001, 4002];
        ports.map(|port| all.matches(&format!(" sport={port} ")).count())
    };
    assert_eq!(tracked(), [2; 3]);
    host.bridge_user("net disconnect n a").ok();
    assert_eq!(tracked(), [2, 0, 2]);
}
