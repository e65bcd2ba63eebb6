//! An endpoint: what joins a sandbox to one network, with its addresses and names.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{EndpointLink, EndpointName, Id, InterfaceName, MacAddress};

/// How far an object's creation or removal has come.
///
/// ```text
/// (no row) -> creating -> ready -> deleting -> (no row)
/// ```
/// `creating` or `deleting` with nobody at work on it is what a crash left: the object goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The row is written, the kernel may not have it all.
    Creating,
    /// The kernel is as the row says.
    Ready,
    /// Being removed.
    Deleting,
}

impl State {
    /// The word for it in the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Ready => "ready",
            Self::Deleting => "deleting",
        }
    }
}

impl std::str::FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Creating, Self::Ready, Self::Deleting]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no state"))
    }
}

const HOST_LEG_PREFIX: &str = "bv-";

/// An endpoint as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its identity.
    pub id: Id,
    /// The network that it joins.
    pub network: Id,
    /// The sandbox that it is in.
    pub sandbox: Id,
    /// Its name, unique in the network.
    pub name: EndpointName,
    /// Other names, which several endpoints may share.
    pub aliases: Vec<EndpointName>,
    /// How far it has come.
    pub state: State,
    /// Index of its counters, unique on the host, from 1 up.
    pub slot: u16,
    /// Address of the container leg.
    pub mac: MacAddress,
    /// Name of the container leg.
    pub interface: InterfaceName,
    /// Names that it alone has for others.
    pub links: Vec<EndpointLink>,
    /// It may speak with any address, whatever the network's port security.
    pub trusted: bool,
    /// Index of the host leg once it exists.
    pub ifindex: Option<u32>,
    /// One address a family, with the subnet's prefix length, IPv4 first.
    pub addresses: Vec<IpNet>,
}

impl Endpoint {
    /// Name of the host leg.
    pub fn host_leg(&self) -> InterfaceName {
        format!("{HOST_LEG_PREFIX}{}", self.id.short())
            .parse()
            .expect("15 bytes of an id make a name")
    }

    /// Whether an interface has such a name as host legs have, and nobody else gives.
    pub fn is_host_leg(interface: &str) -> bool {
        let id = interface.strip_prefix(HOST_LEG_PREFIX);
        id.is_some_and(Id::is_short)
    }

    /// Whether the name of a host leg may begin so.
    pub fn may_be_host_leg(prefix: &str) -> bool {
        HOST_LEG_PREFIX.starts_with(prefix) || prefix.starts_with(HOST_LEG_PREFIX)
    }

    /// The address of a family, where it has one.
    pub fn address(&self, ipv6: bool) -> Option<IpAddr> {
        self.cidr(ipv6).map(|cidr| cidr.addr())
    }

    /// The address of a family with the subnet's prefix length, where it has one.
    pub fn cidr(&self, ipv6: bool) -> Option<IpNet> {
        let mut all = self.addresses.iter().copied();
        all.find(|cidr| cidr.addr().is_ipv6() == ipv6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_legs_are_known_by_their_names() {
        assert!(Endpoint::is_host_leg("bv-0123456789ab"));
        for other in ["bv-", "bv-home", "bv-0123456789aB", "bu-0123456789ab"] {
            assert!(!Endpoint::is_host_leg(other), "{other}");
        }
    }
}
