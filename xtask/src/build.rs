//! `cargo xtask build`: the BPF object, then bridge-user with it inside.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{ebpf, process, toolchain::Toolchain, workspace::Workspace};

/// Arguments of `build`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build the binary of the tests instead: debug, with fault injection, in target/test-build
    #[arg(long)]
    fault_injection: bool,
}

/// Builds what the arguments ask for and names the binary.
pub(crate) fn main(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let binary = if arguments.fault_injection {
        object(workspace)?;
        with_fault_injection(workspace)?
    } else {
        bridge_user(workspace)?
    };
    eprintln!("built {}", binary.display());
    Ok(())
}

/// Builds the BPF object with what it needs, and returns the tools that built it.
pub(crate) fn object(workspace: &Workspace) -> Result<Toolchain> {
    eprintln!("checking what the build needs");
    let toolchain = Toolchain::ensure(workspace)?;
    eprintln!("building the BPF object");
    ebpf::build(workspace, &toolchain)?;
    Ok(toolchain)
}

/// Builds the object and bridge-user, optimized, and returns the binary's path.
pub(crate) fn bridge_user(workspace: &Workspace) -> Result<PathBuf> {
    object(workspace)?;
    eprintln!("building bridge-user");
    process::check(
        workspace
            .cargo("build")
            .args(["--release", "--package", "bridge-user"])
            .arg("--target-dir")
            .arg(workspace.target()),
    )
    .context("failed to build bridge-user")?;
    Ok(workspace.target().join("release/bridge-user"))
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
