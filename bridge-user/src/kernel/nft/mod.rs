//! The nftables table `inet bridge_user`: what may be routed between, into and out of networks, and
//! under which addresses.
//!
//! Its chains are in `table.nft`, the same on every host. What there is on this one are elements of its
//! sets and maps, so that one network more is a few elements and no rule. nft's own text is used, not
//! its JSON: the chains can be read, and `nft -f` takes both in one transaction.

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

/// The table with its sets and maps, empty, and its chains.
const TABLE: &str = include_str!("table.nft");

/// What the table says of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Its bridge.
    pub bridge: String,
    /// Whether its endpoints may reach each other.
    pub icc: bool,
    /// Whether nothing is routed into and out of it.
    pub internal: bool,
}

/// The table cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The tool is missing.
    #[error("failed to run nft: is nftables installed?")]
    NoTool(#[source] std::io::Error),
    /// It refused.
    #[error("nft refused the table inet bridge_user: {0}")]
    Refused(String),
}

/// Makes the table be what `policies` say, in one transaction.
pub fn ensure_table(policies: &[NetworkPolicy]) -> Result<(), NftError> {
    let mut ruleset = format!("{ABSENT}{TABLE}");
    let bridges = || policies.iter().map(|policy| quoted(&policy.bridge));
    add_elements(&mut ruleset, "bridges", bridges());
    let internal = policies.iter().filter(|policy| policy.internal);
    add_elements(
        &mut ruleset,
        "internal",
        internal.map(|policy| quoted(&policy.bridge)),
    );
    let within = policies.iter().zip(bridges()).map(|(policy, bridge)| {
        let verdict = if policy.icc { "accept" } else { "drop" };
        format!("{bridge} . {bridge} : {verdict}")
    });
    add_elements(&mut ruleset, "within", within);
    apply(&ruleset)
}

/// Makes the table gone.
pub fn ensure_table_absent() -> Result<(), NftError> {
    apply(ABSENT)
}

/// `add` first: deleting a table that is not there is an error.
const ABSENT: &str = "add table inet bridge_user\ndelete table inet bridge_user\n";

/// Adds elements to a set or map. nft takes no empty list of them.
fn add_elements(ruleset: &mut String, set: &str, elements: impl Iterator<Item: Display>) {
    let elements: Vec<String> = elements.map(|element| element.to_string()).collect();
    if !elements.is_empty() {
        let elements = elements.join(", ");
        writeln!(
            ruleset,
            "add element inet bridge_user {set} {{ {elements} }}"
        )
        .expect("a string takes what is written");
    }
}

/// An interface's name as nft takes it, whatever its letters: it has neither `"` nor `*`
/// (`InterfaceName`).
fn quoted(interface: &str) -> String {
    format!("\"{interface}\"")
}

fn apply(ruleset: &str) -> Result<(), NftError> {
    tracing::info!("nft -f - (table inet bridge_user)");
    tracing::debug!("{ruleset}");
    let output = run(ruleset).map_err(NftError::NoTool)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // Below its error nft repeats the line of the ruleset, which may name every network.
    let error = said.lines().find(|line| line.contains("Error:"));
    Err(NftError::Refused(error.unwrap_or(said.trim()).into()))
}

/// The crate `nftables` would do, but it leaves nft's reason to standard error and loses it.
fn run(ruleset: &str) -> io::Result<Output> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let written = nft
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(ruleset.as_bytes()));
    match written {
        // It ended without reading, and says why.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => return Err(e),
        _ => {}
    }
    nft.wait_with_output()
}

/// Whether the tool is there.
pub fn check_tool() -> Result<(), NftError> {
    let version = Command::new("nft").arg("--version").output();
    version.map(drop).map_err(NftError::NoTool)
}
