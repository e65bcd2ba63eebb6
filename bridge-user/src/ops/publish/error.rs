//! Why a port of the host is not published.

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use crate::kernel::sockets::{self, PortError};
use crate::model::Protocol;

/// Why a port is not published.
#[derive(Debug, thiserror::Error)]
pub enum NotPublished {
    /// Another publication has it.
    #[error(
        "bind for {at} ({protocol}) failed: port is already allocated: endpoint {endpoint} has it"
    )]
    Allocated {
        /// Address and port of the host.
        at: SocketAddr,
        /// The protocol.
        protocol: Protocol,
        /// Whose it is.
        endpoint: String,
    },
    /// It cannot be had on the host.
    #[error("bind for {at} ({protocol}) failed")]
    Bind {
        /// Address and port of the host.
        at: SocketAddr,
        /// The protocol.
        protocol: Protocol,
        /// Why.
        source: PortError,
    },
    /// No program leads on from loopback addresses.
    #[error("bind for {at} ({protocol}) failed: nothing leads on from a loopback address {}", .missing.why())]
    Loopback {
        /// Address and port of the host.
        at: SocketAddr,
        /// The protocol.
        protocol: Protocol,
        /// What is missing.
        missing: Missing,
    },
    /// None of those that it could be is free.
    #[error("no port from {} to {} of the host is free for {exposed}", .range.start(), .range.end())]
    NoneFree {
        /// Of which one is to be chosen.
        range: RangeInclusive<u16>,
        /// The endpoint's port.
        exposed: String,
    },
    /// The network has no way in.
    #[error("network {0} is internal: no port is published on it")]
    Internal(String),
    /// What comes from outside would be answered by another way.
    #[error("network {network} is not the way out of sandbox {sandbox}: that is network {other}")]
    NotTheWayOut {
        /// The network.
        network: String,
        /// The sandbox.
        sandbox: String,
        /// By which it leaves.
        other: String,
    },
}

/// Why nothing leads on from loopback addresses: the firewall does not, and the programs are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// They have nowhere to be attached to.
    Cgroup,
    /// The protocol has no calls that they are for.
    Calls,
}

impl Missing {
    fn why(self) -> &'static str {
        match self {
            Self::Cgroup => "without cgroup v2, which is mounted nowhere",
            Self::Calls => "by this protocol",
        }
    }
}

impl NotPublished {
    /// The same, and who has the port.
    pub(super) fn with_holder(mut self) -> Self {
        if let Self::Bind {
            at,
            protocol,
            source: PortError::InUse(holder),
        } = &mut self
        {
            *holder = sockets::holder_in_the_way(*protocol, *at);
        }
        self
    }

    /// Whether somebody has the port.
    pub(super) fn is_held(&self) -> bool {
        let in_use = |source: &PortError| matches!(source, PortError::InUse(_));
        matches!(self, Self::Allocated { .. })
            || matches!(self, Self::Bind { source, .. } if in_use(source))
    }

    /// The way out, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Allocated { .. } => {
                "choose another port of the host, or none to have one chosen".into()
            }
            Self::Bind { source, .. } => match source {
                PortError::InUse(_) => {
                    "end who has it, or choose another port, or none to have one chosen".into()
                }
                PortError::NoAddress | PortError::Broadcast => {
                    "ip address shows those of this host".into()
                }
                PortError::Call(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    "run it with CAP_NET_BIND_SERVICE, as root has it, or publish a port from \
                     net.ipv4.ip_unprivileged_port_start on"
                        .into()
                }
                PortError::Call(_) => return None,
            },
            Self::Loopback { missing, .. } => match missing {
                Missing::Cgroup => {
                    "mount -t cgroup2 cgroup2 /sys/fs/cgroup, or publish on another \
                                    address of the host"
                        .into()
                }
                Missing::Calls => "publish on another address of the host".into(),
            },
            Self::NoneFree { .. } => "give a larger range, or end who has its ports".into(),
            Self::Internal(_) => "publish on a network that was made without --internal".into(),
            Self::NotTheWayOut { sandbox, other, .. } => format!(
                "publish where it is connected to {other}, or bridge-user net disconnect {other} \
                 {sandbox} first"
            ),
        })
    }
}
