//! The nftables table `inet bridge_user`: what may be routed between and out of networks.
//!
//! One map says what a network's endpoints may do among themselves, sets say which bridges are
//! ours and which are internal. With br_netfilter on, bridged frames pass here too, with the
//! bridge as both interfaces: `within` has to accept them where ICC is on.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const TABLE: &str = "bridge_user";

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
    #[error("nft refused the table inet {TABLE}: {0}")]
    Refused(String),
}

/// Makes the table be what `policies` say, in one transaction.
pub fn ensure_table(policies: &[NetworkPolicy]) -> Result<(), NftError> {
    let mut commands = delete_table();
    commands.push(json!({"add": {"table": table()}}));
    commands.extend(sets(policies));
    commands.extend(forward_chain());
    apply(&commands)
}

/// Makes the table gone.
pub fn ensure_table_absent() -> Result<(), NftError> {
    apply(&delete_table())
}

/// `add` first: deleting a table that is not there is an error.
fn delete_table() -> Vec<Value> {
    vec![
        json!({"add": {"table": table()}}),
        json!({"delete": {"table": table()}}),
    ]
}

fn table() -> Value {
    json!({"family": "inet", "name": TABLE})
}

fn sets(policies: &[NetworkPolicy]) -> Vec<Value> {
    let bridges: Vec<&str> = policies.iter().map(|p| p.bridge.as_str()).collect();
    let internal: Vec<&str> = policies
        .iter()
        .filter(|p| p.internal)
        .map(|p| p.bridge.as_str())
        .collect();
    let within: Vec<Value> = policies
        .iter()
        .map(|p| {
            let verdict = if p.icc { "accept" } else { "drop" };
            json!([{"concat": [p.bridge, p.bridge]}, {verdict: null}])
        })
        .collect();
    let set = |name: &str, elements: &[&str]| {
        let mut set = json!({"family": "inet", "table": TABLE, "name": name, "type": "ifname"});
        // nft takes no empty list of elements.
        if !elements.is_empty() {
            set["elem"] = json!(elements);
        }
        json!({"add": {"set": set}})
    };
    let map = json!({
        "family": "inet", "table": TABLE, "name": "within",
        "type": ["ifname", "ifname"], "map": "verdict", "elem": within,
    });
    vec![
        set("bridges", &bridges),
        set("internal", &internal),
        json!({"add": {"map": map}}),
    ]
}

/// The order is the policy: what is within one network is settled before anything else.
fn forward_chain() -> Vec<Value> {
    let chain = json!({
        "family": "inet", "table": TABLE, "name": "forward",
        "type": "filter", "hook": "forward", "prio": 0, "policy": "accept",
    });
    let from = json!({"meta": {"key": "iifname"}});
    let to = json!({"meta": {"key": "oifname"}});
    let is_in = |side: &Value, set: &str| json!({"match": {"op": "==", "left": side, "right": format!("@{set}")}});
    let drop = json!({"drop": null});
    let rules = [
        json!([{"vmap": {"key": {"concat": [from, to]}, "data": "@within"}}]),
        json!([is_in(&from, "internal"), drop]),
        json!([is_in(&to, "internal"), drop]),
        json!([is_in(&from, "bridges"), is_in(&to, "bridges"), drop]),
    ];
    let rule = |expr: Value| {
        json!({"add": {"rule": {
            "family": "inet", "table": TABLE, "chain": "forward", "expr": expr,
        }}})
    };
    std::iter::once(json!({"add": {"chain": chain}}))
        .chain(rules.map(rule))
        .collect()
}

fn apply(commands: &[Value]) -> Result<(), NftError> {
    let ruleset = json!({ "nftables": commands }).to_string();
    tracing::info!("nft -j -f - (table inet {TABLE})");
    tracing::debug!("{ruleset}");
    let output = run(&ruleset).map_err(NftError::NoTool)?;
    if output.status.success() {
        return Ok(());
    }
    Err(NftError::Refused(
        String::from_utf8_lossy(&output.stderr).trim().into(),
    ))
}

/// The crate `nftables` would do, but it leaves nft's reason to standard error and loses it.
fn run(ruleset: &str) -> io::Result<Output> {
    let mut nft = Command::new("nft")
        .args(["-j", "-f", "-"])
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
