//! What the daemon says of itself: one JSON object to whoever connects to its socket.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Where that is asked for.
pub const DAEMON_SOCKET: &str = "/run/bridge-user/daemon.sock";

/// A daemon that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DaemonStatus {
    /// Its process id.
    pub pid: u32,
    /// Where it answers DNS, or fails to.
    pub listeners: Vec<DaemonListener>,
    /// Whom it asks others' names, in this order.
    pub upstreams: Vec<SocketAddr>,
    /// What it was asked since it began.
    pub questions: QuestionCounts,
}

/// A gateway address of a network that tells names, or one where the host asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DaemonListener {
    /// The address and port.
    pub address: SocketAddr,
    /// The id of the network; none is the host's.
    pub network: Option<String>,
    /// Why nothing listens there.
    pub error: Option<String>,
}

/// Questions by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct QuestionCounts {
    /// Answered out of our names, or refused.
    pub answered: u64,
    /// Passed on to others.
    pub forwarded: u64,
    /// Not to be understood.
    pub malformed: u64,
    /// Not looked at: the client asked too many.
    pub limited: u64,
}
