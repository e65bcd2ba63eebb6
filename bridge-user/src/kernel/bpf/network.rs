//! Networks: what the maps `SUBNETS` and `NEIGHBOURS` say of their subnets and gateways.

use std::net::IpAddr;

use aya::maps::lpm_trie::Key;
use bridge_common::{NEIGHBOUR_GATEWAY, NeighbourEntry, SubnetEntry, SubnetKey};
use ipnet::IpNet;

use super::port::{address_of, neighbour_key};
use super::sizes::write_failed;
use super::{BpfError, DataPlane, absent_is_fine, failed};

/// What the program should know of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkFacts {
    /// Its number.
    pub number: u16,
    /// MAC address of its bridge.
    pub gateway_mac: [u8; 6],
    /// Its subnets.
    pub subnets: Vec<SubnetFacts>,
}

/// A subnet of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubnetFacts {
    /// The subnet.
    pub subnet: IpNet,
    /// The gateway, where its address is on the bridge.
    pub gateway: Option<IpAddr>,
}

impl SubnetFacts {
    fn key(&self) -> Key<SubnetKey> {
        let prefix: u32 = self.subnet.prefix_len().into();
        // 32 bits of `reserved`, and 96 that say "IPv4".
        let before = if self.subnet.addr().is_ipv4() {
            32 + 96
        } else {
            32
        };
        Key::new(
            before + prefix,
            SubnetKey {
                reserved: [0; 4],
                address: address_of(self.subnet.network()),
            },
        )
    }
}

impl DataPlane {
    /// Makes the program know a network: what is in it is isolated from the others from here on,
    /// and requests for its gateway are answered.
    pub fn ensure_network(&mut self, network: &NetworkFacts) -> Result<(), BpfError> {
        for subnet in &network.subnets {
            let gateway = subnet.gateway.map_or([0; 16], address_of);
            let entry = SubnetEntry {
                gateway,
                network: network.number,
                reserved: [0; 3],
            };
            tracing::info!("map SUBNETS: {} -> {entry:?}", subnet.subnet);
            let inserted = self.subnets.insert(&subnet.key(), entry, 0);
            inserted.map_err(write_failed("SUBNETS"))?;
            if subnet.gateway.is_some() {
                let entry = NeighbourEntry {
                    mac: network.gateway_mac,
                    flags: NEIGHBOUR_GATEWAY,
                };
                self.set_neighbour(neighbour_key(network.number, gateway), entry)?;
            }
        }
        Ok(())
    }

    /// Makes the program not know a network.
    pub fn ensure_network_absent(&mut self, network: &NetworkFacts) -> Result<(), BpfError> {
        for subnet in &network.subnets {
            if let Some(gateway) = subnet.gateway {
                let key = neighbour_key(network.number, address_of(gateway));
                self.remove_neighbour(key)?;
            }
            tracing::info!("map SUBNETS: {} -> nothing", subnet.subnet);
            absent_is_fine(self.subnets.remove(&subnet.key()))
                .map_err(failed("remove an entry of", "map SUBNETS"))?;
        }
        Ok(())
    }
}
