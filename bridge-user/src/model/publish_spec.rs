//! What a user asks to be published: `-p`, `-P` and `--publish-from`.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::ports::host_address;
use super::{ExposedPorts, PortRange, Protocol, PublishError};

/// `-p [HOSTIP:][HOSTPORT[-END]]:PORT[-END][/PROTO]`, read as Docker reads it (`ParsePortSpec`,
/// docker/go-connections v0.4.0, nat/nat.go), but for port 0, which is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishSpec {
    /// Address of the host; the network's default where it is left out.
    pub host: Option<IpAddr>,
    /// Ports of the host: as many as of the endpoint, or several to choose from for one; any free
    /// one where they are left out.
    pub host_ports: Option<PortRange>,
    /// Ports of the endpoint.
    pub ports: PortRange,
    /// The protocol.
    pub protocol: Protocol,
}

impl PublishSpec {
    /// Each port of the endpoint, with the ports of the host that it may have.
    pub fn pairs(&self) -> impl Iterator<Item = (u16, Option<PortRange>)> {
        let Self {
            host_ports, ports, ..
        } = *self;
        ports.ports().map(move |port| {
            let choice = host_ports.map(|choice| match ports.span() {
                0 => choice,
                _ => PortRange::single(choice.first() + (port - ports.first())),
            });
            (port, choice)
        })
    }
}

impl FromStr for PublishSpec {
    type Err = PublishError;

    fn from_str(text: &str) -> Result<Self, PublishError> {
        let (before, exposed) = text.rsplit_once(':').unwrap_or(("", text));
        let (host, host_ports) = before.rsplit_once(':').unwrap_or(("", before));
        if exposed.is_empty() {
            return Err(PublishError::NoPort(text.into()));
        }
        let ExposedPorts { ports, protocol } = exposed.parse()?;
        let host_ports: Option<PortRange> = match host_ports {
            "" => None,
            given => Some(given.parse()?),
        };
        if let Some(host_ports) = host_ports
            && ports.span() != 0
            && ports.span() != host_ports.span()
        {
            return Err(PublishError::Lengths { ports, host_ports });
        }
        Ok(Self {
            host: host_before_ports(host)?,
            host_ports,
            ports,
            protocol,
        })
    }
}

/// None where it is left out.
fn host_before_ports(text: &str) -> Result<Option<IpAddr>, PublishError> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    match bare.unwrap_or(text) {
        "" if bare.is_none() => Ok(None),
        _ if bare.is_none() && text.contains(':') => Err(PublishError::NoBrackets(text.into())),
        address => host_address(address).map(Some),
    }
}

/// What is to be published of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishRequest {
    /// Which ports, and where.
    pub specs: Vec<PublishSpec>,
    /// Who may use them; everybody where there are none. None is part of another.
    pub sources: Vec<IpNet>,
}

