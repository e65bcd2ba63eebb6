//! What can go wrong with a run, in the words that a user reads.

use std::io;
use std::path::PathBuf;

use crate::kernel::launch::LaunchError;
use crate::model::RunConflict;

/// Why something about a run was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No such run.
    #[error("sandbox {0} not found: nothing was run with that name or id")]
    NotFound(String),
    /// Several runs begin with this id.
    #[error("sandbox id {0} is ambiguous: several sandboxes begin with it")]
    Ambiguous(String),
    /// Another run has the name.
    #[error("sandbox name {name} is already in use by sandbox {id}")]
    NameTaken {
        /// The name.
        name: String,
        /// The beginning of the other's id.
        id: String,
    },
    /// Somebody has a namespace of the name, or files for one.
    #[error("sandbox name {name} cannot be used: {path} is there already")]
    PathTaken {
        /// The name.
        name: String,
        /// What is there.
        path: PathBuf,
    },
    /// Its command has ended.
    #[error("sandbox {0} is not running")]
    NotRunning(String),
    /// Its command has not ended.
    #[error("sandbox {0} is running")]
    Running(String),
    /// Nothing is left to join.
    #[error("cannot join the network of sandbox {0}: it is not running")]
    NotJoinable(String),
    /// `net connect` without a namespace of its own.
    #[error("sandbox {0} has the network of the host or of another sandbox, and no own to connect")]
    Shared(String),
    /// Its output went elsewhere.
    #[error("sandbox {0} has no log: it was run in the foreground")]
    NoLog(String),
    /// `host-gateway` where there is none.
    #[error("host-gateway of --add-host needs a network: --network {0} has no gateway")]
    NoGateway(String),
    /// `--dns` where names of others are not asked for.
    #[error("--dns has no use: network {0} is internal, from which nobody is asked others' names")]
    NobodyAsks(String),
    /// An alias where no names are told.
    #[error("an alias has no use: network {0} tells no names")]
    NobodyTells(String),
    /// Options that exclude each other.
    #[error(transparent)]
    Conflict(#[from] RunConflict),
    /// The command could not be started.
    #[error("sandbox {name}: {cause}")]
    Launch {
        /// The run.
        name: String,
        /// What to exit with, and why.
        cause: LaunchError,
    },
    /// Its process is still there after SIGKILL.
    #[error("process {pid} of sandbox {name} does not end")]
    Stubborn {
        /// The run.
        name: String,
        /// The process.
        pid: u32,
    },
    /// Others are started as fast as they end.
    #[error("the processes of sandbox {0} do not end: others are started meanwhile")]
    Breeding(String),
    /// A call about a process failed.
    #[error("failed to {action} of sandbox {name}")]
    Process {
        /// What was tried.
        action: &'static str,
        /// The run.
        name: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl RunError {
    /// The way out, where there is one to name.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound(_) => "bridge-user ps -a shows them all".into(),
            Self::Ambiguous(_) => "give more digits of the id, or the name".into(),
            Self::NameTaken { name, .. } => {
                format!(
                    "bridge-user rm {name} removes that one (with -f also while it runs), or choose \
                     another with --name"
                )
            }
            Self::PathTaken { .. } => "choose another with --name".into(),
            Self::NotRunning(_) => "bridge-user ps -a shows how it ended".into(),
            Self::Running(name) => format!("bridge-user rm -f {name} ends it first"),
            Self::NotJoinable(_) => "bridge-user ps shows those that are".into(),
            Self::Shared(name) => {
                format!(
                    "bridge-user inspect {name} -f '{{{{.HostConfig.NetworkMode}}}}' shows whose"
                )
            }
            Self::Breeding(name) => format!("bridge-user rm -f {name} tries again"),
            Self::NoLog(_) => "run it with -d to have one".into(),
            Self::NobodyAsks(_) => {
                "leave it out, or make the network with -o bridge-user.dns=false: \
                                    its sandboxes ask themselves"
                    .into()
            }
            Self::NobodyTells(_) => {
                "leave it out, or make a network that tells names: bridge-user net create NETWORK"
                    .into()
            }
            Self::NoGateway(_) => "write the address instead".into(),
            Self::Conflict(RunConflict::Mixed) => {
                "bridge-user net connect NETWORK SANDBOX connects it to others later".into()
            }
            Self::Conflict(RunConflict::Address | RunConflict::Alias) => {
                "bridge-user net create NETWORK makes one, --network NETWORK uses it".into()
            }
            _ => return None,
        })
    }

    /// What `run` and `exec` exit with for it, as Docker's do.
    pub fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Launch { cause, .. } => Some(cause.code),
            _ => None,
        }
    }

    pub(super) fn process(
        action: &'static str,
        name: impl ToString,
    ) -> impl FnOnce(io::Error) -> Self {
        let name = name.to_string();
        move |source| Self::Process {
            action,
            name,
            source,
        }
    }
}
