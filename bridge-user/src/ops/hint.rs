//! The way out of an error, for the second line that a user reads.

use std::io;

use super::Error;
use super::config::ConfigError;
use crate::kernel::bpf::BpfError;
use crate::kernel::netlink::NetlinkError;
use crate::kernel::nft::NftError;
use crate::kernel::probe::ProbeError;
use crate::model::OptionError;
use crate::store::StoreError;

/// What a kernel without bpf(2) leaves one to do.
pub(super) const USE_BPF_KERNEL: &str = "use a kernel with CONFIG_BPF_SYSCALL";

/// Where the state cannot be written.
pub(super) const MAKE_ROOM: &str = "if its file system is full: runs/*/log in the state directory are the outputs \
    of runs, truncate -s 0 empties one";
pub(super) const MAKE_WRITABLE: &str =
    "mount it for writing, or give another directory with --state-dir";

impl Error {
    /// The way out, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        if let Self::Undo { cause, .. } = self {
            return cause.hint();
        }
        match self {
            Self::Several(errors) => return errors.iter().find_map(Self::hint),
            Self::Run(error) => return error.hint(),
            Self::NotPublished(error) => return error.hint(),
            _ => {}
        }
        let said = self.other_words().or_else(|| self.other_frames());
        said.or_else(|| self.other_host())
    }

    /// What to ask of the data plane instead.
    fn other_frames(&self) -> Option<String> {
        Some(match self {
            Self::NothingLeaves { .. } => {
                "give the address or name of another endpoint, or an address beyond".into()
            }
            Self::NothingCalled(_) | Self::NoEndpoint(_) => {
                "bridge-user net inspect NETWORK shows the endpoints".into()
            }
            Self::TcpToMany(_) => "--proto udp or --proto icmp".into(),
            Self::NoDataPlane => "bridge-user net create NETWORK loads it".into(),
            Self::TraceRuns => "end it first: events go to one reader".into(),
            Self::NoPort(_) => "bridge-user reconcile makes it, if its namespace is there".into(),
            _ => return None,
        })
    }

    /// What to write instead.
    fn other_words(&self) -> Option<String> {
        Some(match self {
            Self::NetworkNotFound(_) => "bridge-user net ls shows the networks".into(),
            Self::NoFamily { .. } => {
                "bridge-user net inspect NETWORK shows the endpoints' addresses; \
                                      networks have IPv6 by net create --ipv6"
                    .into()
            }
            Self::AmbiguousId(_) => "give more digits of the id, or the name".into(),
            Self::NetworkExists(_) | Self::ReservedName(_) => "choose another name".into(),
            Self::Filter(_) => "a filter is KEY=VALUE; --help of the command has the keys".into(),
            Self::BridgeTaken(_) => {
                "choose another with -o com.docker.network.bridge.name=NAME".into()
            }
            Self::Predefined(_) => "built-in networks stay".into(),
            Self::OnlyOne(driver) => {
                format!("leave --driver out: {driver} has its one built-in network")
            }
            Self::NotConnected { network, .. } => {
                format!("bridge-user net inspect {network} shows who is")
            }
            Self::NotConnectable { .. } => "connect it to a bridge network".into(),
            Self::NetworkFull(_) => "make another network, and connect to that".into(),
            Self::MacTaken { .. } => "leave --mac-address out to have one chosen".into(),
            Self::TwoSubnets(_) | Self::Twice { .. } | Self::AuxTwice(_) => "give one".into(),
            Self::NoSubnetFor { .. } => "give the --subnet that it is in, too".into(),
            Self::MtuForIpv6(_) => "give 1280 or more, or make the network without --ipv6".into(),
            Self::Option(OptionError::Clash { key, .. }) => format!("leave -o {key} out"),
            Self::NoIpv6(_) => "leave out --ipv6 and IPv6 subnets".into(),
            Self::Pool(_) => "choose another --subnet, or addresses in it".into(),
            Self::SubnetOfNetwork { .. } | Self::SubnetOfRoute { .. } => {
                "choose another --subnet, or none to have one chosen".into()
            }
            Self::NoSubnetLeft(_) => "give a --subnet that the host does not use".into(),
            Self::NetworkInUse { network, .. } => {
                format!("bridge-user net disconnect {network} SANDBOX removes an endpoint")
            }
            Self::SandboxNotFound(name) if !name.starts_with(['/']) && !name.contains(':') => {
                format!("ip netns add {name} makes it, or connect with --create")
            }
            Self::NotCreatable(_) => "leave --create out, or give a name".into(),
            Self::AlreadyConnected { sandbox, network } => {
                format!("bridge-user net disconnect {network} {sandbox} first")
            }
            Self::NameTaken { .. } => "choose another with --name".into(),
            Self::LinkTarget { network, .. } => {
                format!("bridge-user net inspect {network} shows who is there; start it first")
            }
            Self::LinkTwice(_) => "give each an alias of its own: --link NAME:ALIAS".into(),
            Self::NoName(_) => "give one with --name".into(),
            Self::InterfaceTaken { .. } => "choose another with --ifname".into(),
            Self::AddressTaken { .. } | Self::AddressOutside { .. } => {
                "leave the address out to have one chosen".into()
            }
            Self::NoAddressLeft { .. } => {
                "disconnect an endpoint, or make a network with a larger --subnet".into()
            }
            _ => return None,
        })
    }

    /// What to change on the host.
    fn other_host(&self) -> Option<String> {
        Some(match self {
            Self::Store(error) if error.may_be_full_disk() => MAKE_ROOM.into(),
            Self::Store(StoreError::Directory { source, .. })
                if source.kind() == io::ErrorKind::ReadOnlyFilesystem =>
            {
                MAKE_WRITABLE.into()
            }
            Self::File {
                action: "lock",
                source,
                ..
            } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => MAKE_WRITABLE.into(),
            Self::Store(StoreError::OpenToOthers { .. }) => {
                "give a directory of its own with --state-dir, or chmod 700 it".into()
            }
            Self::Config(ConfigError::Read { .. }) => {
                "it has to be a readable text file; or leave --config and BRIDGE_USER_CONFIG out"
                    .into()
            }
            Self::Config(ConfigError::Invalid { .. }) => {
                "docs/configuration.md has every key".into()
            }
            Self::Sysctl(_) | Self::ReservedPorts(_) => {
                "if /proc/sys is read-only: mount -o remount,rw /proc/sys, or set it from outside"
                    .into()
            }
            Self::HostFull(_) => larger("endpoints"),
            Self::Bpf(BpfError::Full { key, .. }) => larger(key),
            Self::Probe(ProbeError::Privilege(_)) => "run it as root, for example by sudo".into(),
            Self::Nft(NftError::NoTool(_)) => "apt-get install nftables, or its like".into(),
            Self::Bpf(BpfError::Owner { .. }) | Self::NotInState(_) => {
                "use the right directory with --state-dir; if it is lost: bridge-user purge --yes --lost"
                    .into()
            }
            #[cfg(feature = "bpf-log")]
            Self::Bpf(BpfError::NoLog) => {
                "bridge-user reconcile, by this build, puts its own in place".into()
            }
            Self::Bpf(BpfError::Layout { .. }) => {
                "use the version that made them, or remove every network: bridge-user purge --yes"
                    .into()
            }
            Self::Netlink(NetlinkError::KindNotInKernel { kind, .. }) => {
                format!("modprobe {kind}, or use a kernel that has it")
            }
            Self::Bpf(BpfError::NotInKernel) => USE_BPF_KERNEL.into(),
            Self::Bpf(_) => "bridge-user doctor shows what this host lacks".into(),
            Self::OtherHost(_) => "use --state-dir for a second host namespace".into(),
            _ => return None,
        })
    }
}

/// A map cannot grow.
fn larger(key: &str) -> String {
    format!(
        "raise `{key}` under [maps] in the configuration; it counts when the maps are made anew, \
         after a reboot or with the first network after the last was removed"
    )
}
