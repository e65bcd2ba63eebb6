//! Child processes: checked runs, programs in the search path, and root's rights.

use std::{
    env,
    ffi::OsStr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Runs a command to its end; anything but exit code 0 is an error.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let name = name(command);
    let status = command
        .status()
        .with_context(|| format!("failed to start {name}"))?;
    if !status.success() {
        bail!("{name} failed: {status}");
    }
    Ok(())
}

/// Runs a command and returns what it prints to stdout, without the end of line.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = name(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {name}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed: {}: {}", output.status, stderr.trim());
    }
    let stdout = String::from_utf8(output.stdout)
        .with_context(|| format!("{name} printed something that is not UTF-8"))?;
    Ok(stdout.trim_end().to_owned())
}

/// Program and first argument, as messages name a command.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let first = command.get_args().next().unwrap_or(OsStr::new(""));
    format!("{} {}", program.display(), first.display())
        .trim_end()
        .to_owned()
}

/// Finds a program in `PATH`, or where tools for root are: those are not in every user's `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    // The owner of /proc/self is the effective user (proc(5)).
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Why this user cannot get root's rights, if so.
pub(crate) fn no_root() -> Option<&'static str> {
    (!is_root() && find_program("sudo").is_none()).then_some("needs root, and there is no sudo")
}

/// A command that runs as root: itself, or by sudo, which keeps the variables named.
pub(crate) fn as_root(program: impl AsRef<OsStr>, keep: &[&str]) -> Result<Command> {
    if let Some(reason) = no_root() {
        bail!("{} {reason}", program.as_ref().display());
    }
    if is_root() {
        return Ok(Command::new(program));
    }
    let mut sudo = Command::new("sudo");
    if !keep.is_empty() {
        sudo.arg(format!("--preserve-env={}", keep.join(",")));
    }
    sudo.arg("--").arg(program);
    Ok(sudo)
}
