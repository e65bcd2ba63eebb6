//! resolv.conf(5): what a host's says, and what a sandbox's should.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

/// The first line of a file of ours.
const MARK: &str = "# Made by bridge-user; without this line it is left alone.";

/// More nameservers than this are not asked: `MAXNS` (resolv.h of glibc 2.36).
const NAMESERVERS_MAX: usize = 3;

/// Where DNS is asked unless a port is given (RFC 1035, 4.2).
const DNS_PORT: u16 = 53;

/// A nameserver that others' names are asked of: an address, or one with a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Upstream(pub SocketAddr);

/// Why a text is no nameserver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither an address nor ADDRESS:PORT ([ADDRESS]:PORT for IPv6), PORT from 1 to 65535"
)]
pub struct ParseUpstreamError(String);

impl From<IpAddr> for Upstream {
    fn from(address: IpAddr) -> Self {
        Self(SocketAddr::new(address, DNS_PORT))
    }
}

impl FromStr for Upstream {
    type Err = ParseUpstreamError;

    fn from_str(text: &str) -> Result<Self, ParseUpstreamError> {
        let address = text.parse::<IpAddr>().map(Self::from);
        let refused = || ParseUpstreamError(text.to_owned());
        address.or_else(|_| match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Self(address)),
            _ => Err(refused()),
        })
    }
}

impl TryFrom<String> for Upstream {
    type Error = ParseUpstreamError;

    fn try_from(text: String) -> Result<Self, ParseUpstreamError> {
        text.parse()
    }
}

/// What a resolv.conf says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvConf {
    /// Who is asked, in this order.
    pub nameservers: Vec<IpAddr>,
    /// Domains that short names are looked for in.
    pub search: Vec<String>,
    /// Options, as they are written.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads a file. What is not understood is nobody's nameserver: addresses with a zone, say.
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let keyword = words.next().unwrap_or_default();
            let words = words.take_while(|word| !word.starts_with(['#', ';']));
            let words = words.filter(|word| word.is_ascii());
            match keyword {
                "nameserver" => conf
                    .nameservers
                    .extend(words.take(1).flat_map(str::parse::<IpAddr>)),
                // The last of these counts.
                "search" | "domain" => conf.search = words.map(str::to_owned).collect(),
                "options" => conf.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        conf
    }

    /// Whether the text of a file is ours to change: one of ours, be it torn, or one that says nothing.
    pub fn is_ours(text: &str) -> bool {
        MARK.starts_with(text) || text.lines().next() == Some(MARK)
    }

    /// The same with other nameservers, where some are given; else without those on a loopback address,
    /// which a sandbox has its own of.
    #[must_use]
    pub fn with_nameservers(&self, given: &[IpAddr]) -> Self {
        let mut conf = self.clone();
        if given.is_empty() {
            conf.nameservers.retain(|ip| !ip.is_loopback());
        } else {
            conf.nameservers = given.to_vec();
        }
        conf
    }

    /// What a sandbox whose names are told at `resolver` should have on a host that has this.
    ///
    /// These nameservers follow: they are asked when nobody answers at `resolver`. A sandbox that is
    /// `internal` has no way to them.
    #[must_use]
    pub fn for_sandbox(&self, resolver: IpAddr, internal: bool) -> Self {
        let others = self.nameservers.iter().filter(|_| !internal);
        let nameservers = std::iter::once(&resolver).chain(others);
        let mut conf = Self {
            nameservers: nameservers.take(NAMESERVERS_MAX).copied().collect(),
            search: self.search.clone(),
            options: self.options.clone(),
        };
        // A name of ours has no dot: it is asked for as it is first, as with Docker.
        conf.options.retain(|option| !option.starts_with("ndots:"));
        conf.options.push("ndots:0".into());
        // With the daemon down, the kernel refuses a question at once, but not many in a second
        // (`icmp_ratelimit`, net/ipv4/icmp.c, v6.18): do not wait five for the next nameserver.
        // Asked again, the daemon goes on with what it asks others, for less than five seconds.
        let says = |conf: &Self, what| conf.options.iter().any(|option| option.starts_with(what));
        if !says(&conf, "timeout:") {
            conf.options.push("timeout:1".into());
            if !says(&conf, "attempts:") {
                conf.options.push("attempts:5".into());
            }
        }
        conf
    }

    /// A file of ours.
    pub fn render(&self) -> String {
        let mut text = format!("{MARK}\n");
        for address in &self.nameservers {
            let _ = writeln!(text, "nameserver {address}");
        }
        for (keyword, words) in [("search", &self.search), ("options", &self.options)] {
            if !words.is_empty() {
                let _ = writeln!(text, "{keyword} {}", words.join(" "));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# a comment\n\
        domain old.example\n\
        search corp.example exämple example  ; two\n\
        nameserver 127.0.0.53\n\
        nameserver 192.0.2.1 # the first\n\
        nameserver fe80::1%eth0\n\
        nameserver 2001:db8::1\n\
        nameserver 192.0.2.2\n\
        options edns0 ndots:5\n\
        sortlist 192.0.2.0\n";

    #[test]
    fn a_hosts_file_is_read() {
        let conf = ResolvConf::parse(HOST);
        let addresses = conf.nameservers.iter().map(ToString::to_string);
        let expected = ["127.0.0.53", "192.0.2.1", "2001:db8::1", "192.0.2.2"];
        assert_eq!(addresses.collect::<Vec<_>>(), expected);
        assert_eq!(conf.search, ["corp.example", "example"]);
        assert_eq!(conf.options, ["edns0", "ndots:5"]);
        assert_eq!(ResolvConf::parse(""), ResolvConf::default());
    }

    #[test]
    fn an_upstream_may_have_a_port() {
        for (text, at) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5353", "192.0.2.1:5353"),
            ("2001:db8::1", "[2001:db8::1]:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ] {
            assert_eq!(text.parse::<Upstream>().unwrap().0.to_string(), at);
        }
        for bad in [
            "",
            "dns.example",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.1:0",
            "[::1",
        ] {
            assert!(bad.parse::<Upstream>().is_err(), "{bad}");
        }
    }

    #[test]
    fn given_nameservers_replace_the_hosts() {
        let host = ResolvConf::parse(HOST);
        let given = ["192.0.2.7".parse().unwrap()];
        assert_eq!(host.with_nameservers(&given).nameservers, given);
        let own = host.with_nameservers(&[]);
        assert_eq!(own.nameservers, host.nameservers[1..]);
        assert_eq!(own.search, host.search);
    }

    #[test]
    fn a_sandbox_asks_us_first() {
        let host = ResolvConf::parse(HOST).with_nameservers(&[]);
        let resolver = "10.90.0.1".parse().unwrap();
        let text = host.for_sandbox(resolver, false).render();
        let body = "nameserver 10.90.0.1\n\
            nameserver 192.0.2.1\n\
            nameserver 2001:db8::1\n\
            search corp.example example\n\
            options edns0 ndots:0 timeout:1 attempts:5\n";
        assert_eq!(text, format!("{MARK}\n{body}"));
        assert!(ResolvConf::is_ours(&text) && !ResolvConf::is_ours(HOST));
        let slow = ResolvConf::parse("options timeout:9").for_sandbox(resolver, false);
        assert_eq!(slow.options, ["timeout:9", "ndots:0"]);
        let alone = host.for_sandbox(resolver, true).nameservers;
        assert_eq!(alone, [resolver]);
    }
}
