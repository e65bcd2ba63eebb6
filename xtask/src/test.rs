//! `cargo xtask test`: rings of checks, from the cheap ones inwards to the real kernel.

use std::{
    env,
    fmt::Write as _,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    beside, build,
    debian::{self, Tool},
    ebpf::{self, Object},
    process, tidy,
    toolchain::Toolchain,
    vm,
    workspace::Workspace,
};

/// What the tests on the real kernel call: witnesses and traffic.
pub(crate) const TOOLS: &[Tool] = &[
    tool("bpftool", "bpftool"),
    tool("ip", "iproute2"),
    tool("nft", "nftables"),
    tool("busybox", "busybox-static"),
    tool("curl", "curl"),
    tool("nc", "netcat-openbsd"),
    tool("dig", "bind9-dnsutils"),
    tool("ethtool", "ethtool"),
    tool("ping", "iputils-ping"),
    tool("iperf3", "iperf3"),
    tool("iptables", "iptables"),
    tool("tcpdump", "tcpdump"),
    tool("ps", "procps"),
    tool("nsenter", "util-linux"),
    tool("strace", "strace"),
    tool("findmnt", "util-linux"),
    tool("script", "bsdutils"),
];

const fn tool(program: &'static str, package: &'static str) -> Tool {
    Tool { program, package }
}

/// Arguments of `test` and `ci`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only the tests whose names contain one of these; the other checks run all the same
    #[arg(last = true)]
    filters: Vec<String>,
}

/// How a ring ended.
enum Outcome {
    Passed,
    Failed(anyhow::Error),
    /// This machine cannot run it, and why.
    NotRun(String),
}

impl From<Result<()>> for Outcome {
    fn from(result: Result<()>) -> Self {
        result.map_or_else(Self::Failed, |()| Self::Passed)
    }
}

/// What the rings share.
struct Context<'a> {
    workspace: &'a Workspace,
    toolchain: &'a Toolchain,
    filters: &'a [String],
}

/// The ring that even CI may leave out: what it needs begins to work on a machine as soon as it is
/// installed, so nothing installs it.
const BESIDE: &str = "beside";

/// A ring's name and what it runs.
type Ring = (&'static str, fn(&Context<'_>) -> Outcome);

const RINGS: &[Ring] = &[
    ("fmt", fmt),
    ("clippy", clippy),
    ("clippy-bpf", clippy_bpf),
    ("tidy", |context| tidy::check(context.workspace).into()),
    ("unit", unit),
    ("kernel", kernel),
    (BESIDE, beside),
    ("bpf-log", bpf_log),
    ("vm", vm),
];

/// Whether the environment says that this is CI.
pub(crate) fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true")
}

/// Builds, then runs every ring; a ring that cannot run is a failure where `all_required`.
pub(crate) fn main(workspace: &Workspace, arguments: &Arguments, all_required: bool) -> Result<()> {
    let toolchain = build::object(workspace, Object::Plain)?;
    ebpf::build(workspace, &toolchain, Object::Logging)?;
    let context = Context {
        workspace,
        toolchain: &toolchain,
        filters: &arguments.filters,
    };
    let mut table = String::new();
    let (mut failed, mut not_run) = (Vec::new(), Vec::new());
    for (name, ring) in RINGS {
        eprintln!("==> {name}");
        let start = Instant::now();
        let outcome = ring(&context);
        row(&mut table, name, &outcome, start.elapsed())?;
        match outcome {
            Outcome::Passed => {}
            Outcome::Failed(error) => {
                eprintln!("{name} failed: {error:#}");
                failed.push(*name);
            }
            Outcome::NotRun(reason) => {
                eprintln!("{name} was not run: {reason}");
                not_run.push(*name);
            }
        }
    }
    eprint!("\n{table}");
    conclude(&failed, &not_run, all_required)
}

