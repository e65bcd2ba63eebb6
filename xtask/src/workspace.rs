//! Where things are: the repository and the places that builds write to.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// The repository and its target directory, both as absolute paths.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the repository that this xtask was started from. Honours `CARGO_TARGET_DIR`.
    pub(crate) fn locate() -> Result<Self> {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .context("CARGO_MANIFEST_DIR is not set: start it as `cargo xtask`")?;
        let root = Path::new(&manifest_dir)
            .parent()
            .context("xtask has no parent directory")?
            .to_owned();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(dir).context("failed to resolve CARGO_TARGET_DIR")?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What `cargo build` writes to.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Tools that the build needs and that are not in the user's home.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Target directory of the eBPF program.
    pub(crate) fn bpf_target(&self) -> PathBuf {
        self.target.join("bpf")
    }

    /// Target directory of the tests: their features and profile leave `target/` alone.
    pub(crate) fn test_target(&self) -> PathBuf {
        self.target.join("test-build")
    }

    /// The cargo that runs this xtask, in the root of the repository.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root).arg(subcommand);
        if env::var_os("CARGO_TARGET_DIR").is_some() {
            // A relative one would be resolved against another directory by the children.
            cargo.env("CARGO_TARGET_DIR", &self.target);
        }
        cargo
    }
}
