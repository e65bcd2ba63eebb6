//! What comes from outside, and from the host itself.

use std::thread;
use std::time::Duration;

use bridge_ebpf::testing::udp4;

use super::{UdpServer, elements, publish, say, serve, url, who};
use crate::host::{Endpoint, Host, OUTSIDE, Running, UPLINK, mac, text};

/// A web server at port 8080 and one for datagrams at 5353, and a machine outside.
fn web_and_dns() -> (Host, Running, UdpServer) {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 n");
    publish(&host, "-p 8080:80 -p 5353:53/udp n web");
    let web = serve(&host, "web", 80);
    let udp = UdpServer::start(&host, "web", 53);
    (host, web, udp)
}

#[test]
fn the_outside_is_seen_by_its_own_address() {
    let (host, _web, _udp) = web_and_dns();
    for (address, from) in UPLINK.iter().zip(OUTSIDE) {
        let at = url(address, 8080);
        let page = host.exec("outside", &format!("curl -s -m 2 http://{at}/"));
        assert_eq!(page.ok(), "hello\n");
        assert_eq!(who(&host, Some("outside"), &at).as_deref(), Some(from));
        assert_eq!(say(&host, Some("outside"), address, 5353), from);
        assert_eq!(
            who(&host, Some("outside"), &url(address, 80)),
            None,
            "only what is published"
        );
    }
}

#[test]
fn publishing_opens_no_address_of_an_endpoint_and_closes_none() {
    let host = Host::new();
    host.outside();
    host.create("--ipv6 nat");
    host.create("--ipv6 -o bridge-user.gateway_mode=routed routed");
    // Nobody of these is outside.
    let limit = "--publish-from 198.51.100.0/24 --publish-from 2001:db8:1::/64";
    for (name, arguments, port, directly, by_host) in [
        ("a", "-p 8080:80 nat", 8080, false, true),
        ("b", "-p 8081:80 routed", 8081, true, true),
        (
            "c",
            &format!("{limit} -p 8082:80 routed"),
            8082,
            true,
            false,
        ),
    ] {
        let arguments = format!("{arguments} {name}");
        let endpoint = Host::endpoint(&publish(&host, &arguments), &arguments);
        let _servers = [80, 81].map(|port| serve(&host, name, port));
        for ((own, address), from) in endpoint.addresses().iter().zip(UPLINK).zip(OUTSIDE) {
            for (at, is_reached) in [
                (url(own, 80), directly),
                (url(own, 81), directly),
                (url(address, port), by_host),
            ] {
                let expected = is_reached.then_some(from);
                let seen = who(&host, Some("outside"), &at);
                assert_eq!(seen.as_deref(), expected, "{name} at {at}");
            }
        }
    }
}

#[test]
fn the_host_uses_its_own_addresses() {
    let (host, _web, _udp) = web_and_dns();
    let gateway = host.gateway_of("n");
    for address in [UPLINK[0], UPLINK[1], &gateway] {
        assert_eq!(
            who(&host, None, &url(address, 8080)).as_deref(),
            Some(address)
        );
        assert_eq!(say(&host, None, address, 5353), address);
    }
}

#[test]
fn one_address_of_the_host_is_not_the_others() {
    let host = Host::new();
    host.outside();
    host.call("ip address add 192.0.2.9/24 dev up0").ok();
    host.create("--ipv6 n");
    publish(&host, "-p 192.0.2.1:8080:80 -p [2001:db8::1]:8081:80 n web");
    let _server = serve(&host, "web", 80);
    for (at, is_reached) in [
        ("192.0.2.1:8080", true),
        ("192.0.2.9:8080", false),
        ("[2001:db8::1]:8080", false),
        ("[2001:db8::1]:8081", true),
        ("192.0.2.1:8081", false),
    ] {
        for netns in [Some("outside"), None] {
            assert_eq!(who(&host, netns, at).is_some(), is_reached, "{at}");
        }
    }
}

#[test]
fn an_address_that_the_host_lost_is_another_machines() {
    const LOST: [&str; 2] = ["192.0.2.9", "2001:db8::9"];
    let host = Host::new();
    host.outside();
    let address = |change: &str, netns: &str, link: &str| {
        for (address, length) in [(LOST[0], 32), (LOST[1], 128)] {
            let words = format!("ip {netns} address {change} {address}/{length} dev {link}");
            host.call(&words).ok();
        }
    };
    address("add", "", "lo");
    host.create("--ipv6 n");
    let at = LOST.map(|address| url(address, 8080));
    let [four, six] = &at;
    publish(
        &host,
        &format!("-p {four}:80 -p {six}:80 -p {four}:53/udp n web"),
    );
    let _web = serve(&host, "web", 80);
    let _udp = UdpServer::start(&host, "web", 53);
    let _other = serve(&host, "outside", 8080);
    let _other_udp = UdpServer::start(&host, "outside", 8080);
    for (at, own) in at.iter().zip(LOST) {
        assert_eq!(who(&host, None, at).as_deref(), Some(own));
    }
    assert_eq!(say(&host, None, LOST[0], 8080), LOST[0]);
    address("del", "", "lo");
    address("add", "-n outside", "eth0");
    for (address, up) in LOST.iter().zip(UPLINK) {
        crate::host::wait_until(address, || host.host_pings(address));
        assert_eq!(who(&host, None, &url(address, 8080)).as_deref(), Some(up));
    }
    // It answers from where it was asked.
    let route = format!(
        "ip -n outside route add {} dev eth0 src {}",
        UPLINK[0], LOST[0]
    );
    host.call(&route).ok();
    assert_eq!(say(&host, None, LOST[0], 8080), UPLINK[0]);
}

