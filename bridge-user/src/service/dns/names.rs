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

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::model::{Datapath, MacAddress, NetworkMode, Options, RunConfig, RunState};

    pub(in super::super) fn id(byte: u8) -> Id {
        Id::from_bytes([byte; 32])
    }

    /// Network number N is `netN`, 10.N.0.0/24.
    pub(in super::super) fn network(number: u8) -> Network {
        let subnet = format!("10.{number}.0.0/24").parse().unwrap();
        Network {
            id: id(number),
            name: format!("Net{number}").parse().unwrap(),
            number: number.into(),
            state: State::Ready,
            created: UNIX_EPOCH,
            bridge: format!("bu-{number}").parse().unwrap(),
            bridge_mac: MacAddress::local([1; 5]),
            internal: false,
            datapath: Datapath::Tc,
            pools: vec![Pool::new(subnet, None, None, BTreeMap::new()).unwrap()],
            raw_options: BTreeMap::new(),
            options: Options::parse(&BTreeMap::new()).unwrap(),
            labels: BTreeMap::new(),
        }
    }

    /// The endpoint of a sandbox on a network, at 10.NETWORK.0.SANDBOX.
    pub(in super::super) fn endpoint(network: u8, sandbox: u8, name: &str) -> Endpoint {
        let (address, own) = (format!("10.{network}.0.{sandbox}/24"), 100 + sandbox);
        Endpoint {
            id: id(own),
            network: id(network),
            sandbox: id(sandbox),
            name: name.parse().unwrap(),
            aliases: vec!["Www".parse().unwrap()],
            state: State::Ready,
            slot: 1,
            mac: MacAddress::local([sandbox; 5]),
            interface: "eth0".parse().unwrap(),
            links: Vec::new(),
            trusted: false,
            ifindex: None,
            addresses: vec![address.parse().unwrap()],
        }
    }

    /// The run of a sandbox that has these nameservers.
    pub(in super::super) fn run(sandbox: u8, dns: &[&str]) -> Run {
        Run {
            id: id(sandbox),
            name: "run".parse().unwrap(),
            state: RunState::Running,
            created: UNIX_EPOCH,
            boot_id: String::new(),
            process: None,
            keeper: None,
            started: None,
            finished: None,
            exit_code: None,
            remove: false,
            config: RunConfig {
                command: Vec::new(),
                hostname: "run".into(),
                network: NetworkMode::None,
                files: None,
                detached: true,
                dns: dns.iter().map(|ip| ip.parse().unwrap()).collect(),
                add_hosts: Vec::new(),
                exposed: Vec::new(),
            },
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_is_there_is_known_on_its_networks_and_to_those_on_them() {
        let networks = [network(1), network(2)];
        let mut going = endpoint(1, 4, "going");
        going.state = State::Deleting;
        let mut coming = endpoint(1, 5, "coming");
        coming.state = State::Creating;
        let both = endpoint(2, 2, "both");
        let endpoints = [
            endpoint(1, 2, "both"),
            both,
            endpoint(2, 3, "Far"),
            going,
            coming,
        ];
        let names = Names::new(&networks, &endpoints, Vec::new());
        let asker = names.asker(Some(&id(1)), ip("10.1.0.2")).unwrap();
        for (name, expected) in [
            ("both", &["10.1.0.2"][..]),
            ("www", &["10.1.0.2"]),
            ("both.net1", &["10.1.0.2"]),
            ("both.net2", &["10.2.0.2"]),
            ("far", &["10.2.0.3"]),
            (id(103).short(), &["10.2.0.3"]),
        ] {
            let expected: Vec<IpAddr> = expected.iter().map(|text| ip(text)).collect();
            assert_eq!(asker.addresses(name), Some(&*expected), "{name}");
        }
        for name in ["going", "coming", "far.net1", "net1", ""] {
            assert_eq!(asker.addresses(name), None, "{name}");
        }
        assert_eq!(asker.name_of(ip("10.2.0.3")), Some(("Far", "net2")));
        // One that is on the first alone is not told of the second, and nobody from elsewhere.
        let alone = names.asker(Some(&id(1)), ip("10.1.0.9")).unwrap();
        assert_eq!(alone.addresses("far"), None);
        assert!(names.asker(Some(&id(1)), ip("10.2.0.3")).is_none());
        assert!(names.asker(Some(&id(9)), ip("10.1.0.2")).is_none());
        assert!(names.asker(None, ip("10.1.0.2")).is_none());
    }

    #[test]
    fn networks_that_go_or_tell_no_names_are_nowhere() {
        let mut going = network(1);
        going.state = State::Deleting;
        let mut silent = network(2);
        silent.options.dns = Some(false);
        let names = Names::new(&[going, silent, network(3)], &[], Vec::new());
        let at: Vec<IpAddr> = names.listening().iter().map(|p| p.address.ip()).collect();
        assert_eq!(at, [ip("10.3.0.1")]);
        assert!(names.is_gateway(ip("10.3.0.1")) && !names.is_gateway(ip("10.2.0.1")));
    }

    #[test]
    fn nameservers_are_those_of_the_sandbox_that_asks() {
        let endpoints = [endpoint(1, 2, "a"), endpoint(1, 3, "b")];
        let runs = vec![run(2, &["192.0.2.1", "192.0.2.2"]), run(3, &[])];
        let names = Names::new(&[network(1)], &endpoints, runs);
        let of = |client| names.asker(Some(&id(1)), ip(client)).unwrap().nameservers();
        assert_eq!(of("10.1.0.2"), [ip("192.0.2.1"), ip("192.0.2.2")]);
        assert!(of("10.1.0.3").is_empty() && of("10.1.0.9").is_empty());
        let host = names.asker(None, ip("127.0.0.1")).unwrap();
        assert!(host.nameservers().is_empty());
    }
}
