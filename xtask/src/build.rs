//! `cargo xtask build`: the BPF object, then bridge-user with it inside.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{
    ebpf::{self, Object},
    process,
    toolchain::Toolchain,
    workspace::Workspace,
};

/// Arguments of `build`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build the binary of the tests instead: debug, with fault injection, in target/test-build
    #[arg(long, conflicts_with = "bpf_log")]
    fault_injection: bool,
    /// Build one whose programs log what they do with each frame, in target/bpf-log
    #[arg(long)]
    bpf_log: bool,
}

/// Builds what the arguments ask for and names the binary.
pub(crate) fn main(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let binary = if arguments.fault_injection {
        object(workspace, Object::Plain)?;
        with_fault_injection(workspace)?
    } else if arguments.bpf_log {
        with_bpf_log(workspace)?
    } else {
        bridge_user(workspace)?
    };
    eprintln!("built {}", binary.display());
    Ok(())
}

/// Builds a BPF object with what it needs, and returns the tools that built it.
pub(crate) fn object(workspace: &Workspace, object: Object) -> Result<Toolchain> {
    eprintln!("checking what the build needs");
    let toolchain = Toolchain::ensure(workspace)?;
    eprintln!("building the BPF object");
    ebpf::build(workspace, &toolchain, object)?;
    Ok(toolchain)
}

/// Builds the object and bridge-user, optimized, and returns the binary's path.
pub(crate) fn bridge_user(workspace: &Workspace) -> Result<PathBuf> {
    object(workspace, Object::Plain)?;
    eprintln!("building bridge-user");
    release(workspace, &[], workspace.target().to_owned())
}

/// Builds the logging object and a bridge-user that reads the log. It stands beside the other: it
/// is for debugging, and slower.
fn with_bpf_log(workspace: &Workspace) -> Result<PathBuf> {
    object(workspace, Object::Logging)?;
    eprintln!("building bridge-user for debugging its programs");
    let target = workspace.target().join("bpf-log");
    release(workspace, &["--features", "bpf-log"], target)
}

/// Builds bridge-user, optimized, and returns the binary's path.
fn release(workspace: &Workspace, features: &[&str], target: PathBuf) -> Result<PathBuf> {
    let mut cargo = workspace.cargo("build");
    cargo
        .args(["--release", "--package", "bridge-user"])
        .args(features)
        .arg("--target-dir")
        .arg(&target);
    process::check(&mut cargo).context("failed to build bridge-user")?;
    Ok(target.join("release/bridge-user"))
}

/// Builds bridge-user with its injection points, where the tests build it too.
fn with_fault_injection(workspace: &Workspace) -> Result<PathBuf> {
    eprintln!("building bridge-user with fault injection");
    process::check(
        workspace
            .cargo("build")
            .args(["--package", "bridge-user", "--features", "fault-injection"])
            .arg("--target-dir")
            .arg(workspace.test_target()),
    )
    .context("failed to build bridge-user with fault injection")?;
    Ok(workspace.test_target().join("debug/bridge-user"))
}
