//! Packages of Debian and its children: the only ones that are installed for the user. Elsewhere
//! an error lists what to install.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::process;

/// A program that is needed, and the Debian package that has it.
pub(crate) struct Tool {
    /// Name in the search path.
    pub(crate) program: &'static str,
    /// Name of the package.
    pub(crate) package: &'static str,
}

/// Whether this host has apt and says that it is Debian or like it.
pub(crate) fn is_debian() -> bool {
    process::find_program("apt-get").is_some()
        && fs::read_to_string("/etc/os-release").is_ok_and(|text| says_debian(&text))
}

/// Reads os-release(5).
fn says_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace())
        .any(|id| id == "debian" || id == "ubuntu")
}

/// Installs the packages of the tools that are not there.
pub(crate) fn ensure_tools(tools: &[Tool]) -> Result<()> {
    let missing: Vec<&Tool> = tools
        .iter()
        .filter(|tool| process::find_program(tool.program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_debian() {
        let programs: Vec<&str> = missing.iter().map(|tool| tool.program).collect();
        bail!("please install {}", programs.join(", "));
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    install(&packages)
}

/// Installs packages, after `apt-get update`.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    eprintln!("installing Debian packages: {names}");
    process::check(process::as_root("apt-get", &[])?.args(["-q", "update"]))
        .context("failed to update the package lists")?;
    process::check(
        process::as_root("env", &[])?
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"])
            .args(["install", "--no-install-recommends"])
            .args(packages),
    )
    .with_context(|| format!("failed to install {names}"))
}

#[cfg(test)]
mod tests {
    //! Who is Debian.

    use super::says_debian;

    #[test]
    fn debian_and_its_children_are_told_from_others() {
        assert!(says_debian("NAME=x\nID=debian\n"));
        assert!(says_debian("ID=mint\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!says_debian("ID=fedora\nID_LIKE=\"rhel centos\"\n"));
        assert!(!says_debian("PRETTY_NAME=debian\n"));
    }
}
