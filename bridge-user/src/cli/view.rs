//! What lists and details print of networks: stable shapes, Docker's own.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::publish::{PortMap, port_map};
use crate::kernel::bpf::Hook;
use crate::model::{Driver, Network, Pool};
use crate::ops::{NetworkDetails, NetworkSummary, SandboxEndpoint};

/// A line of `net ls`, as `docker network ls --format json` prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkRow {
    created_at: String,
    pub(super) driver: &'static str,
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "IPv6")]
    ipv6: String,
    internal: String,
    labels: String,
    pub(super) name: String,
    scope: &'static str,
}

impl NetworkRow {
    pub(super) fn new(summary: &NetworkSummary, whole_id: bool) -> Self {
        let network = summary.network.as_ref();
        let id = if whole_id {
            summary.id.as_str()
        } else {
            summary.id.short()
        };
        let labels = network.map(|network| {
            let labels = network
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"));
            labels.collect::<Vec<_>>().join(",")
        });
        Self {
            created_at: summary.created().map(rfc3339).unwrap_or_default(),
            driver: summary.driver.as_str(),
            id: id.into(),
            ipv6: network.is_some_and(Network::ipv6).to_string(),
            internal: network.is_some_and(|network| network.internal).to_string(),
            labels: labels.unwrap_or_default(),
            name: summary.name.clone(),
            scope: "local",
        }
    }
}

/// An element of `net inspect`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkView {
    pub(super) name: String,
    id: String,
    created: String,
    scope: &'static str,
    driver: &'static str,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: IpamView,
    internal: bool,
    containers: BTreeMap<String, ContainerView>,
    options: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge_user: Option<BridgeUserView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct IpamView {
    driver: &'static str,
    options: BTreeMap<String, String>,
    config: Vec<PoolView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PoolView {
    subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "Option::is_none")]
    ip_range: Option<String>,
    gateway: String,
    #[serde(
        rename = "AuxiliaryAddresses",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    aux: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerView {
    name: String,
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: String,
    /// The sandbox as the user named it.
    sandbox: String,
    interface: String,
    host_leg: String,
    ports: PortMap,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct BridgeUserView {
    /// The network's number in the BPF maps.
    index: u16,
    bridge: String,
    datapath: &'static str,
    attached: &'static str,
    #[serde(rename = "ICC")]
    icc: bool,
    #[serde(rename = "MTU")]
    mtu: u32,
}

impl NetworkView {
    pub(super) fn new(details: &NetworkDetails) -> Self {
        let summary = &details.summary;
        let network = summary.network.as_ref();
        let config = network.map(|n| n.pools.iter().map(PoolView::new).collect());
        let containers = details.endpoints.iter();
        Self {
            name: summary.name.clone(),
            id: summary.id.to_string(),
            created: summary.created().map(rfc3339).unwrap_or_default(),
            scope: "local",
            driver: summary.driver.as_str(),
            enable_ipv6: network.is_some_and(Network::ipv6),
            ipam: IpamView {
                driver: if summary.driver == Driver::Bridge {
                    "default"
                } else {
                    "null"
                },
                options: BTreeMap::new(),
                config: config.unwrap_or_default(),
            },
            internal: network.is_some_and(|network| network.internal),
            containers: containers
                .map(|e| (e.sandbox.id.to_string(), ContainerView::new(e)))
                .collect(),
            options: network.map(|n| n.raw_options.clone()).unwrap_or_default(),
            labels: network.map(|n| n.labels.clone()).unwrap_or_default(),
            bridge_user: network.map(|network| BridgeUserView {
                index: network.number,
                bridge: network.bridge.to_string(),
                datapath: network.datapath.as_str(),
                attached: details.attached.map_or("none", Hook::as_str),
                icc: network.options.icc,
                mtu: network.options.mtu,
            }),
        }
    }
}

impl PoolView {
    fn new(pool: &Pool) -> Self {
        let aux = pool.aux_addresses().iter();
        Self {
            subnet: pool.subnet().to_string(),
            ip_range: pool.ip_range().map(|range| range.to_string()),
            gateway: pool.gateway().to_string(),
            aux: aux
                .map(|(name, address)| (name.clone(), address.to_string()))
                .collect(),
        }
    }
}

impl ContainerView {
    fn new(of: &SandboxEndpoint) -> Self {
        let SandboxEndpoint {
            endpoint,
            sandbox,
            publications,
        } = of;
        let address = |ipv6| endpoint.cidr(ipv6).map(|cidr| cidr.to_string());
        Self {
            name: endpoint.name.to_string(),
            endpoint_id: endpoint.id.to_string(),
            mac_address: endpoint.mac.to_string(),
            ipv4_address: address(false).unwrap_or_default(),
            ipv6_address: address(true).unwrap_or_default(),
            sandbox: sandbox.reference.to_string(),
            interface: endpoint.interface.to_string(),
            host_leg: endpoint.host_leg().to_string(),
            ports: port_map(&[], publications),
        }
    }
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_nanos(time).to_string()
}
