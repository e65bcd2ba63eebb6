//! The subnet of a network that was given none.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;

/// A block that subnets of one size are cut from, as Docker's `default-address-pools`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Block")]
pub struct AddressPool {
    base: Ipv4Net,
    size: u8,
}

/// Blocks, of which the first that has a free subnet gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct AddressPools(Vec<AddressPool>);

/// A block as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    base: Ipv4Net,
    size: u8,
}

/// Why a block gives no subnets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressPoolError {
    /// It is not as Docker's flag is written.
    #[error("{0:?} is not base=CIDR,size=PREFIX_LENGTH")]
    Form(String),
    /// The address part has bits set past the prefix.
    #[error("base {0} has host bits set: did you mean {trunc}?", trunc = .0.trunc())]
    HostBits(Ipv4Net),
    /// Its subnets would be larger than itself, or too small for a gateway and an endpoint.
    #[error("size {size} does not fit base {base}: it is from {} to 30", .base.prefix_len())]
    Size {
        /// The block.
        base: Ipv4Net,
        /// Prefix length of its subnets.
        size: u8,
    },
}

impl TryFrom<Block> for AddressPool {
    type Error = AddressPoolError;

    fn try_from(Block { base, size }: Block) -> Result<Self, AddressPoolError> {
        if base != base.trunc() {
            return Err(AddressPoolError::HostBits(base));
        }
        if !(base.prefix_len()..=30).contains(&size) {
            return Err(AddressPoolError::Size { base, size });
        }
        Ok(Self { base, size })
    }
}

/// As Docker's flag has it: `base=10.90.0.0/16,size=24`.
impl FromStr for AddressPool {
    type Err = AddressPoolError;

    fn from_str(text: &str) -> Result<Self, AddressPoolError> {
        let (mut base, mut size) = (None, None);
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("base", value)) if base.is_none() => base = value.parse().ok(),
                Some(("size", value)) if size.is_none() => size = value.parse().ok(),
                _ => return Err(AddressPoolError::Form(text.into())),
            }
        }
        let block = base.zip(size).map(|(base, size)| Block { base, size });
        block
            .ok_or_else(|| AddressPoolError::Form(text.into()))?
            .try_into()
    }
}

impl fmt::Display for AddressPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "base={},size={}", self.base, self.size)
    }
}

/// `/24`s out of `10.90.0.0/16`.
impl Default for AddressPool {
    fn default() -> Self {
        let base = Ipv4Net::new(Ipv4Addr::new(10, 90, 0, 0), 16).expect("16 is a prefix length");
        Self { base, size: 24 }
    }
}

impl From<Vec<AddressPool>> for AddressPools {
    fn from(pools: Vec<AddressPool>) -> Self {
        Self(pools)
    }
}

impl Default for AddressPools {
    fn default() -> Self {
        Self(vec![AddressPool::default()])
    }
}

impl fmt::Display for AddressPools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pools = self.0.iter().map(|pool| pool.base.to_string());
        f.write_str(&pools.collect::<Vec<_>>().join(", "))
    }
}

impl AddressPools {
    /// The first subnet that overlaps none of `used` (subnets of other networks, routes of the host).
    pub fn first_free(&self, used: &[IpNet]) -> Option<IpNet> {
        self.0
            .iter()
            .find_map(|pool| first_free_subnet(*pool, used))
    }
}

/// The first subnet of `pool` that overlaps none of `used` (subnets of other networks, routes of
/// the host).
fn first_free_subnet(pool: AddressPool, used: &[IpNet]) -> Option<IpNet> {
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
    fn the_next_block_is_used_when_one_is_full() {
        let block = |base: &str, size| {
            let base = base.parse().unwrap();
            AddressPool::try_from(Block { base, size })
        };
        let pools = ["10.1.0.0/25", "10.2.0.0/24"].map(|base| block(base, 26).unwrap());
        let pools = AddressPools(pools.into());
        let used = ["10.1.0.0/26", "10.1.0.64/26"].map(|used| used.parse().unwrap());
        let next = pools.first_free(&used).unwrap();
        assert_eq!(next.to_string(), "10.2.0.0/26");
        assert_eq!(pools.to_string(), "10.1.0.0/25, 10.2.0.0/24");
        assert!(block("10.1.0.1/24", 26).is_err());
        assert!(block("10.1.0.0/24", 23).is_err() && block("10.1.0.0/24", 31).is_err());
    }

    #[test]
    fn a_ula_is_one() {
        assert_eq!(
            ula_subnet([1, 2, 3, 4, 5], 9).to_string(),
            "fd01:203:405:9::/64"
        );
    }

    #[test]
    fn blocks_are_read_as_docker_writes_them() {
        let text = "base=10.80.0.0/16,size=24";
        for form in [text, "size=24,base=10.80.0.0/16"] {
            assert_eq!(form.parse::<AddressPool>().unwrap().to_string(), text);
        }
        for bad in [
            "10.80.0.0/16",
            "base=10.80.0.0/16",
            "base=10.80.0.0/16,size=x",
            "base=10.80.0.0/16,size=24,size=25",
            "base=10.80.0.0/16,size=24,",
            "base=10.80.0.1/16,size=24",
            "base=10.80.0.0/16,size=8",
            "base=fd00::/48,size=64",
        ] {
            assert!(bad.parse::<AddressPool>().is_err(), "{bad}");
        }
    }
}
