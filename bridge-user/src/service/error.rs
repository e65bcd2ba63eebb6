//! Why the daemon does not run.

use std::io;
use std::path::PathBuf;

use crate::kernel::activation::ActivationError;
use crate::kernel::netlink::NetlinkError;
use crate::kernel::netns::NetNsError;
use crate::model::DAEMON_SOCKET;

/// What keeps the daemon from running.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// There is one on this host.
    #[error("the daemon is running already, as process {0}")]
    Running(String),
    /// The directory for its lock cannot be used.
    #[error("failed to {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No runtime, timer or signals.
    #[error("failed to start the daemon")]
    Start(#[source] io::Error),
    /// What the service manager hands over.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// A service manager has the daemon's socket, and did not start this one.
    #[error("another process listens at {DAEMON_SOCKET}")]
    SocketTaken,
    /// The boot is not known.
    #[error(transparent)]
    Boot(#[from] NetNsError),
    /// The kernel does not tell of links.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

impl ServiceError {
    /// The way out, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Running(pid) => Some(format!("kill {pid} ends it, kill -HUP {pid} reloads it")),
            Self::Activation(_) => Some(format!(
                "one ListenStream={DAEMON_SOCKET} is what bridge-user.socket has"
            )),
            Self::SocketTaken => Some(
                "systemd has it: systemctl start bridge-user, or systemctl stop bridge-user.socket"
                    .into(),
            ),
            _ => None,
        }
    }
}
