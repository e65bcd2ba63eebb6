//! Connecting a sandbox to a network.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::error::Errors;
use super::run::RunError;
use super::{Context, Error, publish, random_bytes, random_id};
use crate::fault;
use crate::ipam;
use crate::kernel::bpf;
use crate::kernel::netlink::{self, Netlink};
use crate::kernel::netns::NetNs;
use crate::model::{
    BUILTIN_BRIDGE, Endpoint, EndpointLink, EndpointName, Id, InterfaceName, MacAddress, Network,
    Pool, PublishRequest, Sandbox, SandboxRef, State,
};
use crate::store::{Rows, StoreError};

/// Ports of a Linux bridge: `BR_MAX_PORTS` less the number 0 (net/bridge/br_private.h, v6.18).
const BRIDGE_PORTS_MAX: usize = 1023;

/// An endpoint as a user asks for it.
#[derive(Debug, Clone)]
pub struct ConnectSpec {
    /// Name, id or beginning of the id of the network.
    pub network: String,
    /// The sandbox.
    pub sandbox: SandboxRef,
    /// Make the sandbox's namespace if it is not there.
    pub create: bool,
    /// Its name, else the sandbox's.
    pub name: Option<EndpointName>,
    /// Other names.
    pub aliases: Vec<EndpointName>,
    /// Names that it alone has for others.
    pub links: Vec<EndpointLink>,
    /// Fixed addresses, at most one a family.
    pub addresses: Vec<IpAddr>,
    /// Fixed MAC address.
    pub mac: Option<MacAddress>,
    /// Name of the container leg, else the next free one.
    pub interface: Option<InterfaceName>,
    /// It may speak with any address, whatever the network's port security.
    pub trusted: bool,
    /// What is published of it.
    pub publish: PublishRequest,
}

impl ConnectSpec {
    /// An endpoint with everything left to be chosen.
    pub fn new(network: &str, sandbox: SandboxRef) -> Self {
        Self {
            network: network.into(),
            sandbox,
            create: false,
            name: None,
            aliases: Vec::new(),
            links: Vec::new(),
            addresses: Vec::new(),
            mac: None,
            interface: None,
            trusted: false,
            publish: PublishRequest::default(),
        }
    }
}

impl Context {
    /// Connects a sandbox to a network.
    pub fn connect(&mut self, spec: &ConnectSpec) -> Result<Endpoint, Error> {
        if spec.create && spec.sandbox.netns_name().is_none() {
            return Err(Error::NotCreatable(spec.sandbox.to_string()));
        }
        let network = self.network_for_connect(spec)?;
        let held = self.hold_sandbox(&spec.sandbox, spec.create)?;
        self.join(&network, &held.sandbox, &held.namespace, spec)
            .map_err(|cause| cause.undone(self.release_sandbox(&held.sandbox.id)))
    }

    fn network_for_connect(&mut self, spec: &ConnectSpec) -> Result<Network, Error> {
        let refuse = |network, reason| Error::NotConnectable {
            sandbox: spec.sandbox.to_string(),
            network,
            reason,
        };
        match spec.network.as_str() {
            BUILTIN_BRIDGE => self.default_network(),
            "host" => Err(refuse("host", "a namespace is not the host's")),
            "none" => Err(refuse("none", "it has no endpoints")),
            text => self
                .find_network(text)?
                .ok_or_else(|| Error::NetworkNotFound(text.to_owned())),
        }
    }

    /// Makes the endpoint. The caller holds the sandbox.
    pub(super) fn join(
        &mut self,
        network: &Network,
        sandbox: &Sandbox,
        namespace: &NetNs,
        spec: &ConnectSpec,
    ) -> Result<Endpoint, Error> {
        let mut inside = Netlink::open_in(namespace)?;
        let interfaces = netlink::links(&mut inside)?
            .into_iter()
            .map(|link| link.name)
            .collect();
        let plan = Plan {
            id: random_id()?,
            random: random_bytes()?,
            network: &network.id,
            sandbox,
            interfaces,
            slots: bpf::endpoints_max()?.unwrap_or(self.config.maps.endpoints.get()),
            spec,
        };
        let endpoint = self.store.write(|rows| plan.insert(rows))?;
        fault::step();
        let joined = self
            .ensure_endpoint(network, &endpoint, namespace, &mut inside)
            .and_then(|()| {
                self.check_unserved(&endpoint)?;
                fault::step();
                self.refresh_names(&endpoint)?;
                fault::step();
                Ok(self
                    .store
                    .write(|rows| rows.set_endpoint_state(&endpoint.id, State::Ready))?)
            });
        match joined {
            Ok(()) => Ok(Endpoint {
                state: State::Ready,
                ..endpoint
            }),
            Err(cause) => Err(cause.undone(self.remove_endpoint(network, &endpoint.id))),
        }
    }

