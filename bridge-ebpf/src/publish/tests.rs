//! What calls on sockets of the host come to.

use std::collections::HashMap;
use std::net::IpAddr;

use bridge_common::{Address, PublishedKey, SocketAddress, mapped};

use super::{Publications, is_taken, translate};

const TCP: u8 = 6;
const UDP: u8 = 17;

struct Map(HashMap<PublishedKey, SocketAddress>);

impl Publications for Map {
    fn publication(&self, asked: &PublishedKey) -> Option<SocketAddress> {
        self.0.get(asked).copied()
    }
}

fn address(text: &str) -> Address {
    match text.parse().expect("an address") {
        IpAddr::V4(v4) => mapped(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn key(protocol: u8, text: &str, port: u16) -> PublishedKey {
    PublishedKey {
        address: address(text),
        port,
        protocol,
        reserved: [0; 5],
    }
}

fn to(text: &str, port: u16) -> SocketAddress {
    SocketAddress {
        address: address(text),
        port,
        reserved: [0; 3],
    }
}

/// Ports 80 of all addresses, 81 of single ones of both families, 82 of all of IPv4.
fn publications() -> Map {
    let nowhere = SocketAddress::default();
    Map(HashMap::from([
        (key(TCP, "0.0.0.0", 80), to("10.90.0.2", 8080)),
        (key(TCP, "::", 80), to("fd00::2", 8080)),
        (key(TCP, "127.0.0.1", 81), to("10.90.0.3", 1)),
        (key(TCP, "0.0.0.0", 81), nowhere),
        (key(TCP, "::1", 81), to("fd00::3", 1)),
        (key(TCP, "::", 81), nowhere),
        (key(TCP, "192.0.2.1", 81), to("10.90.0.4", 1)),
        (key(TCP, "0.0.0.0", 82), to("10.90.0.5", 2)),
    ]))
}

#[test]
fn what_is_asked_for_leads_to_its_endpoint() {
    let none = None;
    for (source, protocol, asked, port, expected) in [
        ("0.0.0.0", TCP, "127.0.0.1", 80, Some(("10.90.0.2", 8080))),
        ("0.0.0.0", TCP, "127.9.9.9", 80, Some(("10.90.0.2", 8080))),
        ("0.0.0.0", TCP, "0.0.0.0", 80, Some(("10.90.0.2", 8080))),
        ("::", TCP, "::1", 80, Some(("fd00::2", 8080))),
        ("::", TCP, "::", 80, Some(("fd00::2", 8080))),
        ("::", TCP, "::ffff:127.0.0.1", 80, Some(("10.90.0.2", 8080))),
        // Other addresses, if they are the host's.
        ("0.0.0.0", TCP, "192.0.2.1", 80, Some(("10.90.0.2", 8080))),
        ("::", TCP, "2001:db8::1", 80, Some(("fd00::2", 8080))),
        ("::", TCP, "::ffff:192.0.2.1", 80, Some(("10.90.0.2", 8080))),
        ("0.0.0.0", TCP, "198.51.100.1", 80, none),
        ("::", TCP, "2001:db8::2", 80, none),
        // Other protocols, other ports.
        ("0.0.0.0", UDP, "127.0.0.1", 80, none),
        ("0.0.0.0", TCP, "127.0.0.1", 8080, none),
        // Single addresses.
        ("0.0.0.0", TCP, "127.0.0.1", 81, Some(("10.90.0.3", 1))),
        ("0.0.0.0", TCP, "192.0.2.1", 81, Some(("10.90.0.4", 1))),
        ("0.0.0.0", TCP, "127.0.0.2", 81, none),
        ("0.0.0.0", TCP, "0.0.0.0", 81, none),
        ("::", TCP, "::1", 81, Some(("fd00::3", 1))),
        ("::", TCP, "::1", 82, none),
        // Bound sockets.
        ("192.0.2.1", TCP, "127.0.0.1", 80, Some(("10.90.0.2", 8080))),
        ("192.0.2.1", TCP, "192.0.2.1", 80, none),
        ("127.0.0.1", TCP, "127.0.0.1", 80, none),
        ("127.0.0.5", TCP, "192.0.2.1", 81, none),
        ("::1", TCP, "::1", 80, none),
        ("::ffff:127.0.0.1", TCP, "::ffff:127.0.0.1", 80, none),
    ] {
        let of_host = ["192.0.2.1", "2001:db8::1"].map(address);
        let asked_for = key(protocol, asked, port);
        let got = translate(
            &asked_for,
            &address(source),
            || of_host.contains(&asked_for.address),
            &publications(),
        );
        let expected = expected.map(|(text, port)| to(text, port));
        assert_eq!(got, expected, "from {source} to {asked} port {port}");
    }
}

/// For asking binds the socket.
#[test]
fn the_kernel_is_asked_for_what_may_lead_on_alone() {
    let mut publications = publications();
    let everywhere = to("10.90.0.2", 53);
    publications.0.insert(key(UDP, "0.0.0.0", 53), everywhere);
    for (source, protocol, asked, port) in [
        ("0.0.0.0", TCP, "127.0.0.1", 80),
        ("0.0.0.0", TCP, "0.0.0.0", 80),
        ("::", TCP, "::1", 80),
        ("0.0.0.0", TCP, "192.0.2.1", 8080),
        ("0.0.0.0", TCP, "192.0.2.2", 81),
        ("0.0.0.0", UDP, "192.0.2.1", 53),
        ("192.0.2.2", TCP, "192.0.2.1", 80),
        ("127.0.0.1", TCP, "192.0.2.1", 80),
        ("0.0.0.0", TCP, "224.0.0.1", 80),
        ("0.0.0.0", TCP, "255.255.255.255", 80),
        ("::", TCP, "::ffff:224.0.0.1", 80),
        ("::", TCP, "ff02::1", 80),
        ("::", TCP, "fe80::1", 80),
    ] {
        translate(
            &key(protocol, asked, port),
            &address(source),
            || panic!("asked: from {source} to {asked} port {port}"),
            &publications,
        );
    }
}

#[test]
fn a_bind_takes_what_it_overlaps() {
    for (protocol, asked, port, expected) in [
        (TCP, "0.0.0.0", 80, true),
        (TCP, "127.0.0.1", 80, true),
        (TCP, "198.51.100.1", 80, true),
        (TCP, "::", 80, true),
        (TCP, "2001:db8::1", 80, true),
        (TCP, "::ffff:127.0.0.1", 80, true),
        (UDP, "0.0.0.0", 80, false),
        (TCP, "0.0.0.0", 79, false),
        (TCP, "0.0.0.0", 0, false),
        (TCP, "0.0.0.0", 81, true),
        (TCP, "127.0.0.1", 81, true),
        (TCP, "192.0.2.1", 81, true),
        (TCP, "127.0.0.2", 81, false),
        (TCP, "::1", 81, true),
        (TCP, "2001:db8::1", 81, false),
        (TCP, "::", 81, true),
        (TCP, "::1", 82, false),
        (TCP, "::ffff:0.0.0.0", 82, true),
    ] {
        for ipv6_only in [false, true] {
            let got = is_taken(&key(protocol, asked, port), || ipv6_only, &publications());
            assert_eq!(got, expected, "{asked} port {port}, {ipv6_only}");
        }
    }
    let of_both = key(TCP, "::", 82);
    assert!(is_taken(&of_both, || false, &publications()));
    assert!(!is_taken(&of_both, || true, &publications()));
}
