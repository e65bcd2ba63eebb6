//! A published port: a port of the host that leads to one of an endpoint.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

use super::Id;

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// The word for it, in specs, in nft and in the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Its number in IP headers (IANA, Protocol Numbers).
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|protocol| protocol.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| format!("invalid proto: {text:?}: it is tcp, udp or sctp"))
    }
}

/// One published port of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The endpoint that it leads to.
    pub endpoint: Id,
    /// The protocol.
    pub protocol: Protocol,
    /// Address of the host; unspecified for all of its family.
    pub host: IpAddr,
    /// Port of the host.
    pub host_port: u16,
    /// Port of the endpoint.
    pub port: u16,
    /// Who may use it; everybody where there are none.
    pub sources: Vec<IpNet>,
}

impl Publication {
    /// The endpoint's port, as Docker writes it.
    pub fn exposed(&self) -> String {
        format!("{}/{}", self.port, self.protocol)
    }

    /// The host's address and port.
    pub fn at(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.host_port)
    }

    /// Whether both would take what comes to one address and port.
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let (one, two) = (self.host, other.host);
        let overlap = one == two
            || one.is_ipv4() == two.is_ipv4() && (one.is_unspecified() || two.is_unspecified());
        overlap && self.protocol == other.protocol && self.host_port == other.host_port
    }
}

/// A publication and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The publication.
    pub publication: Publication,
    /// The endpoint's address of the host address's family.
    pub address: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_conflict_with_each_of_their_family() {
        let publication = |protocol: &str, at: &str| {
            let at: SocketAddr = at.parse().unwrap();
            Publication {
                endpoint: Id::from_bytes([1; 32]),
                protocol: protocol.parse().unwrap(),
                host: at.ip(),
                host_port: at.port(),
                port: 80,
                sources: Vec::new(),
            }
        };
        for (one, two, expected) in [
            (("tcp", "0.0.0.0:80"), ("tcp", "0.0.0.0:80"), true),
            (("tcp", "0.0.0.0:80"), ("tcp", "127.0.0.1:80"), true),
            (("tcp", "10.0.0.1:80"), ("tcp", "10.0.0.2:80"), false),
            (("tcp", "0.0.0.0:80"), ("tcp", "0.0.0.0:81"), false),
            (("tcp", "0.0.0.0:80"), ("udp", "0.0.0.0:80"), false),
            (("tcp", "0.0.0.0:80"), ("tcp", "[::]:80"), false),
            (("udp", "[::]:80"), ("udp", "[fd00::1]:80"), true),
            (("udp", "[fd00::2]:80"), ("udp", "[fd00::1]:80"), false),
        ] {
            let (one, two) = (publication(one.0, one.1), publication(two.0, two.1));
            assert_eq!(one.conflicts_with(&two), expected, "{one:?} {two:?}");
            assert_eq!(two.conflicts_with(&one), expected, "{two:?} {one:?}");
        }
    }
}
