//! Creating a network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use ipnet::IpNet;

use super::lock::Object;
use super::{Context, Error, random_bytes, random_id};
use crate::fault;
use crate::ipam::{self, AddressPools};
use crate::kernel::netlink::{self, Route};
use crate::kernel::{nft, sysctl};
use crate::model::{
    BUILTIN_BRIDGE, Datapath, Driver, Id, InterfaceName, MacAddress, Network, NetworkName, Options,
    Pool, State,
};
use crate::store::Rows;

/// Smallest MTU of a link with IPv6 (RFC 8200, section 5).
const IPV6_MTU_MIN: u32 = 1280;

/// A network as a user asks for it.
#[derive(Debug, Clone)]
pub struct CreateSpec {
    /// Its name.
    pub name: NetworkName,
    /// How endpoints are joined.
    pub driver: Driver,
    /// Subnets, at most one a family; IPv4 is chosen where none is given.
    pub subnets: Vec<IpNet>,
    /// Gateways, each in one of the subnets.
    pub gateways: Vec<IpAddr>,
    /// Ranges for automatic addresses, each in one of the subnets.
    pub ip_ranges: Vec<IpNet>,
    /// Reserved addresses by name.
    pub aux_addresses: Vec<(String, IpAddr)>,
    /// Choose an IPv6 subnet where none is given.
    pub ipv6: bool,
    /// No default route, nothing to or from other networks.
    pub internal: bool,
    /// Which program forwards.
    pub datapath: Datapath,
    /// Driver options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl CreateSpec {
    /// A network with everything left to be chosen.
    pub fn new(name: NetworkName) -> Self {
        Self {
            name,
            driver: Driver::Bridge,
            subnets: Vec::new(),
            gateways: Vec::new(),
            ip_ranges: Vec::new(),
            aux_addresses: Vec::new(),
            ipv6: false,
            internal: false,
            datapath: Datapath::Tc,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

impl Context {
    /// Creates a network.
    pub fn create_network(&mut self, spec: &CreateSpec) -> Result<Network, Error> {
        match spec.driver {
            Driver::Bridge => {}
            Driver::Host => return Err(Error::OnlyOne("host")),
            Driver::None => return Err(Error::OnlyOne("null")),
        }
        if [BUILTIN_BRIDGE, "host", "none", "default"].contains(&spec.name.as_str()) {
            return Err(Error::ReservedName(spec.name.to_string()));
        }
        self.create(spec)
    }

    /// The default network, made when it is not there yet.
    pub(super) fn default_network(&mut self) -> Result<Network, Error> {
        let name: NetworkName = BUILTIN_BRIDGE.parse()?;
        let spec = CreateSpec {
            options: self.config.networks.default_network_options.raw().clone(),
            ..CreateSpec::new(name.clone())
        };
        loop {
            match self.store.rows().network_named(name.as_str())? {
                Some(network) if network.state == State::Ready => return Ok(network),
                // Another command is making it: wait until it is done, or finish its crash.
                Some(network) => self.reconcile_network(&network.id, true)?,
                None => match self.create(&spec) {
                    Err(Error::NetworkExists(_)) => {}
                    made => return made,
                },
            }
        }
    }

    fn create(&mut self, spec: &CreateSpec) -> Result<Network, Error> {
        let plan = Plan::new(self, spec)?;
        let _lock = self.lock(Object::Id(&plan.id))?;
        let network = self.store.write(|rows| plan.insert(rows))?;
        fault::step();
        let made = self.ensure_network(&network).and_then(|()| {
            fault::step();
            Ok(self
                .store
                .write(|rows| rows.set_network_state(&network.id, State::Ready))?)
        });
        match made {
            Ok(()) => Ok(Network {
                state: State::Ready,
                ..network
            }),
            Err(cause) => Err(cause.undone(self.finish_removal(&network))),
        }
    }
}

/// What is decided before the transaction: everything but what other networks' rows say.
struct Plan<'a> {
    spec: &'a CreateSpec,
    options: Options,
    id: Id,
    bridge: InterfaceName,
    bridge_mac: MacAddress,
    routes: Vec<Route>,
    pools: AddressPools,
}

impl<'a> Plan<'a> {
    fn new(context: &mut Context, spec: &'a CreateSpec) -> Result<Self, Error> {
        let options = Options::parse(&spec.options)?;
        // Without it neither making nor undoing gets anywhere.
        nft::check_tool()?;
        let wants_ipv6 = spec.ipv6 || spec.subnets.iter().any(|s| s.addr().is_ipv6());
        if wants_ipv6 && !sysctl::ipv6_available() {
            return Err(Error::NoIpv6(spec.name.to_string()));
        }
        if wants_ipv6 && options.mtu < IPV6_MTU_MIN {
            return Err(Error::MtuForIpv6(options.mtu));
        }
        options.gateways.check_network(spec.internal, wants_ipv6)?;
        options.check_publish(spec.internal, spec.datapath)?;
        let id = match spec.name.as_str() {
            BUILTIN_BRIDGE => context.store.rows().builtin_id(BUILTIN_BRIDGE)?,
            _ => random_id()?,
        };
        let bridge = match &options.bridge_name {
            Some(name) => name.clone(),
            None => Network::bridge_name(&spec.name, &id),
        };
        if netlink::link(&mut context.netlink, bridge.as_str())?.is_some() {
            return Err(Error::BridgeTaken(bridge.to_string()));
        }
        Ok(Self {
            spec,
            pools: context.address_pools()?,
            options,
            id,
            bridge,
            bridge_mac: MacAddress::local(random_bytes()?),
            routes: netlink::routes(&mut context.netlink)?,
        })
    }

    fn insert(&self, rows: Rows<'_>) -> Result<Network, Error> {
        let spec = self.spec;
        let others = rows.networks()?;
        if others.iter().any(|other| other.name == spec.name) {
            return Err(Error::NetworkExists(spec.name.to_string()));
        }
        if others.iter().any(|other| other.bridge == self.bridge) {
            return Err(Error::BridgeTaken(self.bridge.to_string()));
        }
        let number = rows.free_network_number()?;
        let subnets = self.subnets(rows, &others, number)?;
        let network = Network {
            id: self.id.clone(),
            name: spec.name.clone(),
            number,
            state: State::Creating,
            created: SystemTime::now(),
            bridge: self.bridge.clone(),
            bridge_mac: self.bridge_mac,
            internal: spec.internal,
            datapath: spec.datapath,
            pools: pools(spec, &subnets)?,
            raw_options: spec.options.clone(),
            options: self.options.clone(),
            labels: spec.labels.clone(),
        };
        rows.insert_network(&network)?;
        Ok(network)
    }

    /// The subnets given, checked, and the ones chosen; IPv4 first.
    fn subnets(
        &self,
        rows: Rows<'_>,
        others: &[Network],
        number: u16,
    ) -> Result<Vec<IpNet>, Error> {
        let routes = || {
            self.routes
                .iter()
                .map(|r| r.destination)
                .filter(|d| d.prefix_len() > 0)
        };
        let mut subnets = self.spec.subnets.clone();
        subnets.sort_by_key(|subnet| subnet.addr().is_ipv6());
        for (ipv6, family) in [(false, "IPv4"), (true, "IPv6")] {
            if subnets
                .iter()
                .filter(|s| s.addr().is_ipv6() == ipv6)
                .count()
                > 1
            {
                return Err(Error::TwoSubnets(family));
            }
        }
        for &subnet in &subnets {
            check_free(subnet, others, routes())?;
        }
        if !subnets.iter().any(|s| s.addr().is_ipv4()) {
            let taken = others.iter().flat_map(|n| n.pools.iter().map(Pool::subnet));
            let used: Vec<IpNet> = taken.chain(routes()).collect();
            let subnet = self.pools.first_free(&used);
            let none_left = || Error::NoSubnetLeft(self.pools.to_string());
            subnets.insert(0, subnet.ok_or_else(none_left)?);
        }
        if self.spec.ipv6 && subnets.len() == 1 {
            let subnet = ipam::ula_subnet(rows.ula_global_id()?, number);
            check_free(subnet, others, routes())?;
            subnets.push(subnet);
        }
        Ok(subnets)
    }
}

fn check_free(
    subnet: IpNet,
    others: &[Network],
    mut routes: impl Iterator<Item = IpNet>,
) -> Result<(), Error> {
    for network in others {
        if let Some(pool) = network
            .pools
            .iter()
            .find(|p| ipam::overlap(p.subnet(), subnet))
        {
            let network = network.name.to_string();
            return Err(Error::SubnetOfNetwork {
                subnet,
                other: pool.subnet(),
                network,
            });
        }
    }
    match routes.find(|route| ipam::overlap(*route, subnet)) {
        Some(route) => Err(Error::SubnetOfRoute { subnet, route }),
        None => Ok(()),
    }
}

/// One pool a subnet, with the gateway, range and reserved addresses that lie in it.
fn pools(spec: &CreateSpec, subnets: &[IpNet]) -> Result<Vec<Pool>, Error> {
    let home = |what: &dyn Fn() -> String, address: IpAddr, text: String| {
        subnets
            .iter()
            .position(|subnet| subnet.contains(&address))
            .ok_or_else(|| Error::NoSubnetFor {
                what: what(),
                address: text,
            })
    };
    let mut gateways = vec![None; subnets.len()];
    for &gateway in &spec.gateways {
        let at = home(&|| "gateway".into(), gateway, gateway.to_string())?;
        if gateways[at].replace(gateway).is_some() {
            return Err(Error::Twice {
                what: "gateway",
                subnet: subnets[at],
            });
        }
    }
    let mut ranges = vec![None; subnets.len()];
    for &range in &spec.ip_ranges {
        let at = home(&|| "ip-range".into(), range.network(), range.to_string())?;
        if ranges[at].replace(range).is_some() {
            return Err(Error::Twice {
                what: "ip-range",
                subnet: subnets[at],
            });
        }
    }
    let mut aux = vec![BTreeMap::new(); subnets.len()];
    for (name, address) in &spec.aux_addresses {
        let at = home(
            &|| format!("aux-address {name}"),
            *address,
            address.to_string(),
        )?;
        if aux[at].insert(name.clone(), *address).is_some() {
            return Err(Error::AuxTwice(name.clone()));
        }
    }
    let parts = subnets.iter().zip(gateways).zip(ranges).zip(aux);
    parts
        .map(|(((subnet, gateway), range), aux)| Ok(Pool::new(*subnet, gateway, range, aux)?))
        .collect()
}
