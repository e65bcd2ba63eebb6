//! What can go wrong with the data plane.

use std::io;
use std::path::PathBuf;

use aya::EbpfError;
use aya::maps::MapError;
use aya::pin::PinError;
use aya::programs::ProgramError;
use aya::programs::links::LinkError;
use bridge_common::LAYOUT_VERSION;

use crate::kernel::netlink::NetlinkError;
use crate::kernel::netns::NetNsError;

/// Why the data plane is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum BpfError {
    /// The kernel was built without it.
    #[error("the kernel has no bpf(2)")]
    NotInKernel,
    /// There is no bpffs and none can be mounted.
    #[error("failed to mount a BPF file system on {path}")]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file of the bpffs.
    #[error("failed to {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The pins were made by a version with other map layouts.
    #[error(
        "the pins in {path} have layout version {found}, this bridge-user has {LAYOUT_VERSION}"
    )]
    Layout {
        /// The directory.
        path: PathBuf,
        /// Their version.
        found: u32,
    },
    /// The pins belong to another state.
    #[error("the pins in {path} belong to another state directory")]
    Owner {
        /// The directory.
        path: PathBuf,
    },
    /// A map has no room for another entry.
    #[error("map {map} is full: it has {entries} entries")]
    Full {
        /// The map.
        map: &'static str,
        /// How many it was made with.
        entries: u32,
        /// What sets that, in the table `[maps]` of the configuration.
        key: &'static str,
    },
    /// The object does not load.
    #[error("failed to load the BPF object")]
    Load(#[source] Box<EbpfError>),
    /// The object lacks a part.
    #[error("the BPF object has no {0}")]
    Missing(&'static str),
    /// An operation on a map or program.
    #[error("failed to {action} {object}")]
    Operation {
        /// What was tried.
        action: &'static str,
        /// On what.
        object: String,
        /// aya's word on it.
        source: Box<Cause>,
    },
    /// The pinned programs are such as log nothing.
    #[cfg(feature = "bpf-log")]
    #[error("the pinned programs are of a build without a log")]
    NoLog,
    /// The host's network namespace.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The time since boot.
    #[error("failed to read the clock")]
    Clock(#[source] io::Error),
    /// The number of CPUs.
    #[error("failed to read the number of CPUs")]
    Cpus(#[source] io::Error),
}

/// What aya says.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Of a map.
    #[error(transparent)]
    Map(#[from] MapError),
    /// Of a program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Of a link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Of a pin.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// Of the verifier.
    #[error("{said}")]
    Verifier {
        /// The last that it said.
        said: String,
        /// What the call came back with.
        source: io::Error,
    },
    /// Of the programs' log.
    #[cfg(feature = "bpf-log")]
    #[error(transparent)]
    Log(#[from] aya_log::Error),
    /// Of the filters, which we look up ourselves.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

impl Cause {
    /// Of loading a program: of the verifier's log, which tells every step, the end.
    pub(super) fn of_load(error: ProgramError) -> Self {
        let ProgramError::LoadError {
            io_error,
            verifier_log,
        } = error
        else {
            return error.into();
        };
        let log = verifier_log.to_string();
        tracing::debug!("{log}");
        let mut lines: Vec<&str> = log.lines().rev().take(4).collect();
        lines.reverse();
        Self::Verifier {
            said: lines.join("; "),
            source: io_error,
        }
    }
}

pub(super) fn failed<E: Into<Cause>>(
    action: &'static str,
    object: impl ToString,
) -> impl FnOnce(E) -> BpfError {
    let object = object.to_string();
    move |error| BpfError::Operation {
        action,
        object,
        source: Box::new(error.into()),
    }
}
