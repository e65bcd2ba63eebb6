//! The program alone: nanoseconds a run by BPF_PROG_TEST_RUN on frames between endpoints, with few
//! and with many entries in its maps, and what the verifier said of it.

use std::{fmt::Write as _, path::Path};

use super::{
    frame,
    maps::endpoint,
    report::{self, Machine},
    stats::{median, quantile},
    topology::{Built, TOPOLOGIES},
    traffic::on_pinned_thread,
};
use anyhow::{Context, Result, bail};
use aya::{
    TestRunOptions,
    programs::{ProgramInfo, SchedClassifier, TestRun as _},
};

/// Runs in one call, and calls; figures are of the calls.
const REPEAT: u32 = 200_000;
const CALLS: usize = 15;

/// Offset of `ifindex` in `struct __sk_buff` (`include/uapi/linux/bpf.h`, v6.18).
const IFINDEX_OFFSET: usize = 40;

/// `TC_ACT_REDIRECT` (`include/uapi/linux/pkt_cls.h`, v6.18).
const REDIRECT: u32 = 7;

/// A kind of frame: its name, its bytes, and whether it is IPv6.
const FRAMES: &[(&str, usize, bool)] = &[
    ("IPv4 UDP 64 B", 64, false),
    ("IPv4 UDP 1500 B", 1500, false),
    ("IPv6 UDP 64 B", 64, true),
];

/// Measures over every topology with the program, and writes the table and program.csv.
pub(super) fn measure(binary: &Path, directory: &Path) -> Result<()> {
    let how = format!(
        "{}; medians of {CALLS} calls of BPF_PROG_TEST_RUN with {REPEAT} runs each",
        Machine::this()?
    );
    let mut rows = Vec::new();
    let mut instructions = None;
    for (number, topology) in TOPOLOGIES.iter().enumerate() {
        if !topology.has_program() {
            continue;
        }
        eprintln!("running the program, {}", topology.name);
        // Beside those of the traffic, which are numbered from 0.
        let built = topology.build(TOPOLOGIES.len() + number, binary)?;
        for (name, bytes, ipv6) in FRAMES {
            let times = on_pinned_thread(|| times(&built, *bytes, *ipv6))
                .with_context(|| format!("{name} over {}", topology.name))?;
            rows.push(Row {
                frame: name,
                topology: topology.name,
                median: median(&times),
                p25: quantile(&times, 25),
                p75: quantile(&times, 75),
            });
        }
        instructions = Some(verified_instructions(&built.pins)?);
    }
    let instructions = instructions.context("no topology has the program")?;
    print(&how, &rows, instructions);
    report::write(directory, "program.csv", &csv(&how, &rows, instructions))
}

/// Figures of the program on one kind of frame.
struct Row {
    frame: &'static str,
    topology: &'static str,
    /// Nanoseconds a run.
    median: f64,
    p25: f64,
    p75: f64,
}

#[expect(clippy::print_stdout, reason = "the table is what the command is for")]
fn print(how: &str, rows: &[Row], instructions: u32) {
    println!("{how}");
    println!(
        "{:<18}{:<26}{:>8}{:>8}{:>8}",
        "FRAME", "TOPOLOGY", "NS", "P25", "P75"
    );
    for row in rows {
        println!(
            "{:<18}{:<26}{:>8.0}{:>8.0}{:>8.0}",
            row.frame, row.topology, row.median, row.p25, row.p75
        );
    }
    println!("port_ingress: the verifier looked at {instructions} instructions");
}

fn csv(how: &str, rows: &[Row], instructions: u32) -> String {
    let mut csv = format!(
        "# {how}; port_ingress: {instructions} instructions verified\n\
         frame,topology,unit,median,p25,p75\n"
    );
    for row in rows {
        let _ = writeln!(
            csv,
            "{},\"{}\",ns,{:.0},{:.0},{:.0}",
            row.frame, row.topology, row.median, row.p25, row.p75
        );
    }
    csv
}

/// Instructions that the verifier looked at.
fn verified_instructions(pins: &Path) -> Result<u32> {
    let info = ProgramInfo::from_pin(pins.join("programs/port_ingress"))
        .context("failed to ask for port_ingress")?;
    info.verified_instruction_count()
        .context("this kernel does not tell how many instructions it verified")
}

/// Nanoseconds a run, of each call.
fn times(built: &Built, bytes: usize, ipv6: bool) -> Result<Vec<f64>> {
    let [client, server] = [built.client_address(false), built.server_address(false)]
        .map(|address| endpoint(&built.pins, address));
    let (client, server) = (client?, server?);
    let macs = [client.mac, server.mac].map(bytes_of);
    let frame = frame::udp(built, macs, bytes, ipv6);
    let mut context = [0; IFINDEX_OFFSET + 4];
    context[IFINDEX_OFFSET..].copy_from_slice(&client.ifindex.to_ne_bytes());
    let program = SchedClassifier::from_pin(built.pins.join("programs/port_ingress"))?;
    // The kernel looks for the link in the caller's namespace.
    built.host.enter()?;
    let once = || {
        let ran = program.test_run(TestRunOptions {
            data_in: Some(&frame),
            ctx_in: Some(&context),
            repeat: REPEAT,
            ..TestRunOptions::default()
        })?;
        if ran.return_value != REDIRECT {
            bail!("the program answered {}, no redirect", ran.return_value);
        }
        Ok(ran.duration.as_secs_f64() * 1e9)
    };
    (0..CALLS).map(|_| once()).collect()
}

/// The bytes of a MAC address that a map has in units.
fn bytes_of(mac: [u16; 3]) -> [u8; 6] {
    let [[a, b], [c, d], [e, f]] = mac.map(u16::to_ne_bytes);
    [a, b, c, d, e, f]
}
