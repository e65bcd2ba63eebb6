//! Published ports, where processes of the host ask for them: what a call on a socket is to do.

use bridge_common::{Address, PublishedKey, SocketAddress};

use crate::address::Ip6;

/// The map `PUBLISHED`, as the hook has it, and as tests make it.
pub trait Publications {
    /// Where what is asked for leads; to the port 0 where it only has a part of the host's addresses.
    fn publication(&self, asked: &PublishedKey) -> Option<SocketAddress>;
}

/// Where a connection, or a datagram, is to go instead; `None`: where it was to go anyway. `source` is
/// the address that its socket is bound to.
///
/// Loopback addresses alone are looked up, and unspecified ones, which mean the same. Which others are the host's is the kernel's to know, and it may
/// lose one: there the firewall translates.
#[inline(always)]
pub fn translate(
    asked: &PublishedKey,
    source: &Address,
    publications: &impl Publications,
) -> Option<SocketAddress> {
    // No packet leaves the loopback interface with such a source (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3):
    // translated, the call would only fail.
    if Ip6::from_bytes(*source).is_loopback() {
        return None;
    }
    let of_all = of_all(asked);
    if asked.address != of_all.address {
        if !Ip6::from_bytes(asked.address).is_loopback() {
            return None;
        }
        let exact = leading(publications.publication(asked));
        if exact.is_some() {
            return exact;
        }
    }
    leading(publications.publication(&of_all))
}

/// Whether a bind would take an address and port that are published.
///
/// `::` takes IPv4 too, unless the socket is `ipv6_only`, which is asked last.
#[inline(always)]
pub fn is_taken(
    asked: &PublishedKey,
    ipv6_only: impl FnOnce() -> bool,
    publications: &impl Publications,
) -> bool {
    if asked.port == 0 {
        return false;
    }
    let of_all = of_all(asked);
    let found = publications.publication(&of_all);
    if asked.address != of_all.address {
        return leading(found).is_some() || publications.publication(asked).is_some();
    }
    if found.is_some() || Ip6::from_bytes(asked.address).is_ipv4() {
        return found.is_some();
    }
    let ipv4 = PublishedKey {
        address: Ip6::UNSPECIFIED_IPV4.bytes(),
        ..*asked
    };
    publications.publication(&ipv4).is_some() && !ipv6_only()
}

/// A key, of the two halves of an address as they lie in memory: copied as they are, where the program
/// would handle sixteen bytes one by one.
#[inline(always)]
pub(crate) fn key([high, low]: [u64; 2], port: u16, protocol: u8) -> PublishedKey {
    let [a, b] = port.to_ne_bytes();
    bytemuck::cast([
        high,
        low,
        u64::from_ne_bytes([a, b, protocol, 0, 0, 0, 0, 0]),
    ])
}

/// The two halves of an address, as they lie in memory. As [`key`].
#[inline(always)]
pub(crate) fn halves(to: &SocketAddress) -> [u64; 2] {
    let [high, low, _]: [u64; 3] = bytemuck::cast(*to);
    [high, low]
}

/// The key of a publication of all addresses of the family.
#[inline(always)]
fn of_all(asked: &PublishedKey) -> PublishedKey {
    let unspecified = if Ip6::from_bytes(asked.address).is_ipv4() {
        Ip6::UNSPECIFIED_IPV4
    } else {
        Ip6::UNSPECIFIED
    };
    PublishedKey {
        address: unspecified.bytes(),
        ..*asked
    }
}

#[inline(always)]
pub(crate) fn leading(found: Option<SocketAddress>) -> Option<SocketAddress> {
    found.filter(|to| to.port != 0)
}

#[cfg(test)]
mod tests {
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
            // Whether that is the host's, the program does not know.
            ("0.0.0.0", TCP, "192.0.2.1", 80, none),
            ("::", TCP, "2001:db8::1", 80, none),
            // Other protocols, other ports.
            ("0.0.0.0", UDP, "127.0.0.1", 80, none),
            ("0.0.0.0", TCP, "127.0.0.1", 8080, none),
            // Single addresses.
            ("0.0.0.0", TCP, "127.0.0.1", 81, Some(("10.90.0.3", 1))),
            ("0.0.0.0", TCP, "192.0.2.1", 81, none),
            ("0.0.0.0", TCP, "127.0.0.2", 81, none),
            ("0.0.0.0", TCP, "0.0.0.0", 81, none),
            ("::", TCP, "::1", 81, Some(("fd00::3", 1))),
            ("::", TCP, "::1", 82, none),
            // Bound sockets.
            ("192.0.2.1", TCP, "127.0.0.1", 80, Some(("10.90.0.2", 8080))),
            ("127.0.0.1", TCP, "127.0.0.1", 80, none),
            ("127.0.0.5", TCP, "192.0.2.1", 81, none),
            ("::1", TCP, "::1", 80, none),
            ("::ffff:127.0.0.1", TCP, "::ffff:127.0.0.1", 80, none),
        ] {
            let got = translate(
                &key(protocol, asked, port),
                &address(source),
                &publications(),
            );
            let expected = expected.map(|(text, port)| to(text, port));
            assert_eq!(got, expected, "from {source} to {asked} port {port}");
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
}
