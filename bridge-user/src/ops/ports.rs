//! Ports as commands show them: who is behind which, what was counted, what the FDB has.

use std::collections::BTreeMap;

use super::{Context, Error};
use crate::kernel::bpf::{Counters, DataPlane};
use crate::kernel::netlink::{self, Received, Traffic};
use crate::model::{Datapath, Endpoint, Network, Sandbox};

/// A port: an endpoint with what it joins.
#[derive(Debug, Clone)]
pub struct PortDetails {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its network.
    pub network: Network,
    /// Its sandbox.
    pub sandbox: Sandbox,
}

/// What went through a port.
#[derive(Debug, Clone)]
pub struct PortTraffic {
    /// The port.
    pub port: PortDetails,
    /// What the endpoint sent.
    pub sent: Counters,
    /// What it received; `None` where the pair is not there.
    pub received: Option<ReceivedTraffic>,
}

/// What an endpoint received. Answers of the program are in the total and in neither road; there
/// is one for each request that was counted as answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedTraffic {
    /// All of it.
    pub total: Traffic,
    /// By the fast path and by the bridge; `None` with the datapath xdp, for which the kernel counts
    /// both the same.
    pub roads: Option<(Traffic, Traffic)>,
}

/// An entry of the map `FDB`.
#[derive(Debug, Clone)]
pub struct FdbDetails {
    /// MAC address, in the order of its bytes on the wire.
    pub mac: [u8; 6],
    /// Number of the network.
    pub network_number: u16,
    /// Index of the host leg.
    pub ifindex: u32,
    /// Name of the link that has the index now.
    pub host_leg: Option<String>,
    /// The endpoint that the state has there.
    pub port: Option<PortDetails>,
}

impl PortDetails {
    /// Whether a user may mean it by this: its endpoint's name, its sandbox, or its network.
    fn is_called(&self, text: &str) -> bool {
        self.is_endpoint(text) || self.network.name.as_str() == text
    }

    /// Whether a user may mean the endpoint by this: its name or its sandbox.
    pub(super) fn is_endpoint(&self, text: &str) -> bool {
        self.endpoint.name.as_str() == text || self.sandbox.reference.to_string() == text
    }
}

impl Context {
    /// Every port, in the order of networks and endpoints.
    pub(super) fn ports(&self) -> Result<Vec<PortDetails>, Error> {
        let rows = self.store.rows();
        let mut ports = Vec::new();
        for network in rows.networks()? {
            for endpoint in rows.endpoints_of_network(&network.id)? {
                if let Some(sandbox) = rows.sandbox(&endpoint.sandbox)? {
                    ports.push(PortDetails {
                        endpoint,
                        network: network.clone(),
                        sandbox,
                    });
                }
            }
        }
        Ok(ports)
    }

    /// The ports that names stand for, each once: of endpoints, sandboxes or networks, these by
    /// their ids, too; all, without names.
    pub(super) fn ports_called(&self, names: &[String]) -> Result<Vec<PortDetails>, Error> {
        let mut ports = self.ports()?;
        if names.is_empty() {
            return Ok(ports);
        }
        let mut chosen: Vec<PortDetails> = Vec::new();
        for name in names {
            let mut known = ports.iter().chain(&chosen);
            let by_id = if known.any(|port| port.is_called(name)) {
                None
            } else {
                let not_found = || Error::NothingCalled(name.clone());
                Some(self.find_summary(name)?.ok_or_else(not_found)?.id)
            };
            chosen.extend(ports.extract_if(.., |port| match &by_id {
                Some(id) => port.network.id == *id,
                None => port.is_called(name),
            }));
        }
        Ok(chosen)
    }

    /// What went through the ports that names stand for.
    pub fn stats(&mut self, names: &[String]) -> Result<Vec<PortTraffic>, Error> {
        let ports = self.ports_called(names)?;
        let Some(data_plane) = DataPlane::open(self.owner)? else {
            return Ok(Vec::new());
        };
        ports
            .into_iter()
            .map(|port| {
                let sent = data_plane.counters(port.endpoint.slot)?;
                let received = match port.endpoint.ifindex {
                    Some(index) => netlink::received(&mut self.netlink, index)?,
                    None => None,
                };
                Ok(PortTraffic {
                    received: received.map(|received| by_road(&received, &port, &sent)),
                    port,
                    sent,
                })
            })
            .collect()
    }

    /// The entries of the map `FDB`, of one network or of all.
    pub fn fdb(&mut self, network: Option<&str>) -> Result<Vec<FdbDetails>, Error> {
        let number = match network {
            Some(text) => {
                let not_found = || Error::NetworkNotFound(text.to_owned());
                match self.find_summary(text)?.ok_or_else(not_found)?.network {
                    Some(network) => Some(network.number),
                    // It is listed, and nobody is on it: host, none, and bridge before its first use.
                    None => return Ok(Vec::new()),
                }
            }
            None => None,
        };
        let Some(data_plane) = DataPlane::open(self.owner)? else {
            return Ok(Vec::new());
        };
        let links: BTreeMap<u32, String> = netlink::links(&mut self.netlink)?
            .into_iter()
            .map(|link| (link.index, link.name))
            .collect();
        let ports = self.ports()?;
        let mut entries = data_plane.fdb_entries()?;
        entries.retain(|entry| number.is_none_or(|number| entry.network == number));
        entries.sort_by_key(|entry| (entry.network, entry.ifindex));
        Ok(entries
            .into_iter()
            .map(|entry| FdbDetails {
                mac: entry.mac,
                network_number: entry.network,
                ifindex: entry.ifindex,
                host_leg: links.get(&entry.ifindex).cloned(),
                port: ports
                    .iter()
                    .find(|port| port.endpoint.ifindex == Some(entry.ifindex))
                    .cloned(),
            })
            .collect())
    }
}

/// What the host leg did not send came past it; what it sent came by the bridge, or is an answer.
fn by_road(received: &Received, port: &PortDetails, sent: &Counters) -> ReceivedTraffic {
    let (packets, bytes) = sent.answered();
    let answers = Traffic { packets, bytes };
    let told_apart = port.network.datapath != Datapath::Xdp;
    ReceivedTraffic {
        total: received.total,
        roads: told_apart.then(|| {
            let fast = received.total.without(received.by_host_leg);
            (fast, received.by_host_leg.without(answers))
        }),
    }
}