    /// Removes an endpoint, row and all; the row goes last, so that whoever comes after a crash
    /// knows what is left to do. The caller holds the sandbox.
    pub(super) fn remove_endpoint(&mut self, network: &Network, id: &Id) -> Result<(), Error> {
        let endpoint = self.store.write(|rows| -> Result<_, Error> {
            rows.set_endpoint_state(id, State::Deleting)?;
            Ok(rows.endpoint(id)?)
        })?;
        let Some(endpoint) = endpoint else {
            return Ok(());
        };
        fault::step();
        let mut errors = Errors::default();
        errors.note(self.ensure_endpoint_absent(network, &endpoint));
        fault::step();
        errors.note(self.hand_over_default_routes(&endpoint.sandbox));
        fault::step();
        errors.note(self.refresh_names(&endpoint));
        errors.into_result()?;
        fault::step();
        Ok(self.store.write(|rows| rows.delete_endpoint(id))?)
    }
}

/// What is decided before the transaction.
struct Plan<'a> {
    id: Id,
    random: [u8; 3],
    network: &'a Id,
    sandbox: &'a Sandbox,
    /// Names of the interfaces in the sandbox.
    interfaces: BTreeSet<String>,
    /// Endpoints that the maps have room for.
    slots: u32,
    spec: &'a ConnectSpec,
}

