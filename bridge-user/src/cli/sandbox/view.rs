//! What `ps` and `inspect` print of runs: stable shapes, Docker's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use super::super::publish::{PortMap, each, port_map, ports_text};
use super::super::view::rfc3339;
use super::age::since;
use crate::kernel::launch::ETC_FILES;
use crate::model::{
    AddHost, BUILTIN_BRIDGE, Endpoint, ExposedPorts, NETNS_DIR, Network, NetworkMode, Run, RunState,
};
use crate::ops::RunDetails;

/// Characters of a command that a table shows, as Docker's.
const COMMAND_SHOWN: usize = 20;

/// Exit code to show where nobody saw the command end, as containerd's.
const EXIT_UNKNOWN: u8 = 255;

/// Docker's time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// A line of `ps`, as `docker ps --format json` prints it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RunRow {
    command: String,
    created_at: String,
    #[serde(rename = "ID")]
    pub(super) id: String,
    names: String,
    networks: String,
    ports: String,
    running_for: String,
    state: &'static str,
    status: String,
}

impl RunRow {
    pub(super) fn new(details: &RunDetails, whole: bool) -> Self {
        let run = &details.run;
        let id = if whole {
            run.id.as_str()
        } else {
            run.id.short()
        };
        Self {
            command: format!("{:?}", command(run, whole)),
            created_at: rfc3339(run.created),
            id: id.into(),
            names: run.name.to_string(),
            networks: networks(details),
            ports: ports_text(shown_exposed(run), &details.publications),
            running_for: format!("{} ago", since(run.created)),
            state: state(run),
            status: status(run),
        }
    }
}

