//! Ports as text: ranges of them, and those that `--expose` names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Protocol;

/// Why a text says nothing of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A host address that is none.
    #[error("invalid IP address: {0:?}")]
    Address(String),
    /// An IPv6 address that would be taken for ports.
    #[error("invalid IP address: {0:?}: IPv6 stands in brackets, as in [::1]:8080:80")]
    NoBrackets(String),
    /// An address that no single host has.
    #[error("invalid host address {0}: it is {what}, not one host's", what = manyfold(.0))]
    NotOne(IpAddr),
    /// An address that says nothing without a link.
    #[error("invalid host address {0}: it is one on every link; give another of the host, or [::]")]
    OfLink(Ipv6Addr),
    /// No port of the endpoint.
    #[error("no port specified: {0:?}")]
    NoPort(String),
    /// No number, or one that is no port.
    #[error("invalid port: {0:?}: it is 1 to 65535, or a range of these")]
    Port(String),
    /// It ends before it begins.
    #[error("invalid range specified for the port: {0}: it ends before it begins")]
    Reversed(String),
    /// Ranges that cannot be paired.
    #[error("invalid ranges specified for container and host ports: {ports} and {host_ports}")]
    Lengths {
        /// Of the endpoint.
        ports: PortRange,
        /// Of the host.
        host_ports: PortRange,
    },
    /// The text behind the slash.
    #[error("{0}")]
    Protocol(String),
}

/// What an address is that is not one host's.
fn manyfold(address: &IpAddr) -> &'static str {
    if address.is_multicast() {
        "a group's"
    } else {
        "the broadcast address"
    }
}

/// An address of the host that ports can be published on, or all of a family: what an address in text says.
/// One of IPv4 may be written as IPv6 (`::ffff:192.0.2.1`).
pub(super) fn host_address(text: &str) -> Result<IpAddr, PublishError> {
    let address: Result<IpAddr, _> = text.parse();
    let address = address.map_err(|_| PublishError::Address(text.into()))?;
    match address.to_canonical() {
        one if one.is_multicast() || one == Ipv4Addr::BROADCAST => Err(PublishError::NotOne(one)),
        IpAddr::V6(one) if one.is_unicast_link_local() => Err(PublishError::OfLink(one)),
        one => Ok(one),
    }
}

/// Ports from one to another, both among them, none of them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The one port.
    pub(super) fn single(port: u16) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// Each of them.
    pub fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }

    /// The first of them.
    pub(super) fn first(self) -> u16 {
        self.first
    }

    /// How many there are after the first.
    pub(super) fn span(self) -> u16 {
        self.last - self.first
    }
}

impl FromStr for PortRange {
    type Err = PublishError;

    fn from_str(text: &str) -> Result<Self, PublishError> {
        let port = |digits: &str| {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let port = digits.parse().ok().filter(|port| is_number && *port != 0);
            port.ok_or_else(|| PublishError::Port(text.into()))
        };
        let Some((first, last)) = text.split_once('-') else {
            return port(text).map(Self::single);
        };
        let (first, last) = (port(first)?, port(last)?);
        if last < first {
            return Err(PublishError::Reversed(text.into()));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// `--expose PORT[-END][/PROTO]`: ports that the command in a sandbox is said to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExposedPorts {
    /// The ports.
    pub ports: PortRange,
    /// Their protocol.
    pub protocol: Protocol,
}

impl FromStr for ExposedPorts {
    type Err = PublishError;

    fn from_str(text: &str) -> Result<Self, PublishError> {
        let (ports, protocol) = match text.split_once('/') {
            // Docker takes `80/` for TCP (`SplitProtoPort`, docker/go-connections v0.4.0, nat/nat.go).
            None | Some((_, "")) => (text.trim_end_matches('/'), Protocol::Tcp),
            Some((ports, protocol)) => {
                let protocol = protocol.parse().map_err(PublishError::Protocol)?;
                (ports, protocol)
            }
        };
        if ports.is_empty() {
            return Err(PublishError::NoPort(text.into()));
        }
        let ports = ports.parse()?;
        Ok(Self { ports, protocol })
    }
}

impl fmt::Display for ExposedPorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ports, self.protocol)
    }
}

impl TryFrom<String> for ExposedPorts {
    type Error = PublishError;

    fn try_from(text: String) -> Result<Self, PublishError> {
        text.parse()
    }
}

impl From<ExposedPorts> for String {
    fn from(exposed: ExposedPorts) -> Self {
        exposed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposed_ports_are_read_and_written() {
        for (text, expected) in [
            ("80", "80/tcp"),
            ("80/tcp", "80/tcp"),
            ("7000-7002/udp", "7000-7002/udp"),
            ("9/", "9/tcp"),
        ] {
            let exposed: ExposedPorts = text.parse().unwrap();
            assert_eq!(exposed.to_string(), expected);
            assert_eq!(String::from(exposed).parse(), Ok(exposed));
        }
        for bad in ["", "/udp", "0", "65536", "2-1", "80/x", "8080:80"] {
            assert!(bad.parse::<ExposedPorts>().is_err(), "{bad}");
        }
    }
}
