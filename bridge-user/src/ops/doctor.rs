//! What this host has to have, and what on it would get in our way: each with what to do.
//!
//! Looks only, needs no privilege, and goes on whatever it finds.

mod dns;
mod firewall;
mod published;
mod state;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::chain;
use super::hint::USE_BPF_KERNEL;
use super::{Paths, config};
use crate::kernel::nft::Ruleset;
use crate::kernel::{bpf, cgroup, probe, sysctl};
use crate::model::DaemonStatus;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but not as well as it could, or not for everybody.
    Warning,
    /// Commands will fail.
    Failure,
}

impl Status {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub status: Status,
    /// What was seen.
    pub detail: String,
    /// What to do, unless all is well.
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self {
            check,
            status: Status::Ok,
            detail: detail.into(),
            advice: None,
        }
    }

    pub(super) fn bad(
        check: &'static str,
        status: Status,
        detail: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            check,
            status,
            detail: detail.into(),
            advice: Some(advice.into()),
        }
    }
}

/// This host's daemon, which runs.
#[derive(Debug)]
pub struct SeenDaemon {
    /// Its process id.
    pub pid: String,
    /// What it says of itself.
    pub status: io::Result<DaemonStatus>,
}

/// Looks at everything; `daemon` is this host's, if it runs.
pub fn doctor(paths: &Paths, daemon: Option<&SeenDaemon>) -> Vec<Finding> {
    let mut findings = vec![privileges(), kernel(), bpffs(), pins()];
    findings.extend(config::findings(paths));
    findings.push(state::finding(paths));
    findings.push(jit());
    findings.push(cgroups());
    findings.extend(tools());
    let ruleset = Ruleset::read().ok();
    let ruleset = ruleset.as_ref();
    let is_needed = |ipv6| ruleset.is_some_and(|ruleset| ruleset.leads_out(ipv6));
    findings.extend(forwarding([false, true].map(is_needed)));
    findings.push(br_netfilter());
    findings.extend(firewall::foreign_chains(ruleset));
    findings.extend(firewall::legacy_iptables());
    findings.extend(published::finding(ruleset, paths));
    findings.extend(dns::findings(paths, daemon));
    findings
}

fn privileges() -> Finding {
    const CHECK: &str = "privileges";
    let missing = probe::missing_capabilities();
    if missing.is_empty() {
        return Finding::ok(CHECK, "all there");
    }
    Finding::bad(
        CHECK,
        Status::Failure,
        format!("missing: {}", missing.join(", ")),
        "run as root",
    )
}

fn kernel() -> Finding {
    const CHECK: &str = "kernel";
    let release = probe::kernel_release();
    match probe::kernel_version() {
        Some(version) if version < probe::KERNEL_MIN => {
            let (major, minor) = probe::KERNEL_MIN;
            let advice = format!("use kernel {major}.{minor} or newer");
            Finding::bad(CHECK, Status::Failure, release, advice)
        }
        _ if probe::has_tcx() => Finding::ok(CHECK, format!("{release}, with tcx")),
        _ => Finding::ok(
            CHECK,
            format!("{release}, without tcx: programs are attached by clsact"),
        ),
    }
}

fn bpffs() -> Finding {
    const CHECK: &str = "bpffs";
    if bpf::is_bpffs() {
        return Finding::ok(CHECK, "mounted on /sys/fs/bpf");
    }
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known
        .lines()
        .any(|line| line.split_whitespace().last() == Some("bpf"))
    {
        return Finding::ok(CHECK, "not mounted yet: the first network does it");
    }
    Finding::bad(
        CHECK,
        Status::Failure,
        "the kernel has no BPF file system",
        USE_BPF_KERNEL,
    )
}

fn pins() -> Finding {
    const CHECK: &str = "pins";
    match bpf::layout() {
        Ok(None) => Finding::ok(CHECK, "none yet"),
        Ok(Some(version)) => Finding::ok(CHECK, format!("layout version {version}")),
        Err(error) => {
            // Only pins of another layout are of no use: what cannot be read now may be all right.
            let advice = match error {
                bpf::BpfError::NotInKernel => USE_BPF_KERNEL,
                bpf::BpfError::Layout { .. } => {
                    "use the version that made them; or bridge-user purge --yes removes them, and every network"
                }
                _ if !probe::missing_capabilities().is_empty() => "run as root",
                _ => "look again when that is mended: networks work meanwhile",
            };
            Finding::bad(CHECK, Status::Failure, chain(&error), advice)
        }
    }
}

