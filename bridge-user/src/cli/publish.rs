//! Options of `run` and `net connect` that publish ports, and how published ports are shown.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clap::Args;
use ipnet::IpNet;
use serde::Serialize;

use crate::model::{ExposedPorts, Publication, PublishRequest, PublishSpec};

#[derive(Debug, Args)]
pub(super) struct PublishArguments {
    #[command(flatten)]
    ports: PublishedPorts,
    /// Who may use what is published, as a subnet or an address; else everybody. The host itself always may.
    #[arg(long, value_name = "CIDR", value_parser = source, requires = "PublishedPorts")]
    publish_from: Vec<IpNet>,
}

#[derive(Debug, Args)]
struct PublishedPorts {
    /// Have a port of the host lead to one of the sandbox: [HOSTIP:][HOSTPORT[-END]]:PORT[-END][/tcp|udp|sctp],
    /// without HOSTPORT a free one.
    #[arg(long, short = 'p', value_name = "SPEC")]
    publish: Vec<PublishSpec>,
    /// Publish every port of --expose, at free ports of the host.
    #[arg(long, short = 'P', requires = "expose")]
    publish_all: bool,
}

/// A subnet; an address alone is the one of its own.
fn source(text: &str) -> Result<IpNet, String> {
    let subnet = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    subnet.map_err(|_| "it is a subnet, as 192.0.2.0/24, or an address".into())
}

impl PublishArguments {
    pub(super) fn request(&self, exposed: &[ExposedPorts]) -> PublishRequest {
        let PublishedPorts {
            publish,
            publish_all,
        } = &self.ports;
        PublishRequest::new(publish.clone(), *publish_all, exposed, &self.publish_from)
    }
}

/// Docker's `PortMap`: an endpoint's ports, with where they are published; null for those that are
/// only exposed.
pub(super) type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PortBinding {
    host_ip: String,
    host_port: String,
}

pub(super) fn port_map(exposed: &[ExposedPorts], publications: &[Publication]) -> PortMap {
    let mut map: PortMap = each(exposed).map(|port| (port, None)).collect();
    for publication in publications {
        let bindings = map.entry(publication.exposed()).or_default();
        bindings.get_or_insert_default().push(PortBinding {
            host_ip: publication.host.to_string(),
            host_port: publication.host_port.to_string(),
        });
    }
    map
}

/// Each exposed port, as Docker writes it.
pub(super) fn each(exposed: &[ExposedPorts]) -> impl Iterator<Item = String> {
    exposed.iter().flat_map(|exposed| {
        let ports = exposed.ports.ports();
        ports.map(|port| format!("{port}/{}", exposed.protocol))
    })
}

/// A line of `port`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PublicationRow {
    port: String,
    #[serde(flatten)]
    binding: PortBinding,
}

impl PublicationRow {
    pub(super) fn new(publication: &Publication) -> Self {
        Self {
            port: publication.exposed(),
            binding: PortBinding {
                host_ip: publication.host.to_string(),
                host_port: publication.host_port.to_string(),
            },
        }
    }
}

/// The column PORTS of `ps`, as Docker has it (`DisplayablePorts`, docker/cli v20.10.24,
/// cli/command/formatter/container.go): ports in a row that are published under their own numbers are
/// one item, and those with another number of the host come last.
pub(super) fn ports_text(exposed: &[ExposedPorts], publications: &[Publication]) -> String {
    // By host address or none, and protocol: first and last port.
    let mut rows: BTreeMap<(String, &str), Vec<(u16, u16)>> = BTreeMap::new();
    let mut add = |host: String, protocol, port: u16| {
        let there = rows.entry((host, protocol)).or_default();
        match there.last_mut() {
            Some((_, last)) if *last == port => {}
            Some((_, last)) if *last + 1 == port => *last = port,
            _ => there.push((port, port)),
        }
    };
    let mut only_exposed: Vec<(u16, &str)> = Vec::new();
    for exposed in exposed {
        let protocol = exposed.protocol;
        let published = |port: u16| {
            let mut all = publications.iter();
            all.any(|p| p.port == port && p.protocol == protocol)
        };
        let ports = exposed.ports.ports().filter(|port| !published(*port));
        only_exposed.extend(ports.map(|port| (port, protocol.as_str())));
    }
    only_exposed.sort_unstable();
    for (port, protocol) in only_exposed {
        add(String::new(), protocol, port);
    }
    let mut under_others = Vec::new();
    for publication in publications {
        let host = match publication.host {
            host if host.is_ipv6() => format!("[{host}]"),
            host => host.to_string(),
        };
        if publication.port == publication.host_port {
            add(host, publication.protocol.as_str(), publication.port);
        } else {
            let at = publication.at();
            under_others.push(format!("{at}->{}", publication.exposed()));
        }
    }
    let rows = rows.into_iter().flat_map(|((host, protocol), ranges)| {
        ranges.into_iter().map(move |(first, last)| {
            let ports = match last - first {
                0 => first.to_string(),
                _ => format!("{first}-{last}"),
            };
            match host.as_str() {
                "" => format!("{ports}/{protocol}"),
                host => format!("{host}:{ports}->{ports}/{protocol}"),
            }
        })
    });
    rows.chain(under_others).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::model::Id;

    fn published(lines: &[(&str, &str)]) -> Vec<Publication> {
        let publication = |(port, at): &(&str, &str)| {
            let exposed: ExposedPorts = port.parse().unwrap();
            let at: SocketAddr = at.parse().unwrap();
            Publication {
                endpoint: Id::from_bytes([1; 32]),
                protocol: exposed.protocol,
                host: at.ip(),
                host_port: at.port(),
                port: *exposed.ports.ports().start(),
                sources: Vec::new(),
            }
        };
        lines.iter().map(publication).collect()
    }

    #[test]
    fn ports_are_shown_as_dockers_ps_shows_them() {
        let exposed = |words: &[&str]| -> Vec<ExposedPorts> {
            words.iter().map(|word| word.parse().unwrap()).collect()
        };
        let shown =
            |words: &[&str], lines: &[(&str, &str)]| ports_text(&exposed(words), &published(lines));
        assert_eq!(shown(&[], &[]), "");
        assert_eq!(shown(&["80"], &[]), "80/tcp");
        assert_eq!(
            shown(
                &["80", "81"],
                &[("80", "0.0.0.0:8080"), ("80", "[::]:8080")]
            ),
            "81/tcp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
        );
        assert_eq!(
            shown(
                &["7000-7002/udp"],
                &[
                    ("80", "0.0.0.0:80"),
                    ("81", "0.0.0.0:81"),
                    ("82", "127.0.0.1:82"),
                    ("83", "0.0.0.0:83"),
                ]
            ),
            "7000-7002/udp, 0.0.0.0:80-81->80-81/tcp, 0.0.0.0:83->83/tcp, 127.0.0.1:82->82/tcp"
        );
    }

    #[test]
    fn the_map_is_dockers() {
        let exposed: Vec<ExposedPorts> = vec!["80".parse().unwrap(), "81".parse().unwrap()];
        let map = port_map(
            &exposed,
            &published(&[("80", "0.0.0.0:8080"), ("80", "[::]:8080")]),
        );
        assert_eq!(
            serde_json::to_string(&map).unwrap(),
            "{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":\"8080\"},\
             {\"HostIp\":\"::\",\"HostPort\":\"8080\"}],\"81/tcp\":null}"
        );
    }
}
