//! `stats` and `fdb`: what the maps of the program say.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use serde::Serialize;

use super::output::{Format, print_rows};
use super::{CliError, open};
use crate::kernel::bpf::Counters;
use crate::model::mac_text;
use crate::ops::{FdbDetails, Paths, PortDetails};

#[derive(Debug, Args)]
pub(super) struct StatsArguments {
    /// table, json, or a template.
    #[arg(long)]
    format: Option<String>,
    /// Endpoints, sandboxes or networks; all without one.
    names: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct FdbArguments {
    /// table, json, or a template.
    #[arg(long)]
    format: Option<String>,
    /// Only this network's entries.
    network: Option<String>,
}

const STATS_COLUMNS: [(&str, &str); 8] = [
    ("ENDPOINT", "Endpoint"),
    ("NETWORK", "Network"),
    ("FAST", "FastPackets"),
    ("FAST BYTES", "FastBytes"),
    ("SLOW", "SlowPackets"),
    ("SLOW BYTES", "SlowBytes"),
    ("ANSWERED", "AnsweredPackets"),
    ("DROPPED", "Dropped"),
];

/// What an endpoint sent, in packets and bytes, by road; and what was dropped of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatsRow {
    endpoint: String,
    network: String,
    sandbox: String,
    port: String,
    fast_packets: u64,
    fast_bytes: u64,
    slow_packets: u64,
    slow_bytes: u64,
    answered_packets: u64,
    answered_bytes: u64,
    /// Packets, and of which reasons, for people.
    dropped: String,
    drops: BTreeMap<&'static str, u64>,
}

impl StatsRow {
    fn new(port: &PortDetails, counters: &Counters) -> Self {
        let drops: BTreeMap<_, _> = counters.drops().collect();
        let total: u64 = drops.values().sum();
        let reasons = drops.iter().filter(|(_, count)| **count > 0);
        let reasons: Vec<String> = reasons
            .map(|(name, count)| format!("{name} {count}"))
            .collect();
        let dropped = if reasons.is_empty() {
            total.to_string()
        } else {
            format!("{total} ({})", reasons.join(", "))
        };
        let (fast, slow, answered) = (counters.fast(), counters.slow(), counters.answered());
        Self {
            endpoint: port.endpoint.name.to_string(),
            network: port.network.name.to_string(),
            sandbox: port.sandbox.reference.to_string(),
            port: port.endpoint.host_leg().to_string(),
            fast_packets: fast.0,
            fast_bytes: fast.1,
            slow_packets: slow.0,
            slow_bytes: slow.1,
            answered_packets: answered.0,
            answered_bytes: answered.1,
            dropped,
            drops,
        }
    }
}

pub(super) fn stats(
    arguments: &StatsArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let format = Format::parse(arguments.format.as_deref())?;
    let ports = open(paths)?.stats(&arguments.names)?;
    let rows: Vec<StatsRow> = ports
        .iter()
        .map(|(port, counters)| StatsRow::new(port, counters))
        .collect();
    print_rows(out, &format, &STATS_COLUMNS, &rows)
}

const FDB_COLUMNS: [(&str, &str); 5] = [
    ("MAC", "Mac"),
    ("NETWORK", "Network"),
    ("PORT", "Port"),
    ("IFINDEX", "Ifindex"),
    ("ENDPOINT", "Endpoint"),
];

/// An entry; what the state or the host does not know is empty.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct FdbRow {
    mac: String,
    network: String,
    network_number: u16,
    port: String,
    ifindex: u32,
    endpoint: String,
}

impl From<FdbDetails> for FdbRow {
    fn from(entry: FdbDetails) -> Self {
        let (network, endpoint) = entry.port.map_or_else(Default::default, |port| {
            (
                port.network.name.to_string(),
                port.endpoint.name.to_string(),
            )
        });
        Self {
            mac: mac_text(entry.mac),
            network,
            network_number: entry.network_number,
            port: entry.host_leg.unwrap_or_default(),
            ifindex: entry.ifindex,
            endpoint,
        }
    }
}

pub(super) fn fdb(
    arguments: &FdbArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let format = Format::parse(arguments.format.as_deref())?;
    let entries = open(paths)?.fdb(arguments.network.as_deref())?;
    let rows: Vec<FdbRow> = entries.into_iter().map(Into::into).collect();
    print_rows(out, &format, &FDB_COLUMNS, &rows)
}
