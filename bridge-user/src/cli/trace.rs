//! `trace`.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use super::output::Format;
use super::{CliError, open};
use crate::kernel::bpf::{Road, TracedFrame};
use crate::model::mac_text;
use crate::ops::{Paths, PortDetails, Traced};

#[derive(Debug, Args)]
pub(super) struct TraceArguments {
    /// Frames that the program drops; with neither option, both kinds.
    #[arg(long)]
    drops: bool,
    /// Frames that it leaves to the bridge.
    #[arg(long)]
    misses: bool,
    /// Lines for people, or json: an object a line.
    #[arg(long, value_parser = ["table", "json"])]
    format: Option<String>,
    /// Endpoints, sandboxes or networks; all without one.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    names: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventView {
    /// Seconds since boot.
    time: f64,
    endpoint: String,
    network: String,
    ifindex: u32,
    road: &'static str,
    reason: &'static str,
    check: &'static str,
    length: u32,
    frame: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LostView {
    lost: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LineView<'l> {
    log: &'l str,
}

/// Prints events as they come. SIGINT and SIGTERM end it.
pub(super) fn run(
    arguments: &TraceArguments,
    paths: &Paths,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let json = matches!(Format::parse(arguments.format.as_deref())?, Format::Json);
    let both = arguments.drops == arguments.misses;
    let trace = open(paths)?.trace(
        &arguments.names,
        arguments.drops || both,
        arguments.misses || both,
    )?;
    let told = trace.run(|traced| {
        match traced {
            Traced::Frame(frame, port) => {
                let view = view(frame, *port);
                if json {
                    serde_json::to_writer(&mut *out, &view)?;
                    writeln!(out)?;
                } else {
                    print(out, &view)?;
                }
            }
            Traced::Line(log) if json => {
                serde_json::to_writer(&mut *out, &LineView { log })?;
                writeln!(out)?;
            }
            Traced::Line(line) => writeln!(out, "log: {line}")?,
            Traced::Lost(lost) if json => {
                serde_json::to_writer(&mut *out, &LostView { lost: *lost })?;
                writeln!(out)?;
            }
            Traced::Lost(lost) => writeln!(out, "{lost} events lost")?,
        }
        out.flush()
    });
    Ok(told?)
}

fn print(out: &mut impl Write, view: &EventView) -> io::Result<()> {
    let what = if view.reason.is_empty() {
        view.road
    } else {
        view.reason
    };
    writeln!(
        out,
        "{:.6} {} {what} at {}: {}, {} bytes",
        view.time, view.endpoint, view.check, view.frame, view.length
    )
}

fn view(frame: &TracedFrame, port: Option<&PortDetails>) -> EventView {
    let (road, reason) = match frame.explained.road {
        Road::Dropped(reason) => ("dropped", reason),
        Road::Fast { .. } => ("fast", ""),
        Road::Slow | Road::Host => ("slow", ""),
        Road::Answered => ("answered", ""),
    };
    let endpoint = match port {
        Some(port) => port.endpoint.name.to_string(),
        None => format!("ifindex {}", frame.ifindex),
    };
    EventView {
        // Microseconds are well within a double's precision.
        time: std::time::Duration::from_nanos(frame.time_ns).as_secs_f64(),
        endpoint,
        network: port
            .map(|port| port.network.name.to_string())
            .unwrap_or_default(),
        ifindex: frame.ifindex,
        road,
        reason,
        check: frame.explained.check.name(),
        length: frame.length,
        frame: describe(&frame.head),
    }
}

/// A frame in a line, as far as its first bytes tell.
fn describe(head: &[u8]) -> String {
    let (Some(destination), Some(source), Some(kind)) =
        (bytes(head, 0), bytes(head, 6), bytes(head, 12))
    else {
        return "no Ethernet header".into();
    };
    let macs = format!("{} > {}", mac_text(source), mac_text(destination));
    let inside = match u16::from_be_bytes(kind) {
        0x0800 => ipv4(head),
        0x86dd => ipv6(head),
        0x0806 => arp(head),
        kind => Some(format!("type 0x{kind:04x}")),
    };
    format!("{macs}, {}", inside.as_deref().unwrap_or("cut short"))
}

fn bytes<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at + N)?.try_into().ok()
}

fn ipv4(head: &[u8]) -> Option<String> {
    let [first, ..] = bytes::<1>(head, 14)?;
    let upper = 14 + 4 * usize::from(first & 0x0f);
    let [protocol] = bytes(head, 23)?;
    let (from, to) = (bytes::<4>(head, 26)?, bytes::<4>(head, 30)?);
    let (from, to) = (Ipv4Addr::from(from), Ipv4Addr::from(to));
    Some(format!("{from} > {to}, {}", carried(head, protocol, upper)))
}

fn ipv6(head: &[u8]) -> Option<String> {
    let [next] = bytes(head, 20)?;
    let (from, to) = (bytes::<16>(head, 22)?, bytes::<16>(head, 38)?);
    let (from, to) = (Ipv6Addr::from(from), Ipv6Addr::from(to));
    Some(format!("{from} > {to}, {}", carried(head, next, 54)))
}

fn arp(head: &[u8]) -> Option<String> {
    let operation = u16::from_be_bytes(bytes(head, 20)?);
    let (sender, target) = (bytes::<4>(head, 28)?, bytes::<4>(head, 38)?);
    let (sender, target) = (Ipv4Addr::from(sender), Ipv4Addr::from(target));
    let sender_mac = mac_text(bytes(head, 22)?);
    Some(match operation {
        1 => format!("ARP: {sender} ({sender_mac}) asks for {target}"),
        _ => format!("ARP: {sender} is at {sender_mac}"),
    })
}

fn carried(head: &[u8], protocol: u8, at: usize) -> String {
    let ports = || {
        let port = |at| bytes(head, at).map(u16::from_be_bytes);
        Some(format!("{} > {}", port(at)?, port(at + 2)?))
    };
    let with_ports = |name: &str| match ports() {
        Some(ports) => format!("{name} {ports}"),
        None => name.into(),
    };
    match protocol {
        1 => "ICMP".into(),
        6 => with_ports("TCP"),
        17 => with_ports("UDP"),
        58 => match head.get(at) {
            Some(kind) => format!("ICMPv6 type {kind}"),
            None => "ICMPv6".into(),
        },
        other => format!("protocol {other}"),
    }
}
