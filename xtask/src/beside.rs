//! The ring of tests beside real ones of those who share a host with us, Docker and firewalld. They
//! are not installed: a package of theirs begins to work on the machine at once.

use anyhow::Result;

use crate::{process, test, workspace::Workspace};

/// Beginning of the names of its tests.
pub(crate) const TESTS: &str = "beside::";

/// What they call, by Debian package.
const TOOLS: [(&str, &str); 5] = [
    ("docker", "docker.io"),
    ("dockerd", "docker.io"),
    ("dbus-daemon", "dbus"),
    ("firewall-cmd", "firewalld"),
    ("firewalld", "firewalld"),
];

/// Why this machine cannot run them, if so.
pub(crate) fn missing() -> Option<String> {
    let is_missing = |(program, _): &&(&str, &str)| process::find_program(program).is_none();
    let missing = TOOLS.iter().filter(is_missing);
    let names: Vec<String> = missing
        .map(|(program, package)| format!("{program} (Debian package {package})"))
        .collect();
    (!names.is_empty()).then(|| format!("there is no {}", names.join(", no ")))
}

/// Runs those whose names contain one of the filters.
pub(crate) fn run(workspace: &Workspace, filters: &[String]) -> Result<()> {
    let cargo = || test::integration(workspace, test::FEATURES);
    let list = process::output(cargo()?.args(["--", "--list", "--format", "terse"]))?;
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let is_wanted = |name: &&str| {
        let mut filters = filters.iter();
        name.starts_with(TESTS)
            && (filters.len() == 0 || filters.any(|filter| name.contains(filter.as_str())))
    };
    let wanted: Vec<&str> = names.filter(is_wanted).collect();
    if wanted.is_empty() {
        eprintln!("none of them has such a name");
        return Ok(());
    }
    process::check(cargo()?.args(["--", "--exact"]).args(wanted))
}
