//! Published ports, where processes of the host ask for them: what a call on a socket is to do.

use bridge_common::{Address, PublishedKey, SocketAddress, mapped};

use crate::address::Ip6;
use crate::segment::PROTO_TCP;

/// The map `PUBLISHED`, as the hook has it, and as tests make it.
pub trait Publications {
    /// Where what is asked for leads; to the port 0 where it only has a part of the host's addresses.
    fn publication(&self, asked: &PublishedKey) -> Option<SocketAddress>;
}

/// Where a connection, or a datagram, is to go instead; `None`: where it was to go anyway. `source` is
/// the address that its socket is bound to.
///
/// Loopback addresses are the host's, and unspecified ones mean the same. Which others are is the kernel's to
/// know: `is_of_host` has it bind the socket there, and is asked last. That is for connections alone, of
/// sockets that are bound to no address: what else is for such an address the firewall translates.
#[inline(always)]
pub fn translate(
    asked: &PublishedKey,
    source: &Address,
    is_of_host: impl FnOnce() -> bool,
    publications: &impl Publications,
) -> Option<SocketAddress> {
    let (source, address) = (Ip6::from_bytes(*source), Ip6::from_bytes(asked.address));
    // No packet leaves the loopback interface with such a source (RFC 1122, 3.2.1.3; RFC 4291, 2.5.3):
    // translated, the call would only fail.
    if source.is_loopback() {
        return None;
    }
    let of_all = of_all(asked);
    if address.is_unspecified() {
        return leading(publications.publication(&of_all));
    }
    let is_loopback = address.is_loopback();
    let may_be_of_host =
        asked.protocol == PROTO_TCP && source.is_unspecified() && !address.is_never_routed();
    if !is_loopback && !may_be_of_host {
        return None;
    }
    let found = leading(publications.publication(asked))
        .or_else(|| leading(publications.publication(&of_all)));
    found.filter(|_| is_loopback || is_of_host())
}

/// Addresses of one family.
pub struct Nobodys {
    /// One that no host has: of "this network" (RFC 1122, 3.2.1.3), or an IPv4-compatible one, which are
    /// deprecated (RFC 4291, 2.5.5.1).
    pub address: Address,
    /// The one that means none.
    pub unspecified: Address,
}

/// Those of an address's family.
#[inline(always)]
pub fn nobodys(address: &Address) -> Nobodys {
    if Ip6::from_bytes(*address).is_ipv4() {
        Nobodys {
            address: mapped([0, 0, 0, 1]),
            unspecified: Ip6::UNSPECIFIED_IPV4.bytes(),
        }
    } else {
        Nobodys {
            address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
            unspecified: Ip6::UNSPECIFIED.bytes(),
        }
    }
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
    PublishedKey {
        address: nobodys(&asked.address).unspecified,
        ..*asked
    }
}

#[inline(always)]
pub(crate) fn leading(found: Option<SocketAddress>) -> Option<SocketAddress> {
    found.filter(|to| to.port != 0)
}

#[cfg(test)]
mod tests;