/// An element of `inspect`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RunView {
    id: String,
    created: String,
    path: String,
    args: Vec<String>,
    state: StateView,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    log_path: String,
    name: String,
    host_config: HostConfigView,
    config: ConfigView,
    network_settings: NetworkSettingsView,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StateView {
    status: &'static str,
    running: bool,
    pid: u32,
    exit_code: u8,
    error: &'static str,
    started_at: String,
    finished_at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfigView {
    network_mode: String,
    auto_remove: bool,
    dns: Vec<String>,
    extra_hosts: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigView {
    hostname: String,
    exposed_ports: BTreeMap<String, BTreeMap<String, String>>,
    cmd: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettingsView {
    #[serde(rename = "SandboxID")]
    sandbox_id: String,
    sandbox_key: String,
    ports: PortMap,
    /// Of the default network, as Docker has it for the sake of old scripts.
    #[serde(flatten)]
    default: AddressesView,
    networks: BTreeMap<String, EndpointView>,
}

#[derive(Debug, Default, Serialize)]
struct AddressesView {
    #[serde(rename = "EndpointID")]
    endpoint_id: String,
    #[serde(rename = "Gateway")]
    gateway: String,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    ipv6_address: String,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    ipv6_prefix_len: u8,
    #[serde(rename = "MacAddress")]
    mac_address: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EndpointView {
    aliases: Vec<String>,
    links: Vec<String>,
    #[serde(rename = "NetworkID")]
    network_id: String,
    #[serde(flatten)]
    addresses: AddressesView,
    interface: String,
    host_leg: String,
}

impl RunView {
    pub(super) fn new(details: &RunDetails) -> Self {
        let run = &details.run;
        let mut words = run.config.command.iter().cloned();
        let file = |name: &str| {
            let directory = run.config.files.as_deref().filter(|_| run.is_live());
            let path = directory.map(|directory| Path::new(directory).join(name));
            path.map(|path| path.display().to_string())
                .unwrap_or_default()
        };
        let [hosts, resolv_conf, hostname] = ETC_FILES.map(file);
        Self {
            id: run.id.to_string(),
            created: rfc3339(run.created),
            path: words.next().unwrap_or_default(),
            args: words.collect(),
            state: StateView::new(run),
            resolv_conf_path: resolv_conf,
            hostname_path: hostname,
            hosts_path: hosts,
            log_path: details
                .log
                .as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            name: format!("/{}", run.name),
            host_config: HostConfigView {
                network_mode: run.config.network.as_text(),
                auto_remove: run.remove,
                dns: run.config.dns.iter().map(ToString::to_string).collect(),
                extra_hosts: run.config.add_hosts.iter().map(extra_host).collect(),
            },
            config: ConfigView {
                hostname: run.config.hostname.clone(),
                // Docker's set: each port with an empty object.
                exposed_ports: each(&run.config.exposed)
                    .map(|port| (port, BTreeMap::new()))
                    .collect(),
                cmd: run.config.command.clone(),
            },
            network_settings: NetworkSettingsView::new(details),
        }
    }
}

impl StateView {
    fn new(run: &Run) -> Self {
        let time = |time: Option<SystemTime>| time.map_or_else(|| NEVER.into(), rfc3339);
        let unseen = run.state == RunState::Exited && run.exit_code.is_none();
        let running = run.state == RunState::Running;
        Self {
            status: state(run),
            running,
            pid: run.process.filter(|_| running).map_or(0, |p| p.pid),
            exit_code: if unseen {
                EXIT_UNKNOWN
            } else {
                run.exit_code.unwrap_or_default()
            },
            error: if unseen {
                "its keeper ended before it: the exit code is not known"
            } else {
                ""
            },
            started_at: time(run.started),
            finished_at: time(run.finished),
        }
    }
}

impl NetworkSettingsView {
    fn new(details: &RunDetails) -> Self {
        let run = &details.run;
        let mut networks: BTreeMap<String, EndpointView> = BTreeMap::new();
        if let NetworkMode::Networks(names) = &run.config.network
            && !run.is_live()
        {
            let none = || EndpointView::default();
            networks.extend(names.iter().map(|name| (name.clone(), none())));
        }
        let views = details.endpoints.iter();
        networks.extend(views.map(|(network, endpoint)| {
            (
                network.name.to_string(),
                EndpointView::new(network, endpoint),
            )
        }));
        let default = details
            .endpoints
            .iter()
            .find(|(network, _)| network.name.as_str() == BUILTIN_BRIDGE);
        let has_sandbox = run.has_sandbox() && run.is_live();
        Self {
            sandbox_id: if has_sandbox {
                run.id.to_string()
            } else {
                String::new()
            },
            sandbox_key: if has_sandbox {
                format!("{NETNS_DIR}/{}", run.name)
            } else {
                String::new()
            },
            ports: port_map(shown_exposed(run), &details.publications),
            default: default
                .map(|(network, endpoint)| AddressesView::new(network, endpoint))
                .unwrap_or_default(),
            networks,
        }
    }
}

impl EndpointView {
    fn new(network: &Network, endpoint: &Endpoint) -> Self {
        let links = endpoint.links.iter();
        Self {
            links: links
                .map(|link| format!("{}:{}", link.target, link.alias))
                .collect(),
            aliases: endpoint.aliases.iter().map(ToString::to_string).collect(),
            network_id: network.id.to_string(),
            addresses: AddressesView::new(network, endpoint),
            interface: endpoint.interface.to_string(),
            host_leg: endpoint.host_leg().to_string(),
        }
    }
}

impl AddressesView {
    fn new(network: &Network, endpoint: &Endpoint) -> Self {
        let address = |ipv6| {
            let address = endpoint.address(ipv6);
            address.map(|a| a.to_string()).unwrap_or_default()
        };
        let prefix = |ipv6| endpoint.cidr(ipv6).map_or(0, |cidr| cidr.prefix_len());
        let gateway = |ipv6| {
            let pool = endpoint.address(ipv6).and_then(|a| network.pool_of(a));
            let pool = pool.filter(|_| !network.internal);
            pool.map(|pool| pool.gateway().to_string())
                .unwrap_or_default()
        };
        Self {
            endpoint_id: endpoint.id.to_string(),
            gateway: gateway(false),
            ip_address: address(false),
            ip_prefix_len: prefix(false),
            ipv6_gateway: gateway(true),
            ipv6_address: address(true),
            ipv6_prefix_len: prefix(true),
            mac_address: endpoint.mac.to_string(),
        }
    }
}

/// Of one that has ended nothing is served.
fn shown_exposed(run: &Run) -> &[ExposedPorts] {
    if run.is_live() {
        &run.config.exposed
    } else {
        &[]
    }
}

fn extra_host(host: &AddHost) -> String {
    match host.address {
        Some(address) => format!("{}:{address}", host.name),
        None => format!("{}:host-gateway", host.name),
    }
}

fn command(run: &Run, whole: bool) -> String {
    let text = run.config.command.join(" ");
    if whole || text.chars().count() <= COMMAND_SHOWN {
        return text;
    }
    let mut shown: String = text.chars().take(COMMAND_SHOWN - 1).collect();
    shown.push('…');
    shown
}

fn networks(details: &RunDetails) -> String {
    let names = details.endpoints.iter();
    let names: Vec<String> = names.map(|(network, _)| network.name.to_string()).collect();
    if !names.is_empty() {
        return names.join(",");
    }
    // Of one that has ended, those it was run on.
    match &details.run.config.network {
        NetworkMode::Networks(_) if details.run.is_live() => String::new(),
        NetworkMode::Networks(names) => names.join(","),
        mode => mode.as_text(),
    }
}

fn state(run: &Run) -> &'static str {
    match run.state {
        RunState::Creating => "created",
        RunState::Running => "running",
        RunState::Stopping => "removing",
        RunState::Exited => "exited",
    }
}

fn status(run: &Run) -> String {
    let code = run
        .exit_code
        .map_or_else(|| "unknown".into(), |code| code.to_string());
    match (run.state, run.started, run.finished) {
        (RunState::Running, Some(started), _) => format!("Up {}", since(started)),
        (RunState::Stopping, ..) => "Removal In Progress".into(),
        (RunState::Exited, _, Some(finished)) => {
            format!("Exited ({code}) {} ago", since(finished))
        }
        _ => "Created".into(),
    }
}
