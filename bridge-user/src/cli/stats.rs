//! `stats` and `fdb`: what the maps of the program say.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use super::output::{Format, print_rows};
use super::{CliError, open};
use crate::kernel::netlink::Traffic;
use crate::model::mac_text;
use crate::ops::{FdbDetails, Paths, PortTraffic};

#[derive(Debug, Args)]
pub(super) struct StatsArguments {
    /// table, json, or a template.
    #[arg(long)]
    format: Option<String>,
    /// Endpoints, sandboxes or networks; all without one.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
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
    ("TX FAST", "TxFast"),
    ("TX SLOW", "TxSlow"),
    ("RX FAST", "RxFast"),
    ("RX SLOW", "RxSlow"),
    ("ANSWERED", "AnsweredPackets"),
    ("DROPPED", "Dropped"),
];

/// What an endpoint sent and received, in packets and bytes, by road; and what was dropped of what
/// it sent. What is not known is null.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatsRow {
    endpoint: String,
    network: String,
    sandbox: String,
    port: String,
    tx_fast_packets: u64,
    tx_fast_bytes: u64,
    tx_slow_packets: u64,
    tx_slow_bytes: u64,
    rx_packets: Option<u64>,
    rx_bytes: Option<u64>,
    rx_fast_packets: Option<u64>,
    rx_fast_bytes: Option<u64>,
    rx_slow_packets: Option<u64>,
    rx_slow_bytes: Option<u64>,
    answered_packets: u64,
    answered_bytes: u64,
    /// Packets and bytes, for people.
    tx_fast: String,
    tx_slow: String,
    rx_fast: String,
    rx_slow: String,
    /// Packets, and of which reasons, for people.
    dropped: String,
    drops: BTreeMap<&'static str, u64>,
}

impl StatsRow {
    fn new(traffic: &PortTraffic) -> Self {
        let PortTraffic { port, sent, .. } = traffic;
        let drops: BTreeMap<_, _> = sent.drops().collect();
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
        let (fast, slow, answered) = (sent.fast(), sent.slow(), sent.answered());
        let rx = traffic.received.map(|received| received.total);
        let roads = traffic.received.and_then(|received| received.roads);
        let (rx_fast, rx_slow) = (roads.map(|(fast, _)| fast), roads.map(|(_, slow)| slow));
        let packets = |traffic: Option<Traffic>| traffic.map(|traffic| traffic.packets);
        let bytes = |traffic: Option<Traffic>| traffic.map(|traffic| traffic.bytes);
        Self {
            endpoint: port.endpoint.name.to_string(),
            network: port.network.name.to_string(),
            sandbox: port.sandbox.reference.to_string(),
            port: port.endpoint.host_leg().to_string(),
            tx_fast_packets: fast.0,
            tx_fast_bytes: fast.1,
            tx_slow_packets: slow.0,
            tx_slow_bytes: slow.1,
            rx_packets: packets(rx),
            rx_bytes: bytes(rx),
            rx_fast_packets: packets(rx_fast),
            rx_fast_bytes: bytes(rx_fast),
            rx_slow_packets: packets(rx_slow),
            rx_slow_bytes: bytes(rx_slow),
            answered_packets: answered.0,
            answered_bytes: answered.1,
            tx_fast: cell(Some(fast)),
            tx_slow: cell(Some(slow)),
            rx_fast: cell(rx_fast.map(|fast| (fast.packets, fast.bytes))),
            rx_slow: cell(rx_slow.map(|slow| (slow.packets, slow.bytes))),
            dropped,
            drops,
        }
    }
}

/// Packets and bytes in a column.
fn cell(counted: Option<(u64, u64)>) -> String {
    counted.map_or_else(
        || "-".into(),
        |(packets, bytes)| format!("{packets} / {}", size(bytes)),
    )
}

/// Bytes as Docker shows them: powers of 1000, four digits.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes}B");
    }
    // As a number for people it needs no more than a double has.
    #[expect(clippy::cast_precision_loss, reason = "three or four digits are shown")]
    let mut number = bytes as f64 / 1000.0;
    let mut unit = 0;
    while number >= 999.95 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = if number < 10.0 { 2 } else { 1 };
    format!("{number:.digits$}{}", UNITS[unit])
}

pub(super) fn stats(
    arguments: &StatsArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let format = Format::parse(arguments.format.as_deref())?;
    let ports = open(paths)?.stats(&arguments.names)?;
    let rows: Vec<StatsRow> = ports.iter().map(StatsRow::new).collect();
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

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn bytes_are_shown_as_docker_does() {
        for (bytes, shown) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1.00kB"),
            (12_345, "12.3kB"),
            (999_949, "999.9kB"),
            (999_950, "1.00MB"),
            (5_018_459_331, "5.02GB"),
            (u64::MAX, "18446.7PB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }
}
