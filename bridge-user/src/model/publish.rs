//! A published port: a port of the host that leads to one of an endpoint.

use std::fmt;
use std::net::IpAddr;
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