#[test]
fn loopback_is_not_reached_from_outside() {
    let host = Host::new();
    host.outside();
    // As kube-proxy leaves it: with 0, the kernel itself refuses such frames.
    host.call("sysctl -q -w net.ipv4.conf.all.route_localnet=1")
        .ok();
    host.create("--ipv6 n");
    publish(
        &host,
        "-p 127.0.0.1:5353:53/udp -p [::1]:5353:53/udp -p 5454:53/udp n web",
    );
    let _udp = UdpServer::start(&host, "web", 53);
    for address in UPLINK {
        assert_eq!(say(&host, Some("outside"), address, 5353), "");
        assert_ne!(say(&host, Some("outside"), address, 5454), "");
    }
    // A frame by hand, for the host's MAC address.
    let address = |netns, link| text(&host.link(netns, link).expect("it was made")["address"]);
    let (to, from) = (address(None, "up0"), address(Some("outside"), "eth0"));
    let wire = host.wire(&Endpoint {
        id: String::new(),
        sandbox: "outside".into(),
        interface: "eth0".into(),
        host_leg: "up0".into(),
        mac: from.clone(),
        ipv4: OUTSIDE[0].into(),
        ipv6: String::new(),
    });
    for (target, port, is_reached) in [
        ([127, 0, 0, 1], 5353, false),
        ([127, 0, 0, 1], 5454, false),
        ([127, 1, 2, 3], 5454, false),
        ([192, 0, 2, 1], 5454, true),
    ] {
        let before = datagrams(&host);
        let source = ([192, 0, 2, 2], 4000);
        wire.send(&checked(udp4(
            mac(&to),
            mac(&from),
            source,
            (target, port),
            &[],
        )));
        thread::sleep(Duration::from_millis(200));
        let reached = datagrams(&host) - before;
        assert_eq!(reached, u64::from(is_reached), "{target:?} port {port}");
    }
}

/// Datagrams that `web` has received (`InDatagrams`, RFC 4113).
fn datagrams(host: &Host) -> u64 {
    let snmp = host.exec("web", "cat /proc/net/snmp").ok();
    let mut values = snmp.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let received = values.next_back().and_then(|line| line.split(' ').next());
    received.and_then(|n| n.parse().ok()).expect("snmp has it")
}

/// A frame with the checksum of its IPv4 header (RFC 1071).
pub(super) fn checked(mut frame: Vec<u8>) -> Vec<u8> {
    let words = frame[14..34].chunks(2);
    let sum: u32 = words.map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !u16::try_from(folded).expect("it is folded");
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}

#[test]
fn only_those_may_who_are_let() {
    let host = Host::new();
    host.outside();
    host.call("ip -n outside address add 192.0.2.77/24 dev eth0")
        .ok();
    host.call("ip -n outside address add 198.51.100.7/32 dev lo")
        .ok();
    host.call("ip route add 198.51.100.7 dev up0").ok();
    host.create("--ipv6 n");
    publish(
        &host,
        "-p 8080:80 -p 192.0.2.1:8081:80 --publish-from 192.0.2.64/26 --publish-from 198.51.100.7 n web",
    );
    host.netns("open");
    host.connect("-p 8082:80 n open");
    let _server = serve(&host, "web", 80);
    let _other = serve(&host, "open", 80);
    let from = |source: &str, at: &str| {
        let curl = format!("curl -s -m 2 --interface {source} http://{at}/");
        host.exec("outside", &curl).run().code == Some(0)
    };
    for port in [8080, 8081] {
        let at = format!("192.0.2.1:{port}");
        for (source, may) in [
            ("192.0.2.77", true),
            ("198.51.100.7", true),
            ("192.0.2.2", false),
        ] {
            assert_eq!(from(source, &at), may, "{source} at {at}");
        }
        assert!(who(&host, None, &at).is_some(), "the host may");
    }
    // None of IPv6 is named: nobody of IPv6 may.
    assert!(!from("2001:db8::2", "[2001:db8::1]:8080"));
    assert!(from("192.0.2.2", "192.0.2.1:8082") && from("2001:db8::2", "[2001:db8::1]:8082"));
    host.bridge_user("net disconnect n web").ok();
    for set in ["limited4", "limited6", "allowed4", "allowed6"] {
        assert_eq!(elements(&host, "set", set), [0; 0], "{set}");
    }
}

#[test]
fn sctp_is_in_the_table() {
    let host = Host::new();
    host.create("n");
    publish(&host, "-p 9999:99/sctp n web");
    let there = elements(&host, "map", "published4_all");
    let element = there[0].to_string();
    assert!(
        there.len() == 1 && element.contains("sctp") && element.contains("9999"),
        "{there:?}"
    );
    let held = host.bridge_user("net connect -p 9999:1/sctp --create n other");
    held.fails_with(
        1,
        &[
            "0.0.0.0:9999 (sctp)",
            "port is already allocated",
            "web of network n",
        ],
    );
}
