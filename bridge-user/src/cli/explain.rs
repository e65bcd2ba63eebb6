//! `explain`.

use std::io::Write;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::output::{Format, print_rows};
use super::{CliError, open};
use crate::kernel::bpf::Road;
use crate::model::mac_text;
use crate::ops::{ExplainSpec, Explanation, Outcome, Paths, Payload};

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// The sender: an endpoint's name or its sandbox.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    from: String,
    /// The receiver: an endpoint's name, alias or sandbox, or any address.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    to: String,
    /// What is sent.
    #[arg(long, value_enum, default_value = "tcp")]
    proto: Protocol,
    /// The port that it is sent to; icmp has none.
    #[arg(long, default_value_t = 80)]
    port: u16,
    /// The network that it is sent on, where the sender is on several.
    #[arg(long)]
    network: Option<String>,
    /// table, json, or a template.
    #[arg(long)]
    format: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ExplanationView {
    from: String,
    network: String,
    to: String,
    frame: FrameView,
    road: &'static str,
    reason: &'static str,
    meaning: String,
    check: &'static str,
    /// What this bridge-user's own copy of the decision says, where it is something else.
    differs: Option<String>,
    checks: Vec<CheckView>,
    entries: Vec<EntryView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct FrameView {
    description: String,
    /// Its IP source, of a request too.
    source: String,
    source_mac: String,
    destination_mac: String,
    length: usize,
    port: String,
    ifindex: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CheckView {
    check: &'static str,
    result: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EntryView {
    map: &'static str,
    key: String,
    value: Option<String>,
}

const CHECK_COLUMNS: [(&str, &str); 2] = [("CHECK", "Check"), ("RESULT", "Result")];
const ENTRY_COLUMNS: [(&str, &str); 3] = [("MAP", "Map"), ("KEY", "Key"), ("VALUE", "Value")];

pub(super) fn run(
    arguments: &ExplainArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let format = Format::parse(arguments.format.as_deref())?;
    let payload = match arguments.proto {
        Protocol::Tcp => Payload::Tcp(arguments.port),
        Protocol::Udp => Payload::Udp(arguments.port),
        Protocol::Icmp => Payload::Icmp,
    };
    let explanation = open(paths)?.explain(&ExplainSpec {
        from: arguments.from.clone(),
        to: arguments.to.clone(),
        payload,
        network: arguments.network.clone(),
    })?;
    let view = ExplanationView::new(&explanation, payload);
    if matches!(format, Format::Table) {
        print(out, &view)
    } else {
        print_rows(out, &format, &[], &[view])
    }
}

fn print(out: &mut impl Write, view: &ExplanationView) -> Result<(), CliError> {
    let frame = &view.frame;
    writeln!(
        out,
        "{} -> {} on network {}: {}\n{} > {}, {} bytes, in at {} (ifindex {})\n",
        view.from,
        view.to,
        view.network,
        frame.description,
        frame.source_mac,
        frame.destination_mac,
        frame.length,
        frame.port,
        frame.ifindex
    )?;
    print_rows(out, &Format::Table, &CHECK_COLUMNS, &view.checks)?;
    writeln!(out)?;
    let shown: Vec<EntryView> = view
        .entries
        .iter()
        .map(|entry| EntryView {
            map: entry.map,
            key: entry.key.clone(),
            value: Some(entry.value.clone().unwrap_or_else(|| "no entry".into())),
        })
        .collect();
    print_rows(out, &Format::Table, &ENTRY_COLUMNS, &shown)?;
    writeln!(out, "\n{}: {}", view.road, view.meaning)?;
    if let Some(own) = &view.differs {
        writeln!(
            out,
            "the pinned program decides by {}; checks and entries are of this bridge-user, which \
             decides: {own}",
            view.check
        )?;
    }
    Ok(())
}

impl ExplanationView {
    fn new(explanation: &Explanation, payload: Payload) -> Self {
        let from = &explanation.from;
        let (road, reason) = road_and_reason(explanation.trial.explained.road);
        Self {
            from: from.endpoint.name.to_string(),
            network: from.network.name.to_string(),
            to: explanation.address.to_string(),
            frame: FrameView {
                description: description(explanation, payload),
                source: explanation.source.to_string(),
                source_mac: from.endpoint.mac.to_string(),
                destination_mac: mac_text(explanation.destination_mac),
                length: explanation.length,
                port: from.endpoint.host_leg().to_string(),
                ifindex: explanation.ifindex,
            },
            road,
            reason,
            meaning: meaning(explanation),
            check: explanation.trial.explained.check.name(),
            differs: explanation.trial.differs.map(|own| {
                let (road, reason) = road_and_reason(own.road);
                let what = if reason.is_empty() { road } else { reason };
                format!("{what} by {}", own.check.name())
            }),
            checks: explanation
                .checks
                .iter()
                .map(|(check, outcome)| CheckView {
                    check: check.name(),
                    result: match outcome {
                        Outcome::Passed => "passed",
                        Outcome::NotAsked => "not asked about such a frame",
                        Outcome::Decided => "decided",
                        Outcome::NotReached => "not reached",
                    },
                })
                .collect(),
            entries: explanation
                .trial
                .lookups
                .iter()
                .map(|lookup| EntryView {
                    map: lookup.map,
                    key: lookup.key.clone(),
                    value: lookup.value.clone(),
                })
                .collect(),
        }
    }
}

fn road_and_reason(road: Road) -> (&'static str, &'static str) {
    match road {
        Road::Fast { .. } => ("fast", ""),
        Road::Slow | Road::Host => ("slow", ""),
        Road::Answered => ("answered", ""),
        Road::Dropped(reason) => ("dropped", reason),
    }
}

fn description(explanation: &Explanation, payload: Payload) -> String {
    let ipv6 = explanation.address.is_ipv6();
    if explanation.is_request {
        let request = if ipv6 {
            "neighbour solicitation"
        } else {
            "ARP request"
        };
        return format!("{request}, for no endpoint has the address");
    }
    let family = if ipv6 { "IPv6" } else { "IPv4" };
    match payload {
        Payload::Tcp(port) => format!("{family}, TCP to port {port}"),
        Payload::Udp(port) => format!("{family}, UDP to port {port}"),
        Payload::Icmp => format!("{family}, ICMP echo request"),
    }
}

fn meaning(explanation: &Explanation) -> String {
    match explanation.trial.explained.road {
        Road::Fast { ifindex } => match &explanation.target {
            Some(port) => format!(
                "redirected into {} of sandbox {}, past the bridge (by {}, ifindex {ifindex})",
                port.endpoint.interface,
                port.sandbox.reference,
                port.endpoint.host_leg()
            ),
            None => format!("redirected to the port with ifindex {ifindex}"),
        },
        Road::Slow => format!(
            "left to the bridge {}, which forwards, floods or hands it to the host",
            explanation.from.network.bridge
        ),
        Road::Host => "handed to the host, and to no other port".into(),
        Road::Answered => "answered by the program itself".into(),
        Road::Dropped(reason) => format!("{reason}: {}", why(reason)),
    }
}

/// The reason in words (`bridge_common::DropReason`).
fn why(reason: &str) -> &'static str {
    match reason {
        "no_port" => "the program knows no such port",
        "malformed" => "headers are cut short, or contradict themselves",
        "spoofed_mac" | "spoofed_ip" | "spoofed_arp" | "spoofed_nd" => {
            "the endpoint does not have this source address"
        }
        "icc" => "inter-container communication is off in the network",
        "isolated" => "the destination is in another network of ours",
        "internal" => "the network is internal, and the destination beyond it",
        "storm" => "the port sends more broadcast and multicast than it may",
        _ => "endpoints may not send this",
    }
}