/// What the whole run comes to.
fn conclude(failed: &[&str], not_run: &[&str], all_required: bool) -> Result<()> {
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    let counts = |ring: &&str| *ring != BESIDE;
    let missed: Vec<&str> = not_run.iter().copied().filter(counts).collect();
    if all_required && !missed.is_empty() {
        bail!("not run, and CI needs all: {}", missed.join(", "));
    }
    Ok(())
}

/// Adds a ring to the table that is printed at the end.
fn row(table: &mut String, name: &str, outcome: &Outcome, took: Duration) -> Result<()> {
    let seconds = took.as_secs_f64();
    match outcome {
        Outcome::Passed => writeln!(table, "{name:12} passed   {seconds:7.1} s")?,
        Outcome::Failed(_) => writeln!(table, "{name:12} FAILED   {seconds:7.1} s")?,
        Outcome::NotRun(reason) => writeln!(table, "{name:12} not run            {reason}")?,
    }
    Ok(())
}

fn fmt(context: &Context<'_>) -> Outcome {
    if let Some(reason) = no_component(context, "fmt", "rustfmt") {
        return Outcome::NotRun(reason);
    }
    process::check(context.workspace.cargo("fmt").args(["--all", "--check"])).into()
}

fn clippy(context: &Context<'_>) -> Outcome {
    if let Some(reason) = no_component(context, "clippy", "clippy") {
        return Outcome::NotRun(reason);
    }
    let check = |features: &str| {
        let mut cargo = context.workspace.cargo("clippy");
        cargo
            .args(["--workspace", "--all-targets", "--features", features])
            .arg("--target-dir")
            .arg(context.workspace.test_target());
        process::check(cargo.args(["--", "-D", "warnings"]))
    };
    let features = "bridge-user/fault-injection,bridge-user/privileged-tests";
    check(features)
        .and_then(|()| check(&format!("{features},bridge-user/bpf-log")))
        .into()
}

/// The hooks and maps, which only the BPF target compiles.
fn clippy_bpf(context: &Context<'_>) -> Outcome {
    if let Some(reason) = no_component(context, "clippy", "clippy") {
        return Outcome::NotRun(reason);
    }
    if context.toolchain.rustc.is_some() {
        return Outcome::NotRun("clippy's own toolchain has no rust-src".to_owned());
    }
    let check = |object| {
        let mut cargo = ebpf::cargo(context.workspace, context.toolchain, "clippy", object);
        process::check(cargo.args(["--", "-D", "warnings"]))
    };
    check(Object::Plain)
        .and_then(|()| check(Object::Logging))
        .into()
}

fn unit(context: &Context<'_>) -> Outcome {
    // One cargo call: a package's `--lib` and another's binary are one set of targets.
    let packages = ["bridge-common", "bridge-ebpf", "bridge-user", "xtask"];
    let mut cargo = context.workspace.cargo("test");
    for package in packages {
        cargo.args(["--package", package]);
    }
    cargo
        .args(["--lib", "--bins", "--target-dir"])
        .arg(context.workspace.test_target())
        .arg("--")
        .args(context.filters);
    process::check(&mut cargo).into()
}

/// The integration crate against the real kernel, with the real binary.
fn kernel(context: &Context<'_>) -> Outcome {
    if let Err(error) = kernel_is_usable() {
        return Outcome::NotRun(format!("{error:#}"));
    }
    let mut cargo = match integration(context.workspace, FEATURES) {
        Ok(cargo) => cargo,
        Err(error) => return Err(error).into(),
    };
    cargo.args(["--", "--skip", beside::TESTS]);
    cargo.args(context.filters);
    if let Some(reason) = no_vlan_devices() {
        eprintln!("kernel: the tests of module vlan are left to the vm ring: {reason}");
        cargo.args(["--skip", VLAN_TESTS]);
    }
    process::check(&mut cargo).into()
}

/// The tests that need the software of others on the same host.
fn beside(context: &Context<'_>) -> Outcome {
    let not_here = || kernel_is_usable().err().map(|error| format!("{error:#}"));
    match not_here().or_else(beside::missing) {
        Some(reason) => Outcome::NotRun(reason),
        None => beside::run(context.workspace, context.filters).into(),
    }
}