impl Plan<'_> {
    fn insert(&self, rows: Rows<'_>) -> Result<Endpoint, Error> {
        let network = rows
            .network(self.network)?
            .filter(|network| network.state == State::Ready)
            .ok_or_else(|| Error::NetworkNotFound(self.spec.network.clone()))?;
        let others = rows.endpoints_of_network(&network.id)?;
        let name = self.name(&network, &others)?;
        if others.len() >= BRIDGE_PORTS_MAX {
            return Err(Error::NetworkFull(network.name.to_string()));
        }
        let slot = rows.free_slot(self.slots).map_err(|error| match error {
            StoreError::Full { limit, .. } => Error::HostFull(limit),
            error => error.into(),
        })?;
        let endpoint = Endpoint {
            id: self.id.clone(),
            network: network.id.clone(),
            sandbox: self.sandbox.id.clone(),
            aliases: self.aliases(rows, &network, &name)?,
            name,
            state: State::Creating,
            slot,
            mac: self.mac(&network, &others, slot)?,
            interface: self.interface(rows, &network)?,
            ifindex: None,
            trusted: self.spec.trusted,
            links: self.links(&network, &others)?,
            addresses: self.addresses(rows, &network, &others)?,
        };
        rows.insert_endpoint(&endpoint)?;
        let [high, low, _] = self.random;
        let random = u16::from_be_bytes([high, low]);
        publish::insert(rows, &network, &endpoint, &self.spec.publish, random)?;
        Ok(endpoint)
    }

    fn name(&self, network: &Network, others: &[Endpoint]) -> Result<EndpointName, Error> {
        let sandbox = || self.spec.sandbox.to_string();
        if others.iter().any(|other| other.sandbox == self.sandbox.id) {
            let network = network.name.to_string();
            return Err(Error::AlreadyConnected {
                sandbox: sandbox(),
                network,
            });
        }
        let name = match &self.spec.name {
            Some(name) => name.clone(),
            None => self
                .spec
                .sandbox
                .default_endpoint_name()
                .ok_or_else(|| Error::NoName(sandbox()))?,
        };
        if others.iter().any(|other| other.name == name) {
            let network = network.name.to_string();
            return Err(Error::NameTaken {
                name: name.to_string(),
                network,
            });
        }
        Ok(name)
    }

    /// Those given; where names are told, a run is also known by the first digits of its id, as Docker's
    /// containers are.
    fn aliases(
        &self,
        rows: Rows<'_>,
        network: &Network,
        name: &EndpointName,
    ) -> Result<Vec<EndpointName>, Error> {
        let mut aliases = self.spec.aliases.clone();
        if !aliases.is_empty() && !network.tells_names() {
            return Err(RunError::NobodyTells(network.name.to_string()).into());
        }
        let run = rows.run(&self.sandbox.id)?;
        if let Some(run) = run.filter(|_| network.tells_names()) {
            let short = run.id.short().parse()?;
            if short != *name && !aliases.contains(&short) {
                aliases.push(short);
            }
        }
        Ok(aliases)
    }

    /// Those given. On the default network nobody has a name for others but by a link: it is to the
    /// sandbox that has the name now. On user-defined ones it is to whoever has the name.
    fn links(&self, network: &Network, others: &[Endpoint]) -> Result<Vec<EndpointLink>, Error> {
        let mut links: Vec<EndpointLink> = Vec::new();
        for link in &self.spec.links {
            let mut link = link.clone();
            if network.is_default() {
                let mut there = others.iter().filter(|other| other.state != State::Deleting);
                let target = there.find(|other| link.is_to(other));
                let target = target.ok_or_else(|| Error::LinkTarget {
                    target: link.target.to_string(),
                    network: network.name.to_string(),
                })?;
                link.sandbox = Some(target.sandbox.clone());
            }
            if links.iter().any(|l| l.alias == link.alias && *l != link) {
                return Err(Error::LinkTwice(link.alias.to_string()));
            }
            links.push(link);
        }
        links.dedup();
        Ok(links)
    }

    fn mac(&self, network: &Network, others: &[Endpoint], slot: u16) -> Result<MacAddress, Error> {
        let mac = self
            .spec
            .mac
            .unwrap_or_else(|| MacAddress::assigned(self.random, slot));
        if mac == network.bridge_mac || others.iter().any(|other| other.mac == mac) {
            return Err(Error::MacTaken {
                mac,
                network: network.name.to_string(),
            });
        }
        Ok(mac)
    }

    fn interface(&self, rows: Rows<'_>, network: &Network) -> Result<InterfaceName, Error> {
        let mut taken = self.interfaces.clone();
        let own = rows.endpoints_in_sandbox(&self.sandbox.id)?;
        taken.extend(own.iter().map(|endpoint| endpoint.interface.to_string()));
        if let Some(interface) = &self.spec.interface {
            if taken.contains(interface.as_str()) {
                return Err(Error::InterfaceTaken {
                    interface: interface.to_string(),
                    sandbox: self.spec.sandbox.to_string(),
                });
            }
            return Ok(interface.clone());
        }
        let prefix = &network.options.interface_prefix;
        let free = (0..=taken.len())
            .map(|n| format!("{prefix}{n}"))
            .find(|n| !taken.contains(n));
        Ok(free
            .expect("one more name than there are taken ones")
            .parse()?)
    }

    fn addresses(
        &self,
        rows: Rows<'_>,
        network: &Network,
        others: &[Endpoint],
    ) -> Result<Vec<IpNet>, Error> {
        for &address in &self.spec.addresses {
            let Some(pool) = network.pool_of(address) else {
                return Err(Error::AddressOutside {
                    address,
                    network: network.name.to_string(),
                });
            };
            pool.check_endpoint_address(address)?;
        }
        let leases = rows.leases(&network.id)?;
        let mut addresses = Vec::new();
        for pool in &network.pools {
            let fixed = self
                .spec
                .addresses
                .iter()
                .find(|a| pool.subnet().contains(*a));
            let address = if let Some(&address) = fixed {
                check_untaken(network, pool, others, address)?;
                address
            } else {
                let mut taken = leases.clone();
                taken.insert(pool.gateway());
                taken.extend(pool.aux_addresses().values());
                let ipv6 = pool.subnet().addr().is_ipv6();
                let last = rows.last_address(&network.id, ipv6)?;
                let next = ipam::next_address(pool, &taken, last);
                let address = next.ok_or_else(|| Error::NoAddressLeft {
                    range: pool.ip_range().unwrap_or(pool.subnet()),
                    network: network.name.to_string(),
                })?;
                rows.set_last_address(&network.id, address)?;
                address
            };
            addresses.push(pool.cidr(address));
        }
        Ok(addresses)
    }
}

fn check_untaken(
    network: &Network,
    pool: &Pool,
    others: &[Endpoint],
    address: IpAddr,
) -> Result<(), Error> {
    let by = if address == pool.gateway() {
        Some("the gateway".to_owned())
    } else if let Some((name, _)) = pool.aux_addresses().iter().find(|(_, a)| **a == address) {
        Some(format!("aux-address {name}"))
    } else {
        let has = |other: &&Endpoint| other.addresses.iter().any(|a| a.addr() == address);
        others
            .iter()
            .find(has)
            .map(|other| format!("endpoint {}", other.name))
    };
    match by {
        Some(by) => Err(Error::AddressTaken {
            address,
            network: network.name.to_string(),
            by,
        }),
        None => Ok(()),
    }
}
