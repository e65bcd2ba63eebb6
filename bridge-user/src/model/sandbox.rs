//! A sandbox: a network namespace that endpoints are put into.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{EndpointName, Id, NameError};

/// Where named namespaces are, as for `ip netns` (`NETNS_RUN_DIR`, iproute2 v6.1).
pub const NETNS_DIR: &str = "/run/netns";

/// How a user names a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxRef {
    /// A namespace under /run/netns.
    Named(EndpointName),
    /// A namespace file, by its absolute path.
    Path(PathBuf),
    /// The namespace of a process.
    Pid(u32),
}

/// Why a text names no sandbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxRefError {
    /// Neither a name, an absolute path nor `pid:N`.
    #[error("sandbox {text:?} is invalid: it is a name, an absolute path or pid:N")]
    Invalid {
        /// The text.
        text: String,
    },
    /// A name that cannot be one.
    #[error("sandbox {0}")]
    Name(NameError),
}

impl SandboxRef {
    /// The file of the namespace.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Named(name) => Path::new(NETNS_DIR).join(name.as_str()),
            Self::Path(path) => path.clone(),
            Self::Pid(pid) => PathBuf::from(format!("/proc/{pid}/ns/net")),
        }
    }

    /// The name, where it is under /run/netns: it has a hosts file, and may come back after a
    /// reboot.
    pub fn netns_name(&self) -> Option<&EndpointName> {
        match self {
            Self::Named(name) => Some(name),
            Self::Path(_) | Self::Pid(_) => None,
        }
    }

    /// The name that an endpoint in it gets when the user gives none.
    pub fn default_endpoint_name(&self) -> Option<EndpointName> {
        match self {
            Self::Named(name) => Some(name.clone()),
            Self::Path(path) => path.file_name()?.to_str()?.parse().ok(),
            Self::Pid(pid) => format!("pid-{pid}").parse().ok(),
        }
    }
}

impl FromStr for SandboxRef {
    type Err = SandboxRefError;

    fn from_str(text: &str) -> Result<Self, SandboxRefError> {
        let invalid = || SandboxRefError::Invalid {
            text: text.to_owned(),
        };
        if let Some(pid) = text.strip_prefix("pid:") {
            return match pid.parse() {
                Ok(pid) if pid > 0 => Ok(Self::Pid(pid)),
                _ => Err(invalid()),
            };
        }
        if let Some(rest) = text
            .strip_prefix("/run/netns/")
            .or(text.strip_prefix("/var/run/netns/"))
            && let Ok(name) = rest.parse()
        {
            // The same namespace by its long name: keep one spelling.
            return Ok(Self::Named(name));
        }
        if text.starts_with('/') {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        if text.contains(['/', ':']) {
            return Err(invalid());
        }
        text.parse().map(Self::Named).map_err(SandboxRefError::Name)
    }
}

impl fmt::Display for SandboxRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => name.fmt(f),
            Self::Path(path) => path.display().fmt(f),
            Self::Pid(pid) => write!(f, "pid:{pid}"),
        }
    }
}

/// A sandbox that has, or had, an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Its identity in our state.
    pub id: Id,
    /// How the user named it.
    pub reference: SandboxRef,
    /// The kernel's identity of the namespace (`SO_NETNS_COOKIE`), never used twice in one boot.
    pub cookie: u64,
    /// Inode of the namespace file: cheap to compare, unique only while the namespace lives.
    pub inode: u64,
    /// The boot in which cookie and inode were read.
    pub boot_id: String,
    /// We made the namespace (`--create`), so it goes with its last endpoint.
    pub created: bool,
    /// We made its hosts file, so it goes with the sandbox; otherwise only our block in it is ours.
    pub owns_hosts: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read() {
        for (text, path) in [
            ("web", "/run/netns/web"),
            ("/run/netns/web", "/run/netns/web"),
            ("/var/run/netns/web", "/run/netns/web"),
            ("pid:42", "/proc/42/ns/net"),
            ("/proc/1/ns/net", "/proc/1/ns/net"),
        ] {
            let reference: SandboxRef = text.parse().unwrap();
            assert_eq!(reference.path(), Path::new(path));
        }
        for bad in [
            "",
            "pid:",
            "pid:-1",
            "pid:0",
            "a/b",
            "docker:web",
            "../web",
            "a b",
        ] {
            assert!(bad.parse::<SandboxRef>().is_err(), "{bad}");
        }
    }
}
