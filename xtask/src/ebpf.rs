//! Builds the eBPF program into the object that bridge-user embeds.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{process, toolchain::Toolchain, workspace::Workspace};

const TARGET: &str = "bpfel-unknown-none";

/// Instructions up to Linux 5.1's, 32-bit ones among them. Names in BTF come from debug information.
const FLAGS: &[&str] = &["-Cdebuginfo=2", "-Ctarget-cpu=v3", "-Clink-arg=--btf"];

/// What the object is for.
#[derive(Clone, Copy)]
pub(crate) enum Object {
    /// For use.
    Plain,
    /// For debugging the programs: they log what they do with each frame.
    Logging,
}

impl Object {
    /// Features of the package.
    fn features(self) -> &'static str {
        match self {
            Self::Plain => "program",
            Self::Logging => "program,log",
        }
    }

    /// The file that bridge-user embeds; `bridge-user/build.rs` knows these paths too.
    fn path(self, workspace: &Workspace) -> PathBuf {
        workspace.bpf_target().join(match self {
            Self::Plain => "bridge-ebpf.o",
            Self::Logging => "bridge-ebpf-log.o",
        })
    }
}

/// Builds the object; its file changes only if its bytes do, so that nothing is rebuilt for it.
pub(crate) fn build(workspace: &Workspace, toolchain: &Toolchain, object: Object) -> Result<()> {
    process::check(&mut cargo(workspace, toolchain, "build", object))
        .context("failed to build the BPF object")?;
    let built = built(workspace, "bridge-ebpf");
    let object = object.path(workspace);
    let bytes = fs::read(&built).with_context(|| format!("failed to read {}", built.display()))?;
    if fs::read(&object).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(&object, bytes).with_context(|| format!("failed to write {}", object.display()))
}

/// The object of what `cargo xtask bench` needs beside the datapath, built with it.
pub(crate) fn bench_object(workspace: &Workspace) -> PathBuf {
    built(workspace, "bridge-ebpf-bench")
}

fn built(workspace: &Workspace, binary: &str) -> PathBuf {
    let release = workspace.bpf_target().join(TARGET).join("release");
    release.join(binary)
}

/// A cargo command on the program for its own target, in a target directory of its own.
pub(crate) fn cargo(
    workspace: &Workspace,
    toolchain: &Toolchain,
    subcommand: &str,
    object: Object,
) -> Command {
    let mut cargo = workspace.cargo(subcommand);
    cargo
        .args(["--release", "--package", "bridge-ebpf"])
        .args(["--bins", "--features", object.features()])
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
