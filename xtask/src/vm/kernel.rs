//! Where the other kernel comes from: Debian's package, or a directory of the user's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{debian, process};

/// The kernel of Debian 12: the last long-term one without tcx that a stable distribution has.
pub(super) const DEFAULT: &str = "6.1";

/// What to do on other distributions.
pub(super) const ELSEWHERE: &str = "Debian's kernel package needs apt; elsewhere unpack a kernel \
    package and run `cargo xtask vm-test --kernel DIRECTORY`";

/// Debian's package that depends on the newest kernel for virtual machines.
const NEWEST: &str = "linux-image-cloud-amd64";

/// A kernel with its modules.
pub(super) struct Kernel {
    /// As `uname -r` says it.
    pub(super) release: String,
    /// What qemu boots.
    pub(super) vmlinuz: PathBuf,
    /// Directory that holds `lib/modules/RELEASE`.
    pub(super) root: PathBuf,
}

impl Kernel {
    /// Directory of its modules.
    pub(super) fn modules(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.release)
    }
}

/// Finds the kernel that `--kernel` names: a directory, else a version of Debian's package, which
/// is fetched into `cache` once.
pub(super) fn find(cache: &Path, wanted: &str) -> Result<Kernel> {
    if Path::new(wanted).is_dir() {
        return in_directory(Path::new(wanted));
    }
    if !debian::is_debian() {
        bail!("{ELSEWHERE}");
    }
    let package = package(wanted)?;
    let root = cache.join(&package);
    if !root.is_dir() {
        fetch(cache, &package, &root)?;
    }
    in_directory(&root)
}

/// Name of the package with the newest kernel of a version.
fn package(version: &str) -> Result<String> {
    let look = || process::output(Command::new("apt-cache").args(["depends", NEWEST]));
    // No lists, no packages: a fresh image of Debian has none.
    let depends = match look() {
        Ok(depends) if dependency(&depends).is_some() => depends,
        _ => {
            process::check(process::as_root("apt-get", &[])?.args(["-q", "update"]))?;
            look()?
        }
    };
    let package = dependency(&depends).with_context(|| format!("apt has no {NEWEST}"))?;
    if !is_of_version(package, version) {
        bail!(
            "{NEWEST} is {package} here, not {version}: unpack a package of that version and name \
             the directory by `cargo xtask vm-test --kernel DIRECTORY`"
        );
    }
    Ok(package.to_owned())
}

/// The kernel that apt-cache(8) says the package depends on.
fn dependency(depends: &str) -> Option<&str> {
    depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|package| package.starts_with("linux-image-"))
}

fn is_of_version(package: &str, version: &str) -> bool {
    let rest = package
        .strip_prefix("linux-image-")
        .and_then(|rest| rest.strip_prefix(version));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+']))
}

/// Fetches and unpacks; the directory gets its name only when it is whole.
fn fetch(cache: &Path, package: &str, root: &Path) -> Result<()> {
    let part = cache.join("fetch");
    if part.exists() {
        fs::remove_dir_all(&part).context("failed to remove an earlier download")?;
    }
    fs::create_dir_all(&part).with_context(|| format!("failed to create {}", part.display()))?;
    eprintln!("fetching {package}");
    process::check(
        Command::new("apt-get")
            .args(["-q", "download", package])
            .current_dir(&part),
    )
    .with_context(|| format!("failed to fetch {package}"))?;
    let archive = only(&part, "linux-image-", ".deb")?;
    process::check(
        Command::new("dpkg")
            .arg("-x")
            .arg(&archive)
            .arg(part.join("root")),
    )?;
    fs::rename(part.join("root"), root).with_context(|| format!("failed to keep {package}"))?;
    fs::remove_dir_all(&part).context("failed to remove the download")
}

fn in_directory(root: &Path) -> Result<Kernel> {
    let vmlinuz = only(&root.join("boot"), "vmlinuz-", "")?;
    let name = vmlinuz.file_name().unwrap_or_default().to_string_lossy();
    let release = name
        .strip_prefix("vmlinuz-")
        .context("a kernel is named vmlinuz-RELEASE")?
        .to_owned();
    let kernel = Kernel {
        release,
        vmlinuz,
        root: std::path::absolute(root).context("failed to resolve the kernel's directory")?,
    };
    if !kernel.modules().is_dir() {
        bail!("{} has no lib/modules/{}", root.display(), kernel.release);
    }
    Ok(kernel)
}

/// The one file in a directory whose name begins and ends so.
fn only(directory: &Path, start: &str, end: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("failed to read {}", directory.display()))?;
    let is_wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start) && name.ends_with(end)
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(is_wanted)
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(path), true) => Ok(path),
        _ => bail!("not exactly one {start}*{end} in {}", directory.display()),
    }
}

#[cfg(test)]
mod tests {
    //! What apt says.

    use super::{dependency, is_of_version};

    #[test]
    fn the_package_is_read_and_compared() {
        let depends = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(
            dependency(depends),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert!(is_of_version("linux-image-6.1.0-56-cloud-amd64", "6.1"));
        assert!(!is_of_version("linux-image-6.12.9-cloud-amd64", "6.1"));
        assert!(!is_of_version("linux-image-6.12.9-cloud-amd64", "6.11"));
    }
}