impl PublishRequest {
    /// `specs`, and with `all` every exposed port besides that is not among them, at free ports of the
    /// host.
    pub fn new(
        mut specs: Vec<PublishSpec>,
        all: bool,
        exposed: &[ExposedPorts],
        sources: &[IpNet],
    ) -> Self {
        for exposed in exposed.iter().filter(|_| all) {
            for port in exposed.ports.ports() {
                let is_this = |spec: &PublishSpec| {
                    spec.protocol == exposed.protocol && spec.ports.ports().contains(&port)
                };
                if !specs.iter().any(is_this) {
                    specs.push(PublishSpec {
                        host: None,
                        host_ports: None,
                        ports: PortRange::single(port),
                        protocol: exposed.protocol,
                    });
                }
            }
        }
        Self {
            specs,
            sources: IpNet::aggregate(&sources.iter().map(IpNet::trunc).collect()),
        }
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A spec as text: host, host's ports, endpoint's ports, protocol.
    fn shown(text: &str) -> Result<String, PublishError> {
        let spec: PublishSpec = text.parse()?;
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        Ok(format!(
            "{} {} {} {}",
            or_dash(spec.host.map(|host| host.to_string())),
            or_dash(spec.host_ports.map(|ports| ports.to_string())),
            spec.ports,
            spec.protocol
        ))
    }

    #[test]
    fn specs_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("80", "- - 80 tcp"),
            ("80/udp", "- - 80 udp"),
            ("80/SCTP", "- - 80 sctp"),
            ("80/", "- - 80 tcp"),
            (":80", "- - 80 tcp"),
            ("::80", "- - 80 tcp"),
            ("8080:80", "- 8080 80 tcp"),
            ("8080:80/udp", "- 8080 80 udp"),
            ("127.0.0.1:8080:80", "127.0.0.1 8080 80 tcp"),
            ("127.0.0.1::80", "127.0.0.1 - 80 tcp"),
            ("[::1]:8080:80/tcp", "::1 8080 80 tcp"),
            ("[fd00::5]::80", "fd00::5 - 80 tcp"),
            ("[::]:53:53/udp", ":: 53 53 udp"),
            ("[10.0.0.1]:1:2", "10.0.0.1 1 2 tcp"),
            ("[::ffff:192.0.2.1]:1:2", "192.0.2.1 1 2 tcp"),
            ("[::ffff:0.0.0.0]:1:2", "0.0.0.0 1 2 tcp"),
            ("8000-8002:80-82", "- 8000-8002 80-82 tcp"),
            ("80-82", "- - 80-82 tcp"),
            ("0.0.0.0:8000-8009:80", "0.0.0.0 8000-8009 80 tcp"),
            ("65535:1", "- 65535 1 tcp"),
            ("7-7:8-8", "- 7 8 tcp"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn bad_specs_are_refused_by_what_is_wrong() {
        use PublishError as E;
        let port = |text: &str| E::Port(text.into());
        let range = |text: &str| text.parse::<PortRange>().unwrap();
        let lengths = |ports, host_ports| E::Lengths {
            ports: range(ports),
            host_ports: range(host_ports),
        };
        let not_one = |text: &str| E::NotOne(text.parse().unwrap());
        let no_port = |text: &str| E::NoPort(text.into());
        for (text, expected) in [
            ("", no_port("")),
            ("8080:", no_port("8080:")),
            ("8080:/tcp", no_port("/tcp")),
            ("/tcp", no_port("/tcp")),
            ("0", port("0")),
            ("0:80", port("0")),
            ("80:0", port("0")),
            ("65536", port("65536")),
            ("65536:80", port("65536")),
            ("+80", port("+80")),
            ("-80", port("-80")),
            ("80-", port("80-")),
            ("80-82-84", port("80-82-84")),
            ("http", port("http")),
            ("80 ", port("80 ")),
            ("82-80", E::Reversed("82-80".into())),
            ("8002-8000:80-82", E::Reversed("8002-8000".into())),
            ("8000-8001:80-82", lengths("80-82", "8000-8001")),
            ("8000:80-82", lengths("80-82", "8000")),
            ("localhost:8080:80", E::Address("localhost".into())),
            ("1.2.3:8080:80", E::Address("1.2.3".into())),
            ("[]:8080:80", E::Address(String::new())),
            ("[::1%lo]:8080:80", E::Address("::1%lo".into())),
            ("224.0.0.1:8080:80", not_one("224.0.0.1")),
            ("255.255.255.255::80", not_one("255.255.255.255")),
            ("[ff02::1]:8080:80", not_one("ff02::1")),
            ("[::ffff:224.0.0.1]:8080:80", not_one("224.0.0.1")),
            ("[fe80::1]:8080:80", E::OfLink("fe80::1".parse().unwrap())),
            ("::1:8080:80", E::NoBrackets("::1".into())),
            ("fd00::5:8080:80", E::NoBrackets("fd00::5".into())),
        ] {
            assert_eq!(shown(text), Err(expected), "{text}");
        }
        for text in ["80/icmp", "80/tcp/udp", "80/ tcp"] {
            assert!(matches!(shown(text), Err(E::Protocol(_))), "{text}");
        }
    }

    #[test]
    fn ranges_are_paired_or_chosen_from() {
        let pairs = |text: &str| -> Vec<(u16, Option<String>)> {
            let spec: PublishSpec = text.parse().unwrap();
            let pairs = spec.pairs();
            pairs
                .map(|(port, choice)| (port, choice.map(|choice| choice.to_string())))
                .collect()
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(pairs("80"), [(80, None)]);
        assert_eq!(pairs("80-81"), [(80, None), (81, None)]);
        assert_eq!(
            pairs("8000-8001:80-81"),
            [(80, some("8000")), (81, some("8001"))]
        );
        assert_eq!(pairs("8000-8009:80"), [(80, some("8000-8009"))]);
        assert_eq!(pairs("1-65535:1-65535").len(), 65535);
    }

    #[test]
    fn all_exposed_ports_are_those_that_are_not_published_yet() {
        let specs: Vec<PublishSpec> = ["8080:80", "443/udp"].map(|s| s.parse().unwrap()).into();
        let exposed: Vec<ExposedPorts> = ["80-81", "443", "443/udp", "81"]
            .map(|e| e.parse().unwrap())
            .into();
        let ports = |all| {
            let request = PublishRequest::new(specs.clone(), all, &exposed, &[]);
            let specs = request.specs.iter();
            specs
                .map(|spec| format!("{}/{}", spec.ports, spec.protocol))
                .collect::<Vec<_>>()
        };
        assert_eq!(ports(false), ["80/tcp", "443/udp"]);
        assert_eq!(ports(true), ["80/tcp", "443/udp", "81/tcp", "443/tcp"]);
    }

    #[test]
    fn no_source_is_part_of_another() {
        let sources = ["10.1.2.3/16", "10.1.0.0/24", "192.0.2.7/32", "fd00::/8"];
        let request =
            PublishRequest::new(Vec::new(), false, &[], &sources.map(|s| s.parse().unwrap()));
        let mut kept: Vec<String> = request.sources.iter().map(ToString::to_string).collect();
        kept.sort();
        assert_eq!(kept, ["10.1.0.0/16", "192.0.2.7/32", "fd00::/8"]);
        assert!(request.is_empty());
    }
}
