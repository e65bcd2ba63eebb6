//! `cargo xtask run`: build, then bridge-user as root.

use std::{ffi::OsString, os::unix::process::ExitStatusExt, process::ExitCode};

use anyhow::{Context, Result};

use crate::{build, process, workspace::Workspace};

/// What bridge-user reads from its environment; sudo would drop it.
const KEEP: &[&str] = &["BRIDGE_USER_STATE_DIR", "NO_COLOR"];

/// Arguments of `run`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Arguments of bridge-user; `demo` if there are none
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

/// Builds and runs bridge-user, and returns its exit code.
pub(crate) fn main(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let binary = build::bridge_user(workspace)?;
    let demo = [OsString::from("demo")];
    let passed_on = match arguments.arguments.as_slice() {
        [] => &demo,
        given => given,
    };
    let status = process::as_root(&binary, KEEP)?
        .args(passed_on)
        .status()
        .with_context(|| format!("failed to start {}", binary.display()))?;
    // A shell's way of telling that a signal ended it.
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}
