//! The next address of a pool.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::Pool;

/// The lowest free address of `pool` (of its ip-range, where it has one) after the one given
/// last, from the start again when the end is reached; `None` when all are taken.
///
/// Going on from the last one keeps a freed address unused for as long as possible, so that
/// neighbours' caches do not send to its former owner's successor. `taken` holds leases, gateway
/// and auxiliary addresses.
pub fn next_address(pool: &Pool, taken: &BTreeSet<IpAddr>, last: Option<IpAddr>) -> Option<IpAddr> {
    let (first, end) = bounds(pool);
    let ipv6 = pool.subnet().addr().is_ipv6();
    let start = last
        .map(number)
        .filter(|last| (first..end).contains(last))
        .map_or(first, |l| l + 1);
    let free_from = |from: u128, to: u128| {
        if from > to {
            return None;
        }
        let mut candidate = from;
        for used in taken
            .range(address(from, ipv6)..=address(to, ipv6))
            .copied()
            .map(number)
        {
            if used > candidate {
                break;
            }
            candidate = used + 1;
        }
        (candidate <= to).then_some(candidate)
    };
    free_from(start, end)
        .or_else(|| {
            if start > first {
                free_from(first, start - 1)
            } else {
                None
            }
        })
        .map(|n| address(n, ipv6))
}

/// First and last address that may be given, the subnet's reserved ones left out.
fn bounds(pool: &Pool) -> (u128, u128) {
    let range = pool.ip_range().unwrap_or(pool.subnet());
    let mut first = number(range.network());
    let mut last = number(range.broadcast());
    if range.network() == pool.subnet().network() {
        first += 1;
    }
    if pool.subnet().addr().is_ipv4() && range.broadcast() == pool.subnet().broadcast() {
        last -= 1;
    }
    (first, last)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn address(number: u128, ipv6: bool) -> IpAddr {
    if ipv6 {
        Ipv6Addr::from(number).into()
    } else {
        let number = u32::try_from(number).expect("bounds of an IPv4 subnet are 32 bits");
        Ipv4Addr::from(number).into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pool(subnet: &str, range: Option<&str>) -> Pool {
        let subnet = subnet.parse().unwrap();
        Pool::new(
            subnet,
            None,
            range.map(|r| r.parse().unwrap()),
            BTreeMap::new(),
        )
        .unwrap()
    }

    fn next(pool: &Pool, taken: &[&str], last: Option<&str>) -> Option<String> {
        let mut taken: BTreeSet<IpAddr> = taken.iter().map(|t| t.parse().unwrap()).collect();
        taken.insert(pool.gateway());
        next_address(pool, &taken, last.map(|l| l.parse().unwrap())).map(|a| a.to_string())
    }

    #[test]
    fn the_lowest_free_address_after_the_last_one() {
        let net = pool("10.0.0.0/24", None);
        let table: [(&[&str], Option<&str>, &str); 6] = [
            (&[], None, "10.0.0.2"),
            (&["10.0.0.2"], Some("10.0.0.2"), "10.0.0.3"),
            (&[], Some("10.0.0.2"), "10.0.0.3"),
            (&["10.0.0.3"], Some("10.0.0.2"), "10.0.0.4"),
            (&[], Some("10.0.0.254"), "10.0.0.2"),
            (&["10.0.0.254", "10.0.0.2"], Some("10.0.0.253"), "10.0.0.3"),
        ];
        for (taken, last, expected) in table {
            assert_eq!(
                next(&net, taken, last).as_deref(),
                Some(expected),
                "{taken:?} {last:?}"
            );
        }
    }

    #[test]
    fn a_full_pool_has_none() {
        let net = pool("10.0.0.0/30", None);
        assert_eq!(next(&net, &[], None).as_deref(), Some("10.0.0.2"));
        assert_eq!(next(&net, &["10.0.0.2"], None), None);
        assert_eq!(next(&net, &["10.0.0.2"], Some("10.0.0.2")), None);
    }

    #[test]
    fn a_range_bounds_the_choice() {
        let net = pool("10.0.0.0/24", Some("10.0.0.128/30"));
        assert_eq!(next(&net, &[], None).as_deref(), Some("10.0.0.128"));
        assert_eq!(
            next(&net, &[], Some("10.0.0.131")).as_deref(),
            Some("10.0.0.128")
        );
        // A fixed address outside the range does not move the start.
        assert_eq!(
            next(&net, &[], Some("10.0.0.7")).as_deref(),
            Some("10.0.0.128")
        );
    }

    #[test]
    fn ipv6_is_the_same() {
        let net = pool("fd00::/64", None);
        assert_eq!(next(&net, &[], None).as_deref(), Some("fd00::2"));
        assert_eq!(
            next(&net, &["fd00::2"], Some("fd00::2")).as_deref(),
            Some("fd00::3")
        );
        let end = Some("fd00::ffff:ffff:ffff:ffff");
        assert_eq!(next(&net, &[], end).as_deref(), Some("fd00::2"));
    }
}