/// Features of the tests on the real kernel.
pub(crate) const FEATURES: &str = "privileged-tests,fault-injection";

/// The build for debugging the programs: they pass the verifier, and `trace` prints their log.
fn bpf_log(context: &Context<'_>) -> Outcome {
    if let Err(error) = kernel_is_usable() {
        return Outcome::NotRun(format!("{error:#}"));
    }
    integration(context.workspace, &format!("{FEATURES},bpf-log"))
        .and_then(|mut cargo| process::check(cargo.args(["--", "log::"])))
        .into()
}

/// Beginning of the names of the tests that need VLAN devices.
const VLAN_TESTS: &str = "vlan::";

/// What this kernel says to a VLAN device in a namespace of its own, if it does not make it.
fn no_vlan_devices() -> Option<String> {
    let make = || {
        process::output(
            process::as_root("unshare", &[])?
                .args(["--net", "ip", "link", "add", "link", "lo", "name", "v"])
                .args(["type", "vlan", "id", "5"]),
        )
    };
    make()
        .err()
        .map(|error| format!("no VLAN devices here: {error:#}"))
}

/// The same tests on another kernel.
fn vm(context: &Context<'_>) -> Outcome {
    if let Some(reason) = vm::not_here() {
        return Outcome::NotRun(reason);
    }
    vm::ring(context.workspace, context.filters).into()
}

/// Runs a command made of [`integration`], or says what it needs.
pub(crate) fn on_this_kernel(cargo: &mut Command) -> Result<()> {
    kernel_is_usable()?;
    process::check(cargo)
}

/// Whether there are root's rights, the tools and BPF; an error says what is not.
fn kernel_is_usable() -> Result<()> {
    if let Some(reason) = process::no_root() {
        bail!("{reason}");
    }
    debian::ensure_tools(TOOLS)?;
    bpf_works()
}

/// The cargo that runs the integration crate.
pub(crate) fn integration(workspace: &Workspace, features: &str) -> Result<Command> {
    let mut cargo = workspace.cargo("test");
    cargo
        .args(["--package", "bridge-user", "--test", "it"])
        .args(["--features", features])
        .arg("--target-dir")
        .arg(workspace.test_target());
    if !process::is_root() {
        // Cargo builds as the user; only the test binary runs as root.
        let runner = r#"target."cfg(unix)".runner = ["sudo", "-E", "--"]"#;
        cargo.args(["--config", runner]);
    }
    build::linked_statically(&mut cargo)?;
    Ok(cargo)
}

/// Asks the kernel for its programs, as a witness that is not ours.
fn bpf_works() -> Result<()> {
    let bpftool = process::find_program("bpftool").unwrap_or_else(|| "bpftool".into());
    process::output(process::as_root(bpftool, &[])?.args(["prog", "show"]))?;
    Ok(())
}

/// Finds a component of the toolchain, or installs it, or says why not.
fn no_component(context: &Context<'_>, subcommand: &str, component: &str) -> Option<String> {
    let there = || process::output(context.workspace.cargo(subcommand).arg("--version")).is_ok();
    if there() {
        return None;
    }
    eprintln!("installing {component}: rustup component add {component}");
    let mut rustup = Command::new("rustup");
    let added = process::check(rustup.args(["component", "add", component]));
    match added {
        Ok(()) if there() => None,
        Ok(()) => Some(format!("please install {component}")),
        Err(error) => Some(format!("please install {component}: {error:#}")),
    }
}

#[cfg(test)]
mod tests {
    //! When a run is a failure.

    use super::conclude;

    #[test]
    fn a_ring_that_cannot_run_fails_in_ci_only() {
        assert!(conclude(&[], &["kernel"], true).is_err());
        assert!(conclude(&[], &["kernel"], false).is_ok());
        assert!(conclude(&["unit"], &[], false).is_err());
        assert!(conclude(&[], &["beside"], true).is_ok());
        assert!(conclude(&[], &[], true).is_ok());
    }
}