fn jit() -> Finding {
    const CHECK: &str = "BPF JIT";
    match read("net/core/bpf_jit_enable").as_deref() {
        Some("0") => {
            let advice = "sysctl -w net.core.bpf_jit_enable=1";
            Finding::bad(
                CHECK,
                Status::Warning,
                "off: programs are interpreted, slowly",
                advice,
            )
        }
        _ => Finding::ok(CHECK, "on"),
    }
}

fn cgroups() -> Finding {
    const CHECK: &str = "cgroup v2";
    if let Some((path, _)) = cgroup::root() {
        return Finding::ok(CHECK, format!("mounted on {}", path.display()));
    }
    Finding::bad(
        CHECK,
        Status::Warning,
        "not mounted: published ports are not kept from the host's own processes, which do not reach them \
         at loopback addresses",
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup, or another directory; then bridge-user reconcile",
    )
}

fn tools() -> Vec<Finding> {
    // What for, and how bad it is without.
    const TOOLS: [(&str, &str, &str, Status); 4] = [
        ("nft", "nftables", "keeps networks apart", Status::Failure),
        (
            "ip",
            "iproute2",
            "runs commands in namespaces",
            Status::Warning,
        ),
        (
            "ping",
            "iputils-ping",
            "is used by the demo",
            Status::Warning,
        ),
        ("bpftool", "bpftool", "shows the maps", Status::Warning),
    ];
    let finding = |(tool, package, what, status): (&'static str, &str, &str, Status)| {
        if let Some(path) = which(tool) {
            return Finding::ok(tool, path.display().to_string());
        }
        let detail = format!("not found; it {what}");
        Finding::bad(
            tool,
            status,
            detail,
            format!("apt-get install {package}, or its like"),
        )
    };
    TOOLS.map(finding).into()
}

fn which(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(tool))
        .find(|file| file.is_file())
}

/// A network that leads out turns it on; somebody may have turned it off again.
fn forwarding(is_needed: [bool; 2]) -> Vec<Finding> {
    let one = |check, key: &str, is_needed| match read(key).as_deref() {
        Some("0") if is_needed => {
            let detail = "off: endpoints reach each other and the host, but nothing beyond";
            let advice = "bridge-user reconcile";
            Some(Finding::bad(check, Status::Warning, detail, advice))
        }
        Some("0") => {
            let detail = "off: the first network that leads out of the host turns it on";
            Some(Finding::ok(check, detail))
        }
        Some(_) => Some(Finding::ok(check, "on")),
        None => None,
    };
    let mut findings = Vec::new();
    findings.extend(one("ip_forward", "net/ipv4/ip_forward", is_needed[0]));
    if sysctl::ipv6_available() {
        let key = "net/ipv6/conf/all/forwarding";
        findings.extend(one("IPv6 forwarding", key, is_needed[1]));
    } else {
        findings.push(Finding::ok(
            "IPv6",
            "the kernel has none: networks are IPv4 only",
        ));
    }
    findings
}

fn br_netfilter() -> Finding {
    const CHECK: &str = "br_netfilter";
    let keys = ["iptables", "ip6tables", "arptables"].map(|t| format!("bridge-nf-call-{t}"));
    let value = |key: &String| read(&format!("net/bridge/{key}"));
    let on: Vec<&str> = keys
        .iter()
        .filter(|key| value(key).is_some_and(|value| value != "0"))
        .map(String::as_str)
        .collect();
    if on.is_empty() {
        return Finding::ok(CHECK, "bridged frames do not pass the host's firewall");
    }
    let set: Vec<String> = on.iter().map(|key| format!("net.bridge.{key}=0")).collect();
    Finding::bad(
        CHECK,
        Status::Warning,
        format!(
            "{} on: the slow path passes the host's firewall",
            on.join(", ")
        ),
        format!(
            "unless another engine needs it: sysctl -w {}",
            set.join(" ")
        ),
    )
}

fn read(key: &str) -> Option<String> {
    let path = Path::new("/proc/sys").join(key);
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}
