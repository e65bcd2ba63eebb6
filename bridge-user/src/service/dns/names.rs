//! Who is called what, and who may ask: the state's rows, put in the order of questions. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::Place;
use super::links::Links;
use crate::model::{Endpoint, EndpointName, Id, Network, Pool, Run, State};

/// Where gateways are asked (RFC 1035, 4.2).
const PORT: u16 = 53;

/// All names of the host's networks, as of one transaction.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Networks that tell names, in the order of creation.
    zones: Vec<Zone>,
    /// Which of them a sandbox is on.
    memberships: HashMap<Id, Vec<usize>>,
    links: Links,
    /// Subnets of all networks.
    subnets: Vec<IpNet>,
    /// Whom a sandbox wants to be asked instead of the host's nameservers: `run --dns`.
    nameservers: HashMap<Id, Vec<IpAddr>>,
}

/// The names of one network.
#[derive(Debug)]
pub(super) struct Zone {
    network: Id,
    /// In lower case, as all names here: DNS does not tell them apart (RFC 1035, 2.3.3).
    name: String,
    internal: bool,
    gateways: Vec<IpAddr>,
    subnets: Vec<IpNet>,
    names: HashMap<String, Vec<IpAddr>>,
    owners: HashMap<IpAddr, Owner>,
}

/// Who has an address.
#[derive(Debug)]
struct Owner {
    name: String,
    sandbox: Id,
}

/// Who asks, and what it may know: the network that it asks on, then the others that it is on.
#[derive(Debug)]
pub(super) struct Asker<'n> {
    zones: Vec<&'n Zone>,
    /// It asks on a network that nothing leaves.
    internal: bool,
    /// Nobody's where the address is no endpoint's: the host's.
    sandbox: Option<&'n Id>,
    names: &'n Names,
}

impl Names {
    pub(super) fn new(networks: &[Network], endpoints: &[Endpoint], runs: Vec<Run>) -> Self {
        let there = |network: &&Network| network.state != State::Deleting;
        let telling = networks.iter().filter(there).filter(|n| n.tells_names());
        let mut zones: Vec<Zone> = telling.map(Zone::new).collect();
        let places: HashMap<Id, usize> = zones.iter().map(|z| z.network.clone()).zip(0..).collect();
        let mut memberships: HashMap<Id, Vec<usize>> = HashMap::new();
        for endpoint in endpoints.iter().filter(|e| e.state == State::Ready) {
            if let Some(&place) = places.get(&endpoint.network) {
                zones[place].add(endpoint);
                let on = memberships.entry(endpoint.sandbox.clone()).or_default();
                on.push(place);
            }
        }
        let pools = networks.iter().flat_map(|network| &network.pools);
        // The sandbox of a run has the run's id.
        let given = runs.into_iter().map(|run| (run.id, run.config.dns));
        Self {
            zones,
            memberships,
            links: Links::new(networks, endpoints),
            subnets: pools.map(Pool::subnet).collect(),
            nameservers: given.filter(|(_, given)| !given.is_empty()).collect(),
        }
    }

    /// Every address that questions are answered at, and the network that it is of.
    pub(super) fn listening(&self) -> BTreeSet<Place> {
        let of = |zone: &Zone| zone.gateways.clone().into_iter();
        let place = |gateway, zone: &Zone| Place {
            address: SocketAddr::new(gateway, PORT),
            network: Some(zone.network.clone()),
        };
        let each = |zone| of(zone).map(move |gateway| place(gateway, zone));
        self.zones.iter().flat_map(each).collect()
    }

    /// Whether questions are answered at an address.
    pub(super) fn is_gateway(&self, address: IpAddr) -> bool {
        self.zones
            .iter()
            .any(|zone| zone.gateways.contains(&address))
    }

