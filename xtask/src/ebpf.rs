//! Builds the eBPF program into the object that bridge-user embeds.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use crate::{process, toolchain::Toolchain, workspace::Workspace};

const TARGET: &str = "bpfel-unknown-none";

/// Instructions up to Linux 5.1's, 32-bit ones among them. Names in BTF come from debug information.
const FLAGS: &[&str] = &["-Cdebuginfo=2", "-Ctarget-cpu=v3", "-Clink-arg=--btf"];

/// Builds the object; its file changes only if its bytes do, so that nothing is rebuilt for it.
pub(crate) fn build(workspace: &Workspace, toolchain: &Toolchain) -> Result<()> {
    process::check(&mut cargo(workspace, toolchain, "build"))
        .context("failed to build the BPF object")?;
    let built = workspace
        .bpf_target()
        .join(TARGET)
        .join("release/bridge-ebpf");
    let object = workspace.bpf_object();
    let bytes = fs::read(&built).with_context(|| format!("failed to read {}", built.display()))?;
    if fs::read(&object).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(&object, bytes).with_context(|| format!("failed to write {}", object.display()))
}

/// A cargo command on the program for its own target, in a target directory of its own.
pub(crate) fn cargo(workspace: &Workspace, toolchain: &Toolchain, subcommand: &str) -> Command {
    let mut cargo = workspace.cargo(subcommand);
    cargo
        .args(["--release", "--package", "bridge-ebpf"])
        .args(["--bin", "bridge-ebpf", "--features", "program"])
        .args(["-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(workspace.bpf_target())
        // Stable rustc builds core only so; nothing else unstable is used.
        .env("RUSTC_BOOTSTRAP", "1")
        // Map and field names in BTF come from debug information. The user's own flags are for
        // the host, not for this target.
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .env(
            "CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER",
            &toolchain.bpf_linker,
        );
    if let Some(rustc) = &toolchain.rustc {
        cargo.env("RUSTC", rustc);
    }
    cargo
}
