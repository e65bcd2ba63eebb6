//! The binaries of the tests, as cargo builds them for the kernel ring.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{process, workspace::Workspace};

/// What runs in the machine.
pub(super) struct Binaries {
    /// The integration tests.
    pub(super) tests: PathBuf,
    /// bridge-user. The tests know this path: it was compiled into them.
    pub(super) bridge_user: PathBuf,
}

/// Builds them with the features, and in the place, of the kernel ring.
pub(super) fn build(workspace: &Workspace) -> Result<Binaries> {
    let mut cargo = crate::test::integration(workspace, crate::test::FEATURES)?;
    cargo.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start cargo")?;
    if !output.status.success() {
        bail!("failed to build the integration tests: {}", output.status);
    }
    let messages = String::from_utf8(output.stdout).context("cargo printed no UTF-8")?;
    let executable = |kind: &str| {
        executable(&messages, kind)
            .with_context(|| format!("cargo named no executable of a {kind}"))
    };
    Ok(Binaries {
        tests: executable("test")?,
        bridge_user: executable("bin")?,
    })
}

/// The executable that cargo's messages name for a target of this kind ("External tools", The
/// Cargo Book).
fn executable(messages: &str, kind: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["kind"][0] == kind)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

impl Binaries {
    /// Names of all integration tests.
    pub(super) fn test_names(&self) -> Result<Vec<String>> {
        let list =
            process::output(Command::new(&self.tests).args(["--list", "--format", "terse"]))?;
        let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names.map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    //! What cargo prints.

    use std::path::Path;

    use super::executable;

    #[test]
    fn an_executable_is_found_by_its_kind() {
        let messages = r#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["test"]},"executable":"/t/it"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(
            executable(messages, "test").as_deref(),
            Some(Path::new("/t/it"))
        );
        assert_eq!(executable(messages, "bin"), None);
    }
}
