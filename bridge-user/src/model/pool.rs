//! A pool: the addresses of one family in a network, and which of them may be used for what.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

/// The addresses of one family in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    subnet: IpNet,
    gateway: IpAddr,
    ip_range: Option<IpNet>,
    aux_addresses: BTreeMap<String, IpAddr>,
}

/// Why addresses make no pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The address part of the CIDR has bits set past the prefix.
    #[error("subnet {0} has host bits set: did you mean {trunc}?", trunc = .0.trunc())]
    HostBits(IpNet),
    /// Room for less than a gateway and an endpoint.
    #[error("subnet {0} is too small: it needs room for a gateway and an endpoint")]
    TooSmall(IpNet),
    /// Not addresses that endpoints can have.
    #[error("subnet {0} cannot be used for endpoints: it is {1}")]
    Special(IpNet, &'static str),
    /// An address of the pool lies outside its subnet.
    #[error("{what} {address} is outside subnet {subnet}")]
    Outside {
        /// Gateway, ip-range or aux-address NAME.
        what: String,
        /// The address or range.
        address: String,
        /// The subnet.
        subnet: IpNet,
    },
    /// The network's own address, or the broadcast address.
    #[error("{what} {address} cannot be used: it is the {which} address of subnet {subnet}")]
    Reserved {
        /// Gateway or aux-address NAME.
        what: String,
        /// The address.
        address: IpAddr,
        /// Which reserved address.
        which: &'static str,
        /// The subnet.
        subnet: IpNet,
    },
    /// Two things with the same address.
    #[error("address {address} is given twice: as {first} and as {second}")]
    Twice {
        /// The address.
        address: IpAddr,
        /// Its first use.
        first: String,
        /// Its second use.
        second: String,
    },
}

impl Pool {
    /// A pool of `subnet`, with its first usable address as gateway unless one is given.
    pub fn new(
        subnet: IpNet,
        gateway: Option<IpAddr>,
        ip_range: Option<IpNet>,
        aux_addresses: BTreeMap<String, IpAddr>,
    ) -> Result<Self, PoolError> {
        check_subnet(subnet)?;
        let inside = |what: &str, address: IpAddr| check_usable(subnet, what, address);
        if let Some(range) = ip_range
            && (!subnet.contains(&range.network()) || range.prefix_len() < subnet.prefix_len())
        {
            return Err(PoolError::Outside {
                what: "ip-range".into(),
                address: range.to_string(),
                subnet,
            });
        }
        let gateway = match gateway {
            Some(gateway) => {
                inside("gateway", gateway)?;
                gateway
            }
            None => first_usable(subnet, &aux_addresses),
        };
        let mut uses = BTreeMap::from([(gateway, "gateway".to_owned())]);
        for (name, &address) in &aux_addresses {
            let what = format!("aux-address {name}");
            inside(&what, address)?;
            if let Some(first) = uses.insert(address, what.clone()) {
                return Err(PoolError::Twice {
                    address,
                    first,
                    second: what,
                });
            }
        }
        Ok(Self {
            subnet,
            gateway,
            ip_range: ip_range.map(|r| r.trunc()),
            aux_addresses,
        })
    }

    /// The subnet.
    pub fn subnet(&self) -> IpNet {
        self.subnet
    }

    /// The address of the bridge, endpoints' default route.
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }

    /// The gateway with the subnet's prefix length, as it is put on the bridge.
    pub fn gateway_cidr(&self) -> IpNet {
        self.cidr(self.gateway)
    }

    /// `address` with the subnet's prefix length.
    pub fn cidr(&self, address: IpAddr) -> IpNet {
        IpNet::new(address, self.subnet.prefix_len())
            .expect("the address is of the subnet's family, so the prefix length fits")
    }

    /// The part of the subnet that automatic addresses come from, where it is not all of it.
    pub fn ip_range(&self) -> Option<IpNet> {
        self.ip_range
    }

    /// Addresses that are never given to an endpoint, by name.
    pub fn aux_addresses(&self) -> &BTreeMap<String, IpAddr> {
        &self.aux_addresses
    }

    /// Whether an endpoint may have `address`, leases apart.
    pub fn check_endpoint_address(&self, address: IpAddr) -> Result<(), PoolError> {
        check_usable(self.subnet, "address", address)
    }
}

