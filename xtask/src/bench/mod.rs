//! `cargo xtask bench`: figures in namespaces of its own, of which nothing is left. What commands
//! cost, what traffic costs by each topology, of sockets and of XDP, and to published ports from the host and
//! from outside, what the program costs, and what DNS does.

mod born;
mod commands;
mod dns;
mod docker;
mod frame;
mod maps;
mod outside;
mod plot;
mod program;
mod published;
mod report;
mod stats;
mod topology;
mod traffic;
mod workload;

use std::{env, process::Command};

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::{build, ebpf, process, workspace::Workspace};

/// Arguments of `bench`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure; else everything
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Rounds of traffic in a run; in each, every topology has its turn
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Runs of traffic; ratios are the median of theirs
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=50))]
    runs: u16,
    /// Milliseconds that a topology's turn lasts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=5000))]
    turn: u16,
    /// Sandboxes that are connected and disconnected
    #[arg(long, default_value_t = 51, value_parser = clap::value_parser!(u16).range(1..=250))]
    sandboxes: u16,
    /// Endpoints on the network whose names are asked for; each has ten names
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    endpoints: u16,
    /// Set by bench itself, in the namespaces that it made
    #[arg(long, hide = true)]
    inside: bool,
}

/// A part of the figures.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Whole commands, as processes
    Commands,
    /// Traffic by every topology; writes traffic.csv and traffic.svg to docs/benchmarks
    Traffic,
    /// From the host to a published port; writes published.csv to docs/benchmarks
    Published,
    /// From outside to a published port; writes outside.csv and outside.svg to docs/benchmarks
    Outside,
    /// Frames that are born in XDP; writes born.csv to docs/benchmarks
    Born,
    /// The program alone, by BPF_PROG_TEST_RUN; writes program.csv to docs/benchmarks
    Program,
    /// The daemon's DNS: a fixed rate of questions, latencies, memory
    Dns,
}

/// Builds, makes namespaces and measures in them.
pub(crate) fn main(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if arguments.inside {
        return measure(workspace, arguments);
    }
    build::bridge_user(workspace)?;
    let itself = env::current_exe().context("failed to find this program")?;
    let keep = ["CARGO_MANIFEST_DIR", "CARGO_TARGET_DIR"];
    process::check(
        process::as_root("unshare", &keep)?
            .args(["--net", "--mount", "--propagation", "private", "--"])
            .arg(itself)
            .args(env::args_os().skip(1))
            .arg("--inside"),
    )
}

/// Own places for what commands write, so that nothing is left on the machine: the mounts end
/// with their namespace.
const SETUP: &str = "
set -eu
mount -t tmpfs tmpfs /run
mkdir /run/netns /run/etc /run/work /run/bpf
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work /etc
mount -t sysfs sysfs /sys
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
";

fn measure(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    process::check(Command::new("sh").args(["-c", SETUP]))?;
    let binary = workspace.target().join("release/bridge-user");
    let directory = workspace.root().join("docs/benchmarks");
    let wanted = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    if wanted(Part::Program) {
        program::measure(&binary, &directory)?;
    }
    if wanted(Part::Traffic) {
        traffic::measure(&binary, &directory, arguments)?;
    }
    if wanted(Part::Published) {
        published::measure(&binary, &directory, arguments)?;
    }
    if wanted(Part::Outside) {
        outside::measure(&binary, &directory, arguments)?;
    }
    if wanted(Part::Born) {
        born::measure(&binary, &ebpf::bench_object(workspace), &directory)?;
    }
    if wanted(Part::Commands) {
        commands::measure(&binary, arguments.sandboxes)?;
    }
    if wanted(Part::Dns) {
        dns::measure(&binary, arguments.endpoints.into())?;
    }
    Ok(())
}
