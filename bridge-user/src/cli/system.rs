//! Commands about the whole host: version, reconcile, purge, completions.

use std::io::{self, Write};

use clap::Args;
use clap_complete::Shell;

use super::CliError;
use crate::kernel::{bpf, probe};
use crate::ops::{self, Context, Paths};

#[derive(Debug, Args)]
pub(super) struct PurgeArguments {
    /// Yes, remove everything.
    #[arg(long)]
    yes: bool,
    /// The state is lost or cannot be read: remove what the names of bridges and links, the pins
    /// and the firewall table tell, whoever's it was.
    #[arg(long)]
    lost: bool,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

pub(super) fn version(out: &mut impl Write) -> Result<(), CliError> {
    writeln!(
        out,
        "bridge-user {} (revision {}, BPF object {:016x}, kernel {})",
        env!("CARGO_PKG_VERSION"),
        env!("BRIDGE_USER_REVISION"),
        bpf::object_hash(),
        probe::kernel_release(),
    )?;
    Ok(())
}

pub(super) fn reconcile(paths: &Paths) -> Result<(), CliError> {
    Ok(Context::open(paths)?.reconcile()?)
}

pub(super) fn purge(arguments: &PurgeArguments, paths: &Paths) -> Result<(), CliError> {
    if !arguments.yes {
        return Err(CliError::NoYes);
    }
    Ok(ops::purge(paths, arguments.lost)?)
}

pub(super) fn completions(
    arguments: &CompletionsArguments,
    command: &mut clap::Command,
    out: &mut impl Write,
) -> io::Result<()> {
    // It panics where it cannot write, for example into a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "bridge-user", &mut script);
    out.write_all(&script)
}
