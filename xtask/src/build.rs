//! `cargo xtask build`: the BPF object, then bridge-user with it inside.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

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
    let built = target.join(linked_statically(&mut cargo)?);
    process::check(&mut cargo).context("failed to build bridge-user")?;
    let binary = target.join("release/bridge-user");
    let built = built.join("release/bridge-user");
    if built != binary {
        link_again(&built, &binary)
            .with_context(|| format!("failed to link {}", binary.display()))?;
    }
    Ok(binary)
}

/// A second name for a file, in place of what has that name.
fn link_again(file: &Path, name: &Path) -> io::Result<()> {
    fs::create_dir_all(name.parent().unwrap_or(name))?;
    let temporary = name.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => fs::hard_link(file, &temporary)?,
    }
    fs::rename(temporary, name)
}

/// Builds bridge-user with its injection points, where the tests build it too.
fn with_fault_injection(workspace: &Workspace) -> Result<PathBuf> {
    eprintln!("building bridge-user with fault injection");
    let target = workspace.test_target();
    let mut cargo = workspace.cargo("build");
    cargo
        .args(["--package", "bridge-user", "--features", "fault-injection"])
        .arg("--target-dir")
        .arg(&target);
    let built = target.join(linked_statically(&mut cargo)?);
    process::check(&mut cargo).context("failed to build bridge-user with fault injection")?;
    Ok(built.join("debug/bridge-user"))
}

/// Has cargo link programs with all of the C library in them: they start in two thirds of the time,
/// and need no library of the machine that they run on. Gives the directory in the target directory that
/// cargo uses then. Without a static C library programs are linked as usual.
pub(crate) fn linked_statically(cargo: &mut Command) -> Result<PathBuf> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut words = compiler.split_whitespace();
    let asked = Command::new(words.next().unwrap_or("cc"))
        .args(words)
        .arg("-print-file-name=libc.a")
        .output();
    // A name without a directory is one that was not found.
    let has_library = asked.is_ok_and(|output| output.stdout.contains(&b'/'));
    if !has_library {
        eprintln!("linking dynamically: there is no libc.a (Debian: libc6-dev)");
        return Ok(PathBuf::new());
    }
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc -vV names no host")?;
    // For the named target only: a procedural macro cannot be linked so.
    let flags = format!(r#"target.{host}.rustflags=["-C", "target-feature=+crt-static"]"#);
    cargo.args(["--target", host, "--config", &flags]);
    Ok(host.into())
}
