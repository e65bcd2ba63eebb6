//! The subnet of a network that was given none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A block that subnets of one size are cut from, as Docker's `default-address-pools`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    /// The block.
    pub base: Ipv4Net,
    /// Prefix length of every subnet.
    pub size: u8,
}

/// `/24`s out of `10.90.0.0/16`.
impl Default for AddressPool {
    fn default() -> Self {
        let base = Ipv4Net::new(Ipv4Addr::new(10, 90, 0, 0), 16).expect("16 is a prefix length");
        Self { base, size: 24 }
    }
}

/// The first subnet of `pool` that overlaps none of `used` (subnets of other networks, routes of
/// the host).
pub fn first_free_subnet(pool: AddressPool, used: &[IpNet]) -> Option<IpNet> {
    let subnets = pool.base.subnets(pool.size).ok()?;
    subnets
        .map(IpNet::V4)
        .find(|subnet| !used.iter().any(|other| overlap(*subnet, *other)))
}

/// The IPv6 subnet of network number `number`: a /64 of a unique local prefix (RFC 4193, 3.1)
/// whose 40 random bits are this host's own.
pub fn ula_subnet(global_id: [u8; 5], number: u16) -> IpNet {
    let [a, b, c, d, e] = global_id;
    let [high, low] = number.to_be_bytes();
    let octets = [0xfd, a, b, c, d, e, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
    IpNet::V6(Ipv6Net::new(Ipv6Addr::from(octets), 64).expect("64 is a prefix length"))
}

/// Whether two subnets share an address.
pub fn overlap(a: IpNet, b: IpNet) -> bool {
    let within = |outer: IpNet, inner: IpAddr| outer.contains(&inner);
    within(a, b.network()) || within(b, a.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_subnet_that_nobody_covers() {
        let pool = AddressPool::default();
        let first = |used: &[&str]| first_free_subnet(pool, &nets(used)).map(|s| s.to_string());
        assert_eq!(first(&[]).as_deref(), Some("10.90.0.0/24"));
        assert_eq!(first(&["10.90.0.0/24"]).as_deref(), Some("10.90.1.0/24"));
        assert_eq!(
            first(&["10.90.0.7/32", "10.90.1.0/25"]).as_deref(),
            Some("10.90.2.0/24")
        );
        assert_eq!(first(&["10.90.0.0/17"]).as_deref(), Some("10.90.128.0/24"));
        assert_eq!(first(&["10.0.0.0/8"]), None);
        assert_eq!(first(&["fd00::/8"]).as_deref(), Some("10.90.0.0/24"));
    }

    #[test]
    fn a_ula_is_one() {
        assert_eq!(
            ula_subnet([1, 2, 3, 4, 5], 9).to_string(),
            "fd01:203:405:9::/64"
        );
    }
}
