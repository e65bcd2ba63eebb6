//! An endpoint's kernel side: its veth pair, bridge port, program, FDB entries and addresses.
//!
//! No port is ever unchecked, and none a black hole:
//!
//! ```text
//! attach:  port in the maps -> programs -> master, port flags -> legs up -> reachable -> announced -> published
//! detach:  unpublished -> unreachable -> veth pair -> connections -> link pins -> port out of the maps
//! ```

use std::net::IpAddr;

use ipnet::IpNet;

use super::error::{Errors, chain};
use super::{Context, Error};
use crate::fault;
use crate::kernel::bpf::Port;
use crate::kernel::netlink::{self, Link, Netlink, NetlinkError, PortFlags, VethSpec};
use crate::kernel::netns::NetNs;
use crate::kernel::sysctl;
use crate::kernel::{conntrack, features};
use crate::model::{Datapath, Endpoint, Id, Network};

impl Context {
    /// Makes the kernel be as the row says. The caller holds the sandbox; `inside` speaks with the
    /// kernel about `namespace`.
    pub(super) fn ensure_endpoint(
        &mut self,
        network: &Network,
        endpoint: &Endpoint,
        namespace: &NetNs,
        inside: &mut Netlink,
    ) -> Result<(), Error> {
        let (host_leg, leg) = self.ensure_veth(network, endpoint, namespace, inside)?;
        self.note_host_leg(endpoint, host_leg.index)?;
        let ipv6 = endpoint.address(true).is_some();
        sysctl::prepare_container_leg(namespace, &leg.name, ipv6)?;
        if network.datapath == Datapath::Xdp {
            features::prepare_for_xdp(namespace, &leg.name)?;
            fault::step();
        }
        for address in &endpoint.addresses {
            netlink::ensure_address(inside, leg.index, *address)?;
            fault::step();
        }
        let port = self.ensure_port(network, endpoint, host_leg.index)?;
        netlink::set_up(inside, leg.index)?;
        fault::step();
        self.ensure_default_routes(&endpoint.sandbox, inside)?;
        fault::step();
        netlink::await_forwarding(&mut self.netlink, host_leg.index)?;
        self.data_plane()?.ensure_reachable(host_leg.index, &port)?;
        if !leg.up {
            fault::step();
            netlink::announce(inside, leg.index, endpoint.mac.bytes())?;
        }
        self.ensure_published(endpoint)
    }

    /// The pair, made in one request, so that there is never half of one; gives both legs. A
    /// container leg under another name is still the endpoint's; one that was moved into another
    /// namespace is not, and the pair is made anew.
    fn ensure_veth(
        &mut self,
        network: &Network,
        endpoint: &Endpoint,
        namespace: &NetNs,
        inside: &mut Netlink,
    ) -> Result<(Link, Link), Error> {
        let name = endpoint.host_leg();
        for host_leg in self.host_legs(endpoint)? {
            let is_right = host_leg.name == name.as_str();
            if is_right && let Some(leg) = container_leg(inside, &host_leg)? {
                netlink::ensure_mtu(&mut self.netlink, &host_leg, network.options.mtu)?;
                return Ok((host_leg, leg));
            }
            netlink::delete_link_at(&mut self.netlink, host_leg.index)?;
            fault::step();
        }
        netlink::create_veth(
            &mut self.netlink,
            &VethSpec {
                host_leg: name.as_str(),
                container_leg: endpoint.interface.as_str(),
                mac: endpoint.mac.bytes(),
                mtu: network.options.mtu,
                netns: namespace,
            },
        )?;
        fault::step();
        Ok((
            netlink::existing_link(&mut self.netlink, name.as_str())?,
            netlink::existing_link(inside, endpoint.interface.as_str())?,
        ))
    }

    /// The endpoint's host leg, by its name and by its index: it may have been renamed, and another
    /// link be called so.
    fn host_legs(&mut self, endpoint: &Endpoint) -> Result<Vec<Link>, NetlinkError> {
        let mut legs = Vec::new();
        legs.extend(netlink::link(
            &mut self.netlink,
            endpoint.host_leg().as_str(),
        )?);
        if let Some(index) = endpoint.ifindex {
            let link = netlink::link_at(&mut self.netlink, index)?;
            legs.extend(link.filter(|link| link.kind.as_deref() == Some("veth")));
        }
        legs.dedup_by_key(|leg| leg.index);
        Ok(legs)
    }

    /// Writes down the host leg's index. Another one than before means that the pair was made
    /// anew: what the maps hold of the old one is void.
    fn note_host_leg(&mut self, endpoint: &Endpoint, ifindex: u32) -> Result<(), Error> {
        if endpoint.ifindex == Some(ifindex) {
            return Ok(());
        }
        if let Some(old) = endpoint.ifindex {
            self.data_plane()?.ensure_port_absent(old, endpoint.slot)?;
        }
        self.data_plane()?.reset_counters(endpoint.slot)?;
        self.store
            .write(|rows| rows.set_ifindex(&endpoint.id, ifindex))?;
        fault::step();
        Ok(())
    }

