//! A network's kernel side: its bridge, with the gateway addresses, and its place in what all share.

use super::error::Errors;
use super::{Context, Error};
use crate::fault;
use crate::kernel::bpf::{self, NetworkFacts, SubnetFacts};
use crate::kernel::netlink::{self, BridgeSpec};
use crate::kernel::sysctl;
use crate::model::{Network, State};

impl Context {
    /// Makes the bridge be as the row says. The firewall comes before it: no frame is routed
    /// unchecked.
    pub(super) fn ensure_network(&mut self, network: &Network) -> Result<(), Error> {
        self.ensure_shared(None)?;
        fault::step();
        self.data_plane()?.ensure_network(&facts_of(network))?;
        fault::step();
        let bridge = netlink::ensure_bridge(
            &mut self.netlink,
            &BridgeSpec {
                name: network.bridge.as_str(),
                mac: network.bridge_mac.bytes(),
                mtu: network.options.mtu,
            },
        )?;
        fault::step();
        sysctl::prepare_bridge(network.bridge.as_str(), network.ipv6())?;
        for gateway in network.bridge_addresses() {
            netlink::ensure_address(&mut self.netlink, bridge, gateway)?;
            fault::step();
        }
        let name = network.bridge.as_str();
        self.data_plane()?
            .ensure_bridge_attached(network.id.as_str(), name)?;
        fault::step();
        netlink::set_up(&mut self.netlink, bridge)?;
        Ok(())
    }

    /// Makes the bridge gone, and the network's rules. Goes on after an error.
    pub(super) fn ensure_network_absent(&mut self, network: &Network) -> Result<(), Error> {
        let mut errors = Errors::default();
        errors.note(netlink::delete_bridge(
            &mut self.netlink,
            network.bridge.as_str(),
        ));
        fault::step();
        errors.note(bpf::ensure_bridge_detached(network.id.as_str()));
        fault::step();
        errors.note(self.ensure_shared(Some(&facts_of(network))));
        errors.into_result()
    }

    /// Removes a network that no endpoint is left in, row and all.
    pub(super) fn finish_removal(&mut self, network: &Network) -> Result<(), Error> {
        // While it is `creating`, its rules are still wanted.
        self.store
            .write(|rows| rows.set_network_state(&network.id, State::Deleting))?;
        fault::step();
        self.ensure_network_absent(network)?;
        fault::step();
        Ok(self.store.write(|rows| rows.delete_network(&network.id))?)
    }
}

/// What the program should know of a network.
fn facts_of(network: &Network) -> NetworkFacts {
    let subnets = network.pools.iter().map(|pool| {
        let inhibited = pool.subnet().addr().is_ipv4() && network.options.inhibit_ipv4;
        SubnetFacts {
            subnet: pool.subnet(),
            gateway: (!inhibited).then(|| pool.gateway()),
        }
    });
    NetworkFacts {
        number: network.number,
        gateway_mac: network.bridge_mac.bytes(),
        subnets: subnets.collect(),
    }
}