fn check_subnet(subnet: IpNet) -> Result<(), PoolError> {
    if subnet != subnet.trunc() {
        return Err(PoolError::HostBits(subnet));
    }
    if subnet.prefix_len() + 2 > subnet.max_prefix_len() {
        return Err(PoolError::TooSmall(subnet));
    }
    let address = subnet.network();
    let mapped = Ipv6Addr::from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    let mapped = IpNet::from(Ipv6Net::new_assert(mapped, 96));
    let special = if address.is_multicast() {
        Some("multicast")
    } else if address.is_loopback() {
        Some("loopback")
    } else if address.is_unspecified() {
        Some("the unspecified address")
    } else {
        match address {
            IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240 => Some("reserved"),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("link-local"),
            IpAddr::V6(_) if subnet.contains(&mapped) || mapped.contains(&subnet) => {
                Some("IPv4-mapped")
            }
            _ => None,
        }
    };
    special.map_or(Ok(()), |what| Err(PoolError::Special(subnet, what)))
}

fn check_usable(subnet: IpNet, what: &str, address: IpAddr) -> Result<(), PoolError> {
    if !subnet.contains(&address) {
        return Err(PoolError::Outside {
            what: what.into(),
            address: address.to_string(),
            subnet,
        });
    }
    // IPv6 has no broadcast; its first address is the subnet-router anycast one (RFC 4291, 2.6.1).
    let which = if address == subnet.network() {
        Some(if address.is_ipv4() {
            "network"
        } else {
            "subnet-router anycast"
        })
    } else if address.is_ipv4() && address == subnet.broadcast() {
        Some("broadcast")
    } else {
        None
    };
    match which {
        Some(which) => Err(PoolError::Reserved {
            what: what.into(),
            address,
            which,
            subnet,
        }),
        None => Ok(()),
    }
}

/// The subnet has more than three addresses and an aux-address is one of a few, so one is free
/// unless the user reserved all of them: then the clash is reported as given twice.
fn first_usable(subnet: IpNet, aux_addresses: &BTreeMap<String, IpAddr>) -> IpAddr {
    let mut hosts = subnet.hosts().filter(|a| *a != subnet.network());
    let first = hosts.next().unwrap_or(subnet.network());
    std::iter::once(first)
        .chain(hosts.take(aux_addresses.len()))
        .find(|address| !aux_addresses.values().any(|aux| aux == address))
        .unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(subnet: &str, gateway: Option<&str>, range: Option<&str>) -> Result<Pool, PoolError> {
        Pool::new(
            subnet.parse().unwrap(),
            gateway.map(|g| g.parse().unwrap()),
            range.map(|r| r.parse().unwrap()),
            BTreeMap::new(),
        )
    }

    #[test]
    fn the_gateway_is_the_first_usable_address() {
        assert_eq!(
            pool("10.1.0.0/24", None, None)
                .unwrap()
                .gateway()
                .to_string(),
            "10.1.0.1"
        );
        assert_eq!(
            pool("fd00::/64", None, None).unwrap().gateway().to_string(),
            "fd00::1"
        );
        let aux = BTreeMap::from([("router".to_owned(), "10.1.0.1".parse().unwrap())]);
        let pool = Pool::new("10.1.0.0/24".parse().unwrap(), None, None, aux).unwrap();
        assert_eq!(pool.gateway().to_string(), "10.1.0.2");
    }

    #[test]
    fn bad_pools_are_refused() {
        for (subnet, gateway, range) in [
            ("10.1.0.5/24", None, None),
            ("10.1.0.0/31", None, None),
            ("fd00::/127", None, None),
            ("224.0.0.0/8", None, None),
            ("127.0.0.0/8", None, None),
            ("0.0.0.0/24", None, None),
            ("240.0.0.0/24", None, None),
            ("fe80::/64", None, None),
            ("10.1.0.0/24", Some("10.2.0.1"), None),
            ("10.1.0.0/24", Some("10.1.0.0"), None),
            ("10.1.0.0/24", Some("10.1.0.255"), None),
            ("10.1.0.0/24", None, Some("10.0.0.0/16")),
            ("10.1.0.0/24", None, Some("10.2.0.0/25")),
        ] {
            assert!(
                pool(subnet, gateway, range).is_err(),
                "{subnet} {gateway:?} {range:?}"
            );
        }
    }

    #[test]
    fn an_address_has_one_use() {
        let aux = BTreeMap::from([("router".to_owned(), "10.1.0.9".parse().unwrap())]);
        let gateway = Some("10.1.0.9".parse().unwrap());
        let error = Pool::new("10.1.0.0/24".parse().unwrap(), gateway, None, aux).unwrap_err();
        assert!(matches!(error, PoolError::Twice { .. }), "{error}");
    }
}
