//! What building needs beyond stable Rust: core's sources, bpf-linker and a C compiler. Finds
//! each or installs it, and says so.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{debian, process, workspace::Workspace};

/// The last bpf-linker whose default features link rustc's own LLVM 22.
const BPF_LINKER: &str = "0.10.3";
/// The LLVM that rustc must have, for [`BPF_LINKER`] reads its bitcode with the same library.
const LLVM: &str = "22";
/// Debian's rustc, used where the user's own has no sources of core.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// The tools that build the eBPF program.
pub(crate) struct Toolchain {
    /// The rustc to use instead of cargo's, if cargo's has no sources of core.
    pub(crate) rustc: Option<PathBuf>,
    /// The linker for the BPF target.
    pub(crate) bpf_linker: PathBuf,
}

impl Toolchain {
    /// Finds or installs everything.
    pub(crate) fn ensure(workspace: &Workspace) -> Result<Self> {
        ensure_c_compiler()?;
        let rustc = ensure_rust_src()?;
        let used = rustc.as_deref().unwrap_or(Path::new("rustc"));
        check_llvm(used)?;
        let bpf_linker = ensure_bpf_linker(workspace)?;
        Ok(Self { rustc, bpf_linker })
    }
}

/// SQLite is compiled from its C source.
fn ensure_c_compiler() -> Result<()> {
    let name = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    // CC may carry arguments, as the cc crate reads it.
    let program = name.split_whitespace().next().unwrap_or("cc");
    if Path::new(program).is_file() || process::find_program(program).is_some() {
        return Ok(());
    }
    bail!(
        "no C compiler `{program}`, which SQLite needs: please install gcc (Debian: gcc libc6-dev)"
    )
}

/// Finds the sources of core in three ways, and returns the rustc to use if it is not cargo's.
fn ensure_rust_src() -> Result<Option<PathBuf>> {
    let own = Path::new("rustc");
    if has_rust_src(own) {
        return Ok(None);
    }
    if process::find_program("rustup").is_some() {
        eprintln!("installing rust-src: rustup component add rust-src");
        match process::check(Command::new("rustup").args(["component", "add", "rust-src"])) {
            Ok(()) if has_rust_src(own) => return Ok(None),
            Ok(()) => eprintln!("rustup added rust-src, but not to the rustc in use"),
            Err(error) => eprintln!("{error:#}"),
        }
    }
    let debian_rustc = PathBuf::from(DEBIAN_RUSTC);
    if has_rust_src(&debian_rustc) && check_llvm(&debian_rustc).is_ok() {
        return Ok(Some(debian_rustc));
    }
    if debian::is_debian() {
        debian::install(&["rustc-web", "rust-web-src"])?;
        if has_rust_src(&debian_rustc) {
            return Ok(Some(debian_rustc));
        }
    }
    bail!(
        "the sources of core are missing: please install rust-src \
         (`rustup component add rust-src`, or your distribution's package of that name)"
    )
}

/// Whether a rustc is there and has the sources of core.
fn has_rust_src(rustc: &Path) -> bool {
    process::output(Command::new(rustc).args(["--print", "sysroot"])).is_ok_and(|sysroot| {
        Path::new(&sysroot)
            .join("lib/rustlib/src/rust/library/core/Cargo.toml")
            .is_file()
    })
}

/// Refuses a rustc whose bitcode bpf-linker could not read.
fn check_llvm(rustc: &Path) -> Result<()> {
    let verbose = process::output(Command::new(rustc).arg("-vV"))?;
    let major = llvm_major(&verbose).context("rustc -vV names no LLVM version")?;
    if major != LLVM {
        bail!(
            "rustc has LLVM {major}, but bpf-linker {BPF_LINKER} needs {LLVM}: \
             `rustup toolchain install 1.95`, then `cargo +1.95 xtask ...`"
        );
    }
    Ok(())
}

/// Major version of LLVM in what `rustc -vV` prints.
fn llvm_major(verbose: &str) -> Option<&str> {
    let version = verbose
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    version.split('.').next()
}

/// Installs bpf-linker under `target/`, unless the right one is there and runs.
fn ensure_bpf_linker(workspace: &Workspace) -> Result<PathBuf> {
    let linker = workspace.tools().join("bin/bpf-linker");
    // One that was built for an older rustc does not find its libLLVM and fails.
    let version = process::output(Command::new(&linker).arg("--version"));
    if version.is_ok_and(|version| version == format!("bpf-linker {BPF_LINKER}")) {
        return Ok(linker);
    }
    eprintln!("installing bpf-linker {BPF_LINKER} into target/tools (a minute or two, once)");
    process::check(
        workspace
            .cargo("install")
            .args(["bpf-linker", "--version", BPF_LINKER, "--locked", "--force"])
            .arg("--root")
            .arg(workspace.tools()),
    )
    .context("failed to install bpf-linker")?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    //! What rustc says of itself.

    use super::llvm_major;

    #[test]
    fn the_llvm_version_is_found() {
        let verbose = "rustc 1.95.0\nhost: x\nLLVM version: 22.1.2\n";
        assert_eq!(llvm_major(verbose), Some("22"));
        assert_eq!(llvm_major("rustc 1.95.0\n"), None);
    }
}
