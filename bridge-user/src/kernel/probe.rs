//! What this process may do and this kernel can do, as far as every command needs it.

use std::fs;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::sys::utsname::uname;

/// Capabilities that every command needs, with their numbers (include/uapi/linux/capability.h,
/// v6.18): links, addresses and firewall; namespaces, mounts and pins; programs and maps.
const CAPABILITIES: [(&str, u32); 3] = [
    ("CAP_NET_ADMIN", 12),
    ("CAP_SYS_ADMIN", 21),
    ("CAP_BPF", 39),
];

/// Oldest kernel with all that we use: XDP with fragments came last (5.18).
pub const KERNEL_MIN: (u32, u32) = (5, 18);

/// Oldest kernel with tcx links.
const TCX_MIN: (u32, u32) = (6, 6);

/// Oldest kernel whose `bpf_redirect_peer` scrubs a frame (c4327229948).
/// Stable kernels have it too, but from which one on does not matter: it is only needless work.
const PEER_SCRUBS_MIN: (u32, u32) = (6, 15);

/// This machine is not up to it.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Not root, or root without its powers.
    #[error("bridge-user lacks the privilege {}", .0.join(", "))]
    Privilege(Vec<&'static str>),
    /// The kernel is too old.
    #[error("kernel {found} is too old: bridge-user needs {}.{}", KERNEL_MIN.0, KERNEL_MIN.1)]
    Kernel {
        /// Its release.
        found: String,
    },
}

/// Why nobody can write to the file system that a directory is on, or will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritable {
    /// It is mounted so.
    ReadOnly,
    /// No block is free, for root either.
    Full,
}

/// Whether a file system takes what is written to it, as far as it says.
pub fn unwritable(directory: &Path) -> Option<Unwritable> {
    let there = directory.ancestors().find(|path| path.exists())?;
    let fs = statvfs(there).ok()?;
    if fs.flags().contains(FsFlags::ST_RDONLY) {
        return Some(Unwritable::ReadOnly);
    }
    // One without a limit says that it has no blocks at all.
    (fs.blocks() > 0 && fs.blocks_free() == 0).then_some(Unwritable::Full)
}

/// Whether commands can work at all.
pub fn check() -> Result<(), ProbeError> {
    let missing = missing_capabilities();
    if !missing.is_empty() {
        return Err(ProbeError::Privilege(missing));
    }
    if kernel_version().is_some_and(|version| version < KERNEL_MIN) {
        return Err(ProbeError::Kernel {
            found: kernel_release(),
        });
    }
    Ok(())
}

/// The capabilities that this process lacks.
pub fn missing_capabilities() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let effective = effective.unwrap_or_default();
    let missing = CAPABILITIES
        .iter()
        .filter(|(_, number)| effective & (1 << number) == 0);
    missing.map(|(name, _)| *name).collect()
}

/// The running kernel's release, as `uname -r`.
pub fn kernel_release() -> String {
    uname().map_or_else(
        |_| "unknown".into(),
        |name| name.release().to_string_lossy().into_owned(),
    )
}

/// Major and minor version of the running kernel.
pub fn kernel_version() -> Option<(u32, u32)> {
    version(&kernel_release())
}

/// Whether the running kernel has tcx links.
pub fn has_tcx() -> bool {
    kernel_version() >= Some(TCX_MIN)
}

/// Whether the running kernel's redirect into a namespace makes a frame the receiver's.
pub fn peer_scrubs() -> bool {
    kernel_version() >= Some(PEER_SCRUBS_MIN)
}

/// Whether the kernel is locked down so that no program reads its memory (kernel_lockdown(7)).
pub fn keeps_secrets() -> bool {
    let levels = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    levels.contains("[confidentiality]")
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(version("5.14-rc1"), Some((5, 14)));
        assert_eq!(version("6.1.0-40-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("odd"), None);
    }
}
