//! The nftables table `inet bridge_user`: what may be routed between, into and out of networks, and
//! under which addresses.
//!
//! Its chains are in `table.nft`, the same on every host. What there is on this one are elements of its
//! sets and maps, so that one network more is a few elements and no rule. nft's own text is used, not
//! its JSON: the chains can be read, and `nft -f` takes both in one transaction.

mod elements;
mod look;
mod packets;
mod published;
mod ruleset;
mod watch;

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

pub use look::is_whole;
pub use packets::{legacy_tables, others_rules};
pub use published::{ensure_published, ensure_published_absent};
pub use ruleset::Ruleset;
pub use watch::TableWatch;

use look::Stamp;

use crate::model::{Gateway, Network, Pool, Published, Source};

/// The table with its sets and maps, empty, and its chains.
const TABLE: &str = include_str!("table.nft");

/// Its rule that does not look whether a network is internal: of flows that began before one was, or while
/// there was no table.
const WITHOUT_INTERNAL: &str = "\t\tct status dnat ct state established accept\n";

/// The table cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The tool is missing.
    #[error("failed to run nft: is nftables installed?")]
    NoTool(#[source] std::io::Error),
    /// It refused.
    #[error("nft refused the table inet bridge_user: {0}")]
    Refused(String),
    /// It is not to be added to: it has to be written whole.
    #[error("somebody else changed the ruleset of nft, or the table inet bridge_user is not there")]
    Changed,
}

/// Makes the table be what these networks and published ports say, in one transaction.
pub fn ensure_table(networks: &[&Network], published: &[Published]) -> Result<(), NftError> {
    // Where nobody can look, nft says why.
    let stamp = Stamp::next().ok();
    let mut ruleset = format!("{ABSENT}{TABLE}");
    if networks.iter().any(|network| network.internal) {
        ruleset = ruleset.replace(WITHOUT_INTERNAL, "");
    }
    let all = networks.iter().map(|network| (quoted(network), *network));
    add_elements(
        &mut ruleset,
        "bridges",
        all.clone().map(|(bridge, _)| bridge),
    );
    let internal = all.clone().filter(|(_, network)| network.internal);
    add_elements(&mut ruleset, "internal", internal.map(|(bridge, _)| bridge));
    let within = all.clone().map(|(bridge, network)| {
        let verdict = if network.options.icc {
            "accept"
        } else {
            "drop"
        };
        format!("{bridge} . {bridge} : {verdict}")
    });
    add_elements(&mut ruleset, "within", within);
    let speaking = all.clone().filter(|(_, network)| network.options.icc);
    let neighbours = speaking.map(|(bridge, _)| format!("{bridge} . {bridge}"));
    add_elements(&mut ruleset, "neighbours", neighbours);
    for (bridge, network) in all {
        for subnet in network.pools.iter().map(Pool::subnet) {
            let set = if subnet.addr().is_ipv6() {
                "subnets6"
            } else {
                "subnets4"
            };
            add_elements(&mut ruleset, set, [subnet].iter());
        }
        for gateway in network.gateways() {
            add_gateway(&mut ruleset, &bridge, gateway);
        }
    }
    published::add_published(&mut ruleset, published);
    if let Some(stamp) = stamp {
        stamp.add_to(&mut ruleset);
    }
    apply(&ruleset)
}

/// What is done with packets of one family that leave a network and come to it.
fn add_gateway(ruleset: &mut String, bridge: &str, gateway: Gateway) {
    let (family, sources) = if gateway.ipv6 {
        ("ipv6", "sources6")
    } else {
        ("ipv4", "sources4")
    };
    let mut add = |set, element| add_elements(ruleset, set, [element].into_iter());
    match gateway.source {
        Source::Masqueraded => add("masqueraded", format!("{family} . {bridge}")),
        Source::Fixed(address) => add(sources, format!("{bridge} : {address}")),
        Source::Kept => {}
    }
    if gateway.routed {
        add("routed", format!("{family} . {bridge}"));
    }
}

/// Makes the table gone.
pub fn ensure_table_absent() -> Result<(), NftError> {
    apply(ABSENT)
}

/// `add` first: deleting a table that is not there is an error.
const ABSENT: &str = "add table inet bridge_user\ndelete table inet bridge_user\n";

/// Adds elements to a set or map.
fn add_elements(ruleset: &mut String, set: &str, elements: impl Iterator<Item: Display>) {
    change_elements(ruleset, "add", set, elements);
}

/// Deletes elements of a set or map.
fn delete_elements(ruleset: &mut String, set: &str, elements: impl Iterator<Item: Display>) {
    change_elements(ruleset, "delete", set, elements);
}

/// nft takes no empty list of elements.
fn change_elements(
    ruleset: &mut String,
    change: &str,
    set: &str,
    elements: impl Iterator<Item: Display>,
) {
    let elements: Vec<String> = elements.map(|element| element.to_string()).collect();
    if !elements.is_empty() {
        let elements = elements.join(", ");
        writeln!(
            ruleset,
            "{change} element inet bridge_user {set} {{ {elements} }}"
        )
        .expect("a string takes what is written");
    }
}

/// The name of a network's bridge as nft takes it, whatever its letters: it has neither `"` nor `*`
/// (`InterfaceName`).
fn quoted(network: &Network) -> String {
    format!("\"{}\"", network.bridge)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_rule_that_is_left_out() {
        assert_eq!(TABLE.matches(WITHOUT_INTERNAL).count(), 1);
    }
}