    fn ensure_port(
        &mut self,
        network: &Network,
        endpoint: &Endpoint,
        ifindex: u32,
    ) -> Result<Port, Error> {
        let host_leg = endpoint.host_leg();
        let bridge = netlink::existing_link(&mut self.netlink, network.bridge.as_str())?;
        let published = self.store.rows().published_range(&endpoint.id)?;
        let port = Port {
            bridge: bridge.index,
            flows: published.is_some() && network.has_flows(),
            published: published.unwrap_or_default(),
            ..port_of(network, endpoint)
        };
        let data_plane = self.data_plane()?;
        data_plane.ensure_port(ifindex, &port)?;
        fault::step();
        data_plane.ensure_attached(endpoint.id.as_str(), host_leg.as_str())?;
        fault::step();
        if network.datapath == Datapath::Xdp {
            data_plane.ensure_xdp_attached(endpoint.id.as_str(), ifindex)?;
            fault::step();
        }
        let flags = PortFlags {
            isolated: !network.options.icc,
            locked: !port.trusted,
        };
        netlink::ensure_port(&mut self.netlink, ifindex, bridge.index, flags)?;
        fault::step();
        netlink::set_up(&mut self.netlink, ifindex)?;
        fault::step();
        netlink::ensure_static_fdb_entry(&mut self.netlink, ifindex, endpoint.mac.bytes())?;
        fault::step();
        Ok(port)
    }

    /// Makes the endpoint gone from the kernel. Goes on after an error.
    pub(super) fn ensure_endpoint_absent(
        &mut self,
        network: &Network,
        endpoint: &Endpoint,
    ) -> Result<(), Error> {
        let mut errors = Errors::default();
        errors.note(self.ensure_unpublished(endpoint));
        fault::step();
        if let Some(Some(data_plane)) = errors.note(self.pinned_data_plane()) {
            errors.note(data_plane.ensure_unreachable(&port_of(network, endpoint)));
            fault::step();
        }
        for leg in errors.note(self.host_legs(endpoint)).unwrap_or_default() {
            errors.note(netlink::delete_link_at(&mut self.netlink, leg.index));
            fault::step();
        }
        conntrack::forget_endpoint(endpoint.addresses.iter().map(IpNet::addr));
        fault::step();
        if let Some(data_plane) = &mut self.data_plane {
            errors.note(data_plane.ensure_detached(endpoint.id.as_str()));
            fault::step();
            if let Some(ifindex) = endpoint.ifindex {
                errors.note(data_plane.ensure_port_absent(ifindex, endpoint.slot));
            }
        }
        errors.into_result()
    }

    /// Each family's default route goes by the oldest endpoint that leads outside, unless the
    /// namespace has a default route already. Where the sandbox took the way to the gateway away,
    /// the next one is tried, and it is told of: a sandbox holds nobody up.
    pub(super) fn ensure_default_routes(
        &mut self,
        sandbox: &Id,
        inside: &mut Netlink,
    ) -> Result<(), Error> {
        let endpoints = self.store.rows().endpoints_in_sandbox(sandbox)?;
        for ipv6 in [false, true] {
            if netlink::default_route(inside, ipv6)?.is_some() {
                continue;
            }
            for endpoint in &endpoints {
                let Some(network) = self.store.rows().network(&endpoint.network)? else {
                    continue;
                };
                let gateway = endpoint.address(ipv6).and_then(|a| network.pool_of(a));
                let leg = self.leg_of(endpoint, inside)?.filter(|leg| leg.up);
                if let (false, Some(pool), Some(leg)) = (network.internal, gateway, leg) {
                    match netlink::ensure_default_route(inside, leg.index, pool.gateway()) {
                        Ok(()) => break,
                        Err(error) => tracing::warn!("warning: {}", chain(&error)),
                    }
                }
            }
        }
        Ok(())
    }

    fn leg_of(
        &mut self,
        endpoint: &Endpoint,
        inside: &mut Netlink,
    ) -> Result<Option<Link>, NetlinkError> {
        match netlink::link(&mut self.netlink, endpoint.host_leg().as_str())? {
            Some(host_leg) => container_leg(inside, &host_leg),
            None => Ok(None),
        }
    }
}

/// What the program should know of an endpoint, but for the index of the bridge and what it publishes.
fn port_of(network: &Network, endpoint: &Endpoint) -> Port {
    let address = |ipv6| endpoint.address(ipv6);
    Port {
        network: network.number,
        slot: endpoint.slot,
        icc: network.options.icc,
        redirect: network.datapath != Datapath::Off,
        internal: network.internal,
        trusted: endpoint.trusted || !network.options.port_security,
        flows: false,
        asks_for_flows: network.asks_for_flows(),
        published: [0; 2],
        mac: endpoint.mac.bytes(),
        gateway_mac: network.bridge_mac.bytes(),
        bridge: 0,
        ipv4: address(false).and_then(|ip| {
            if let IpAddr::V4(v4) = ip {
                Some(v4)
            } else {
                None
            }
        }),
        ipv6: address(true).and_then(|ip| {
            if let IpAddr::V6(v6) = ip {
                Some(v6)
            } else {
                None
            }
        }),
        storm_pps: network.options.storm_pps,
    }
}

/// The leg in the sandbox, by what the two legs say of each other: its name is the sandbox's to
/// change.
fn container_leg(inside: &mut Netlink, host_leg: &Link) -> Result<Option<Link>, NetlinkError> {
    let Some(index) = host_leg.peer else {
        return Ok(None);
    };
    let leg = netlink::link_at(inside, index)?;
    Ok(leg.filter(|leg| leg.kind.as_deref() == Some("veth") && leg.peer == Some(host_leg.index)))
}
