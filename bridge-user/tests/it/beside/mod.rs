//! Real ones of those who share a host with us: Docker and firewalld, with all that they do to its
//! firewall. `cargo xtask test` runs them where they are installed, as a ring of its own, and installs
//! neither: a package of theirs begins to work on the machine at once.

mod docker;
mod firewalld;

use crate::host::Host;

/// Looks for the programs that a test needs.
#[track_caller]
fn assert_installed(programs: &[&str]) {
    let path = std::env::var("PATH").unwrap_or_default();
    for program in programs {
        let there = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
        assert!(there, "this test needs {program}");
    }
}

/// All tables but ours, without what their rules counted.
fn theirs(host: &Host) -> String {
    let ruleset = host.call("nft -s list ruleset").ok();
    let mut is_ours = false;
    let lines = ruleset.lines().filter(|line| {
        if line.starts_with("table ") {
            is_ours = *line == "table inet bridge_user {";
        }
        !is_ours
    });
    lines.collect::<Vec<_>>().join("\n")
}
