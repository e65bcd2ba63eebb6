//! A run: a command that `run` started in a sandbox of its own, and what becomes of it.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{EndpointName, ExposedPorts, Id, NameError, NetworkMode};

/// One process of one boot. The kernel reuses numbers; a number and the time of its start it does
/// not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the boot: field 22 of /proc/PID/stat
    /// (proc_pid_stat(5)).
    pub start_ticks: u64,
}

/// How far a run has come.
///
/// ```text
/// (no row) -> creating -> running -> stopping -> exited -> stopping -> (no row)
///                 \_________________/      \____(--rm, rm -f)____/
/// ```
/// `creating` and `stopping` with nobody at work on it are what a crash left: its namespace, names
/// and endpoints go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// The command may not have been executed yet.
    Creating,
    /// The command runs.
    Running,
    /// The command ended; what it had is being freed.
    Stopping,
    /// Only the row and the log are left.
    Exited,
}

impl RunState {
    const ALL: [Self; 4] = [Self::Creating, Self::Running, Self::Stopping, Self::Exited];

    /// The word for it in the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Exited => "exited",
        }
    }
}

impl FromStr for RunState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|state| state.as_str() == text)
            .ok_or_else(|| "it is no state of a run".to_owned())
    }
}

/// An entry of `--add-host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddHost {
    /// The name.
    pub name: String,
    /// Its address; none for `host-gateway`, the gateways of the first network.
    pub address: Option<IpAddr>,
}

/// Why a text is no `--add-host`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddHostError {
    /// There is no colon.
    #[error("bad format for add-host: {0:?}: it is NAME:IP or NAME:host-gateway")]
    Form(String),
    /// The name cannot be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The address cannot be one.
    #[error("invalid IP address in add-host: {0:?}")]
    Address(String),
}

impl FromStr for AddHost {
    type Err = AddHostError;

    fn from_str(text: &str) -> Result<Self, AddHostError> {
        let parts = text.split_once(':');
        let (name, address) = parts.ok_or_else(|| AddHostError::Form(text.into()))?;
        let name: EndpointName = name.parse()?;
        let address = match address {
            "host-gateway" => None,
            // IPv6 may stand in brackets, as in a URL.
            text => {
                let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
                let ip = bare.unwrap_or(text).parse();
                Some(ip.map_err(|_| AddHostError::Address(text.into()))?)
            }
        };
        Ok(Self {
            name: name.to_string(),
            address,
        })
    }
}

/// What a run was started with, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunConfig {
    /// The command and its arguments, as far as they are text.
    pub command: Vec<String>,
    /// Host name of its UTS namespace.
    pub hostname: String,
    /// Where its network comes from, by name and id.
    pub network: NetworkMode,
    /// The directory with its hosts file and others: its own, or another run's. `None`: it has the
    /// host's.
    pub files: Option<String>,
    /// It runs in the background, and its output is in the log.
    pub detached: bool,
    /// `--dns`.
    pub dns: Vec<IpAddr>,
    /// `--add-host`.
    pub add_hosts: Vec<AddHost>,
    /// `--expose`.
    #[serde(default)]
    pub exposed: Vec<ExposedPorts>,
}

/// A command that `run` started. Its sandbox, where it has one, has the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its identity.
    pub id: Id,
    /// Its name, unique among runs; where it has a sandbox, that is /run/netns/NAME.
    pub name: EndpointName,
    /// How far it has come.
    pub state: RunState,
    /// When it was created.
    pub created: SystemTime,
    /// The boot that its processes are of.
    pub boot_id: String,
    /// The command's process, once there is one.
    pub process: Option<ProcessId>,
    /// Who waits for the process: the keeper, or `run` itself in the foreground.
    pub keeper: Option<ProcessId>,
    /// When the command was executed.
    pub started: Option<SystemTime>,
    /// When its end was noticed.
    pub finished: Option<SystemTime>,
    /// What it exited with; `None` as long as it runs, and where nobody saw it end.
    pub exit_code: Option<u8>,
    /// The row goes with the command's end.
    pub remove: bool,
    /// What it was started with.
    pub config: RunConfig,
}

impl Run {
    /// Whether its command runs, or is to run.
    pub fn is_live(&self) -> bool {
        matches!(self.state, RunState::Creating | RunState::Running)
    }

    /// Whether it has a namespace of its own.
    pub fn has_sandbox(&self) -> bool {
        matches!(
            self.config.network,
            NetworkMode::None | NetworkMode::Networks(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_hosts_are_read() {
        let host: AddHost = "db:10.0.0.7".parse().unwrap();
        assert_eq!(
            (host.name.as_str(), host.address),
            ("db", "10.0.0.7".parse().ok())
        );
        for text in ["six:fd00::7", "six:[fd00::7]"] {
            let host: AddHost = text.parse().unwrap();
            assert_eq!(host.address, "fd00::7".parse().ok(), "{text}");
        }
        let host: AddHost = "outside:host-gateway".parse().unwrap();
        assert_eq!(host.address, None);
        for bad in ["db", ":10.0.0.7", "db:", "db:ten", "d b:10.0.0.7"] {
            assert!(bad.parse::<AddHost>().is_err(), "{bad}");
        }
    }
}
