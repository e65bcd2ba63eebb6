//! What the daemon's DNS should do besides answering at the gateways of networks.

use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;

use super::{ParseUpstreamError, Upstream};

/// Table `[dns]` of the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsConfig {
    /// Who is asked others' names; none: the nameservers of the host's resolv.conf.
    pub upstreams: Vec<Upstream>,
    /// Where the host itself is answered.
    pub listen: Vec<HostListen>,
}

/// An address on the host's loopback, port 53 unless another is given. Nobody but the host's own
/// processes reaches it: they may know the names of all networks, others may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostListen(pub SocketAddr);

/// Why a text is no such address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseHostListenError {
    /// It is no address.
    #[error(transparent)]
    Address(#[from] ParseUpstreamError),
    /// Others than the host could ask there.
    #[error("{0} is no address on the loopback (127.0.0.0/8, ::1): only there nobody else asks")]
    NoLoopback(SocketAddr),
}

impl FromStr for HostListen {
    type Err = ParseHostListenError;

    fn from_str(text: &str) -> Result<Self, ParseHostListenError> {
        let Upstream(address) = text.parse()?;
        if address.ip().is_loopback() {
            Ok(Self(address))
        } else {
            Err(ParseHostListenError::NoLoopback(address))
        }
    }
}

impl TryFrom<String> for HostListen {
    type Error = ParseHostListenError;

    fn try_from(text: String) -> Result<Self, ParseHostListenError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_is_listened_at_for_the_host() {
        for (text, at) in [
            ("127.0.0.54", "127.0.0.54:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(text.parse::<HostListen>().unwrap().0.to_string(), at);
        }
        for bad in ["", "0.0.0.0", "::", "192.0.2.1:53", "localhost", "[::]:53"] {
            assert!(bad.parse::<HostListen>().is_err(), "{bad}");
        }
    }
}