    /// Who asks from `client` on `network`, or as the host on none; `None` if nobody there may ask.
    pub(super) fn asker(&self, network: Option<&Id>, client: IpAddr) -> Option<Asker<'_>> {
        let Some(network) = network else {
            return client.is_loopback().then(|| Asker {
                zones: self.zones.iter().collect(),
                internal: false,
                sandbox: None,
                names: self,
            });
        };
        let asked = self.zones.iter().find(|zone| zone.network == *network)?;
        if !asked.subnets.iter().any(|subnet| subnet.contains(&client)) {
            return None;
        }
        let mut zones = vec![asked];
        let sandbox = asked.owners.get(&client).map(|owner| &owner.sandbox);
        let on = sandbox.and_then(|sandbox| self.memberships.get(sandbox));
        let on = on.into_iter().flatten().map(|&place| &self.zones[place]);
        zones.extend(on.filter(|zone| zone.network != *network));
        Some(Asker {
            zones,
            internal: asked.internal,
            sandbox,
            names: self,
        })
    }
}

impl Zone {
    fn new(network: &Network) -> Self {
        Self {
            network: network.id.clone(),
            name: network.name.as_str().to_ascii_lowercase(),
            internal: network.internal,
            gateways: network.bridge_addresses().map(|cidr| cidr.addr()).collect(),
            subnets: network.pools.iter().map(Pool::subnet).collect(),
            names: HashMap::new(),
            owners: HashMap::new(),
        }
    }

    /// Its name, its aliases, and the first digits of its sandbox's id and of its own.
    fn add(&mut self, endpoint: &Endpoint) {
        let names = std::iter::once(endpoint.name.as_str())
            .chain(endpoint.aliases.iter().map(EndpointName::as_str))
            .chain([endpoint.sandbox.short(), endpoint.id.short()]);
        let names: BTreeSet<String> = names.map(str::to_ascii_lowercase).collect();
        let addresses = endpoint.addresses.iter().map(IpNet::addr);
        for name in names {
            let known = self.names.entry(name).or_default();
            known.extend(addresses.clone());
        }
        for address in addresses {
            let owner = Owner {
                name: endpoint.name.to_string(),
                sandbox: endpoint.sandbox.clone(),
            };
            self.owners.insert(address, owner);
        }
    }
}

impl<'n> Asker<'n> {
    /// Whether it asks on a network that nothing leaves.
    pub(super) fn is_internal(&self) -> bool {
        self.internal
    }

    /// Whom it wants to be asked what is not ours; empty: the host's nameservers.
    pub(super) fn nameservers(&self) -> &'n [IpAddr] {
        let given = self.sandbox.and_then(|id| self.names.nameservers.get(id));
        given.map_or(&[], Vec::as_slice)
    }

    /// The addresses of a name in lower case: the asker's own links say, then the first network that
    /// knows it.
    pub(super) fn addresses(&self, name: &str) -> Option<&'n [IpAddr]> {
        let links = &self.names.links;
        let linked = |sandbox| links.addresses(sandbox, name);
        if let Some(addresses) = self.sandbox.and_then(linked) {
            return Some(addresses);
        }
        let plain = self.zones.iter().find_map(|zone| zone.names.get(name));
        let in_network = || {
            self.zones.iter().find_map(|zone| {
                let name = name.strip_suffix(zone.name.as_str())?.strip_suffix('.')?;
                zone.names.get(name)
            })
        };
        plain.or_else(in_network).map(Vec::as_slice)
    }

    /// The name of who has an address, and its network's.
    pub(super) fn name_of(&self, address: IpAddr) -> Option<(&'n str, &'n str)> {
        self.zones.iter().find_map(|zone| {
            let owner = zone.owners.get(&address)?;
            Some((owner.name.as_str(), zone.name.as_str()))
        })
    }

    /// Whether an address is in a network of this host, so that nobody else knows who has it.
    pub(super) fn is_ours(&self, address: IpAddr) -> bool {
        self.names
            .subnets
            .iter()
            .any(|subnet| subnet.contains(&address))
    }
}
