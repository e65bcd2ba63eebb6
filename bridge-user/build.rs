//! Tells rustc where the BPF object is that the binary embeds, its hash, and which revision this is.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const OBJECT: &str = "BRIDGE_USER_BPF_OBJECT";
const HASH: &str = "BRIDGE_USER_BPF_HASH";

fn main() {
    // Not `env!`: a target directory that was copied from another checkout would have its path.
    let manifest_dir = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let root = Path::new(&manifest_dir).parent().unwrap_or(Path::new("/"));
    export_object(root);
    export_revision(root);
}

/// Exports the path of the object that `cargo xtask build` made.
fn export_object(root: &Path) {
    println!("cargo::rerun-if-env-changed={OBJECT}");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let object = env::var_os(OBJECT).map_or_else(
        || {
            let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
            let logging = env::var_os("CARGO_FEATURE_BPF_LOG").is_some();
            let name = if logging {
                "bridge-ebpf-log.o"
            } else {
                "bridge-ebpf.o"
            };
            root.join(target).join("bpf").join(name)
        },
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", object.display());
    let Ok(bytes) = fs::read(&object) else {
        println!(
            "cargo::error=no BPF object at {}: run `cargo xtask build`, with --bpf-log where that \
             feature is on",
            object.display()
        );
        return;
    };
    println!("cargo::rustc-env={OBJECT}={}", object.display());
    println!("cargo::rustc-env={HASH}={}", hash(&bytes));
}

/// FNV-1a hash (draft-eastlake-fnv, 64 bits). Of half a megabyte it takes a millisecond, which every
/// command would pay for.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Exports git's short name of the revision, or "unknown" outside a repository.
fn export_revision(root: &Path) {
    let revision = git(root, &["rev-parse", "--short", "HEAD"]);
    // A commit moves the branch that HEAD names; a checkout changes HEAD itself. A path that is
    // not there would make every build run this again.
    let branch = git(root, &["symbolic-ref", "-q", "HEAD"]);
    let files = ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    for file in files {
        if let Some(path) = git(root, &["rev-parse", "--git-path", file]) {
            let path = root.join(path);
            if path.exists() {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
    let revision = revision.as_deref().unwrap_or("unknown");
    println!("cargo::rustc-env=BRIDGE_USER_REVISION={revision}");
}

/// What git prints, if it is there and this is a repository of its own.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    if let Some(above) = root.parent() {
        // Sources unpacked inside another repository are not of its revision.
        git.env("GIT_CEILING_DIRECTORIES", above);
    }
    let output = git.current_dir(root).args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim_end().to_owned())
}
