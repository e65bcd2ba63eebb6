//! Domain types: what a network, a sandbox and an endpoint are. No I/O: only bad input can fail
//! here, and a value that exists is valid (parse, don't validate).

mod daemon_status;
mod dns_config;
mod endpoint;
mod endpoint_link;
mod flow_links;
mod gateway;
mod hosts;
mod id;
mod log;
mod mac;
mod name;
mod network;
mod network_mode;
mod options;
mod others_rules;
mod pool;
mod ports;
mod publish;
mod publish_spec;
mod resolv;
mod run;
mod sandbox;
mod saved_sysctl;
mod sizes;

pub use daemon_status::{DAEMON_SOCKET, DaemonListener, DaemonStatus, QuestionCounts};
pub use dns_config::{DnsConfig, HostListen, ParseHostListenError};
pub use endpoint::{Endpoint, State};
pub use endpoint_link::EndpointLink;
pub use flow_links::FlowLinks;
pub use gateway::{Gateway, GatewayOptions, Source};
pub use hosts::HostsFile;
pub use id::Id;
pub use log::{LogConfig, LogError, LogFormat, LogLevel};
pub use mac::{MacAddress, ParseMacError, mac_text};
pub use name::{EndpointName, InterfaceName, NameError, NetworkName};
pub use network::{BUILTIN_BRIDGE, Datapath, Driver, Network};
pub use network_mode::{GivenOptions, NetworkMode, RunConflict};
pub use options::{NetworkOptions, OptionError, Options, PublishRoad};
pub use others_rules::OthersRules;
pub use pool::{Pool, PoolError};
pub use ports::{ExposedPorts, PortRange, PublishError};
pub use publish::{Protocol, Publication, Published};
pub use publish_spec::{PublishRequest, PublishSpec};
pub use resolv::{ParseUpstreamError, ResolvConf, Upstream};
pub use run::{AddHost, AddHostError, ProcessId, Run, RunConfig, RunState};
pub use sandbox::{NETNS_DIR, Sandbox, SandboxRef, SandboxRefError};
pub use saved_sysctl::{SavedSysctl, SysctlGroup};
pub use sizes::{
    Endpoints, EventsBytes, Flows, MapSizes, PublishedPorts, Size, SizeError, Subnets,
};
