//! What can go wrong in an operation, in the words that a user reads.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::config::ConfigError;
use super::{NotPublished, RunError};
use crate::kernel::bpf::BpfError;
use crate::kernel::features::FeaturesError;
use crate::kernel::netlink::NetlinkError;
use crate::kernel::netns::NetNsError;
use crate::kernel::nft::NftError;
use crate::kernel::probe::ProbeError;
use crate::kernel::reserved_ports::ReservedPortsError;
use crate::kernel::sysctl::SysctlError;
use crate::model::{MacAddress, NameError, OptionError, PoolError, SandboxRefError};
use crate::store::StoreError;

/// Why an operation was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such network.
    #[error("network {0} not found")]
    NetworkNotFound(String),
    /// Several networks begin with this id.
    #[error("network id {0} is ambiguous: several networks begin with it")]
    AmbiguousId(String),
    /// The name is taken.
    #[error("network with name {0} already exists")]
    NetworkExists(String),
    /// The name is a built-in network's.
    #[error("network name {0} is reserved for a built-in network")]
    ReservedName(String),
    /// Built-in networks stay.
    #[error("{0} is a pre-defined network and cannot be removed")]
    Predefined(String),
    /// Drivers host and null have their one built-in network.
    #[error("only one instance of \"{0}\" network is allowed")]
    OnlyOne(&'static str),
    /// A sandbox cannot be put on the networks host and none later.
    #[error("sandbox {sandbox} cannot be connected to network {network}: {reason}")]
    NotConnectable {
        /// The sandbox.
        sandbox: String,
        /// host or none.
        network: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A subnet overlaps one of ours.
    #[error("subnet {subnet} overlaps subnet {other} of network {network}")]
    SubnetOfNetwork {
        /// The subnet asked for.
        subnet: IpNet,
        /// The one in its way.
        other: IpNet,
        /// Whose that is.
        network: String,
    },
    /// A subnet overlaps a route of the host.
    #[error("subnet {subnet} overlaps the host's route {route}")]
    SubnetOfRoute {
        /// The subnet asked for.
        subnet: IpNet,
        /// The route in its way.
        route: IpNet,
    },
    /// Two subnets of one family.
    #[error("two {0} subnets: a network has one subnet of a family")]
    TwoSubnets(&'static str),
    /// A gateway, range or auxiliary address without a subnet.
    #[error("{what} {address} is in none of the network's subnets")]
    NoSubnetFor {
        /// gateway, ip-range or aux-address NAME.
        what: String,
        /// The address.
        address: String,
    },
    /// Two of what a subnet has one of.
    #[error("two {what}s for subnet {subnet}")]
    Twice {
        /// gateway or ip-range.
        what: &'static str,
        /// The subnet.
        subnet: IpNet,
    },
    /// Two auxiliary addresses of one name.
    #[error("two aux-addresses with the name {0}")]
    AuxTwice(String),
    /// No default subnet is left.
    #[error(
        "no subnet is left in the default address pool {0}: every one overlaps a network or a route"
    )]
    NoSubnetLeft(String),
    /// IPv6 addresses in a network, but the kernel has no IPv6.
    #[error("network {0} has an IPv6 subnet, but the kernel has IPv6 switched off")]
    NoIpv6(String),
    /// An MTU below what IPv6 needs.
    #[error("MTU {0} is too small for IPv6: it needs 1280")]
    MtuForIpv6(u32),
    /// The bridge's name is another link's.
    #[error("bridge name {0} is taken: a link of that name exists")]
    BridgeTaken(String),
    /// Endpoints are left.
    #[error("network {network} has active endpoints: {endpoints}")]
    NetworkInUse {
        /// The network.
        network: String,
        /// Their names.
        endpoints: String,
    },
    /// Endpoints that no port is left for: `BR_PORT_BITS` (net/bridge/br_private.h, v6.18).
    #[error("network {0} is full: a Linux bridge has 1023 ports")]
    NetworkFull(String),
    /// Every slot of the maps is an endpoint's.
    #[error("map ENDPOINTS is full: it has room for {0} endpoints")]
    HostFull(u32),
    /// A name that stands for nothing of ours.
    #[error("no endpoint, sandbox or network is called {0}")]
    NothingCalled(String),
    /// The same, where networks are not asked for.
    #[error("no endpoint or sandbox is called {0}")]
    NoEndpoint(String),
    /// Nothing is loaded: there is no network.
    #[error("there is nothing to trace: the program is not loaded")]
    NoDataPlane,
    /// The ring buffer has one reader.
    #[error("another trace is running")]
    TraceRuns,
    /// Waiting for events.
    #[error("failed to wait for events")]
    Wait(#[source] io::Error),
    /// An endpoint whose port is not there.
    #[error("endpoint {0} has no port on this host now")]
    NoPort(String),
    /// Two ends without an address family in common.
    #[error("endpoint {endpoint} has no {family} address")]
    NoFamily {
        /// The endpoint.
        endpoint: String,
        /// IPv4 or IPv6.
        family: &'static str,
    },
    /// What a kernel sends to itself.
    #[error("nothing for {address} leaves sandbox {sandbox}: {why}")]
    NothingLeaves {
        /// The sandbox.
        sandbox: String,
        /// The address.
        address: IpAddr,
        /// What it is.
        why: &'static str,
    },
    /// A connection has one peer.
    #[error("no TCP goes to {0}: it is the address of many")]
    TcpToMany(IpAddr),
    /// No such namespace.
    #[error("sandbox {0} not found: there is no such network namespace")]
    SandboxNotFound(String),
    /// `--create` with what only others can make.
    #[error("sandbox {0} cannot be created: only one with a name under /run/netns can")]
    NotCreatable(String),
    /// The file is there, but is no network namespace.
    #[error("sandbox {0} is the host's own network namespace")]
    HostNamespace(String),
    /// There already.
    #[error("sandbox {sandbox} is already connected to network {network}")]
    AlreadyConnected {
        /// The sandbox.
        sandbox: String,
        /// The network.
        network: String,
    },
    /// Not there.
    #[error("sandbox {sandbox} is not connected to network {network}")]
    NotConnected {
        /// The sandbox.
        sandbox: String,
        /// The network.
        network: String,
    },
    /// No name could be made out of the reference.
    #[error("sandbox {0} gives the endpoint no name")]
    NoName(String),
    /// The name is taken in the network.
    #[error("name {name} is already in use by an endpoint of network {network}")]
    NameTaken {
        /// The name.
        name: String,
        /// The network.
        network: String,
    },
    /// On the default network a link is to what is there.
    #[error("cannot link to {target}: nothing on network {network} is called so")]
    LinkTarget {
        /// The name.
        target: String,
        /// The network.
        network: String,
    },
    /// One alias for two.
    #[error("two links with the alias {0}")]
    LinkTwice(String),
    /// The network has no subnet of the address's family.
    #[error("address {address} is outside the subnets of network {network}")]
    AddressOutside {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
    },
    /// Somebody has the address.
    #[error("address {address} of network {network} is already in use by {by}")]
    AddressTaken {
        /// The address.
        address: IpAddr,
        /// The network.
        network: String,
        /// Endpoint, gateway or aux-address.
        by: String,
    },
    /// Every address is taken.
    #[error("no free address is left in {range} of network {network}")]
    NoAddressLeft {
        /// The subnet or range.
        range: IpNet,
        /// The network.
        network: String,
    },
    /// The MAC address is taken in the network.
    #[error("MAC address {mac} is already in use in network {network}")]
    MacTaken {
        /// The address.
        mac: MacAddress,
        /// The network.
        network: String,
    },
    /// The sandbox has an interface of that name.
    #[error("interface {interface} already exists in sandbox {sandbox}")]
    InterfaceTaken {
        /// The interface.
        interface: String,
        /// The sandbox.
        sandbox: String,
    },
    /// The state belongs to another host namespace.
    #[error("state directory {0} belongs to another network namespace of this machine")]
    OtherHost(PathBuf),
    /// A link with a name of ours that the state knows nothing of.
    #[error("{0} is in no network of this state directory")]
    NotInState(String),
    /// A filter that we do not have.
    #[error("invalid filter '{0}'")]
    Filter(String),
    /// An operation failed, and so did something in undoing it.
    #[error("{cause} (and cleaning up met: {cleanup})", cause = chain(cause))]
    Undo {
        /// What failed first.
        cause: Box<Error>,
        /// What the cleaning met.
        cleanup: String,
    },
    /// Several things failed while removing, which goes on after an error.
    #[error("{}", each_once(.0))]
    Several(Vec<Error>),
    /// A run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A published port.
    #[error(transparent)]
    NotPublished(#[from] NotPublished),
    /// A file of ours.
    #[error("failed to {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The demo's own traffic.
    #[error("the demo was cut off")]
    Demo(#[source] io::Error),
    /// Standard output cannot be written.
    #[error("failed to write the output")]
    Output(#[source] io::Error),
    /// No randomness.
    #[error("failed to read random bytes: {0}")]
    Random(getrandom::Error),
    /// A pool that cannot be.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// An option that cannot be.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A name that cannot be.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The text names no sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxRefError),
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// BPF.
    #[error(transparent)]
    Bpf(#[from] BpfError),
    /// Links, addresses, routes.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// Namespaces.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The firewall.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// Features of an interface.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// Sysctls.
    #[error(transparent)]
    Sysctl(#[from] SysctlError),
    /// Ports that the kernel is to choose for nobody.
    #[error(transparent)]
    ReservedPorts(#[from] ReservedPortsError),
    /// The machine.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

impl Error {
    /// What `run` and `exec` exit with, where the command could not be started.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Run(error) => error.exit_code(),
            Self::Undo { cause, .. } => cause.exit_code(),
            _ => None,
        }
    }

    /// This error, with what undoing the operation met.
    pub(super) fn undone(self, cleanup: Result<(), Self>) -> Self {
        match cleanup {
            Ok(()) => self,
            Err(cleanup) => Self::Undo {
                cause: Box::new(self),
                cleanup: chain(&cleanup),
            },
        }
    }
}

/// An error and its causes on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What they say; what several say in the same words, once.
fn each_once(errors: &[Error]) -> String {
    let mut said: Vec<String> = Vec::new();
    for text in errors.iter().map(|error| chain(error)) {
        if !said.contains(&text) {
            said.push(text);
        }
    }
    said.join("; ")
}

/// Errors of steps that go on after one: none is `Ok`.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<Error>);

impl Errors {
    /// Takes note of a step's error.
    pub(super) fn note<T>(&mut self, result: Result<T, impl Into<Error>>) -> Option<T> {
        result.map_err(|error| self.0.push(error.into())).ok()
    }

    /// All of them as one.
    pub(super) fn into_result(mut self) -> Result<(), Error> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(self.0.remove(0)),
            _ => Err(Error::Several(self.0)),
        }
    }
}
