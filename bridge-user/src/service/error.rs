//! Why the daemon does not run.

use std::io;
use std::path::PathBuf;

use crate::kernel::netlink::NetlinkError;

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
    /// The kernel does not tell of links.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

impl ServiceError {
    /// The way out, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Running(pid) => Some(format!("kill {pid} ends it, kill -HUP {pid} reloads it")),
            _ => None,
        }
    }
}
