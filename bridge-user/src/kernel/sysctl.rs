//! Sysctls of single interfaces and of forwarding, in the namespace that they are in: /proc/sys/net
//! shows the namespace of the thread that opens it (net/sysctl_net.c, v6.18).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::netns::NetNs;
use crate::model::SavedSysctl;

/// Sysctls of a network namespace.
const NET: &str = "/proc/sys/net";

/// A sysctl cannot be set.
#[derive(Debug, thiserror::Error)]
#[error("failed to set sysctl {path} to {value}")]
pub struct SysctlError {
    /// The file.
    path: PathBuf,
    /// What it was to be.
    value: String,
    /// Why it is not.
    source: io::Error,
}

/// What turns forwarding on.
#[derive(Debug, PartialEq, Eq)]
pub struct ForwardingPlan {
    /// What has to be known to put back all that changes, the switch of the family first.
    pub saved: Vec<SavedSysctl>,
    /// What is written: keys and values, the switch last.
    pub changes: Vec<(String, &'static str)>,
}

/// What turns the forwarding of a family on, where it is off. Links that are `ours` are known to
/// have what they need.
///
/// The switch sets the forwarding of every link, both ways (`inet_forward_change`, net/ipv4/devinet.c,
/// `addrconf_fixup_forwarding`, net/ipv6/addrconf.c, v6.18). IPv4's resets `accept_redirects`, too.
/// With IPv6's on, links with `accept_ra=1` no longer take router advertisements, and the host would
/// lose its default route: they get 2, and so do links that come later, as the default.
pub fn forwarding_plan(ipv6: bool, is_ours: impl Fn(&str) -> bool) -> Option<ForwardingPlan> {
    let (switch, links) = if ipv6 {
        ("ipv6/conf/all/forwarding", "ipv6/conf")
    } else {
        ("ipv4/ip_forward", "ipv4/conf")
    };
    if read(switch).as_deref() != Some("0") {
        return None;
    }
    let saved = |key: &str, before: &str, ours: &str| SavedSysctl {
        key: key.into(),
        before: before.into(),
        ours: ours.into(),
    };
    let mut plan = ForwardingPlan {
        saved: vec![saved(switch, "0", "1")],
        changes: Vec::new(),
    };
    let redirects = "ipv4/conf/all/accept_redirects";
    if !ipv6 && read(redirects).as_deref() == Some("0") {
        // The switch makes it 1 when it is put back.
        plan.saved.push(saved(redirects, "0", "1"));
    }
    let links_there = fs::read_dir(Path::new(NET).join(links))
        .into_iter()
        .flatten();
    for link in links_there
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
    {
        if ["all", "lo"].contains(&link.as_str()) || is_ours(&link) {
            continue;
        }
        let forwarding = format!("{links}/{link}/forwarding");
        let accept_ra = format!("{links}/{link}/accept_ra");
        if read(&forwarding).as_deref() == Some("1") {
            // Put back, the switch makes it 0.
            plan.saved.push(saved(&forwarding, "1", "0"));
        } else if ipv6 && read(&accept_ra).as_deref() == Some("1") {
            plan.saved.push(saved(&accept_ra, "1", "2"));
            plan.changes.push((accept_ra, "2"));
        }
    }
    plan.changes.push((switch.to_owned(), "1"));
    Some(plan)
}

/// Makes a sysctl what it was, unless somebody else has changed it. Its link may be gone.
pub fn put_back(sysctl: &SavedSysctl) -> Result<(), SysctlError> {
    match read(&sysctl.key) {
        Some(value) if value == sysctl.ours => write(&sysctl.key, &sysctl.before),
        _ => Ok(()),
    }
}

/// Sets a sysctl, by its path below /proc/sys/net.
pub fn write(key: &str, value: &str) -> Result<(), SysctlError> {
    tracing::info!("sysctl -w net.{}={value}", key.replace('/', "."));
    let path = Path::new(NET).join(key);
    fs::write(&path, value).map_err(|source| SysctlError {
        path,
        value: value.into(),
        source,
    })
}

/// A sysctl, by its path below /proc/sys/net; `None` where it cannot be read.
pub fn read(key: &str) -> Option<String> {
    let value = fs::read_to_string(Path::new(NET).join(key)).ok()?;
    Some(value.trim().into())
}

/// Whether the kernel has IPv6, and not switched off for good (`ipv6.disable=1`).
pub fn ipv6_available() -> bool {
    Path::new("/proc/sys/net/ipv6/conf").exists()
}

/// A bridge: IPv6 only where the network has it; its addresses are known, so neither duplicate
/// address detection nor router advertisements have a say.
pub fn prepare_bridge(bridge: &str, ipv6: bool) -> Result<(), SysctlError> {
    write_all(&ipv6_settings(bridge, ipv6))
}

/// A container leg: as a bridge's, and it announces its addresses when it comes up or its MAC
/// address is set (`arp_notify`, `ndisc_notify`: Documentation/networking/ip-sysctl.rst, v6.18).
///
/// Known before it has a carrier, the settings hold for the link-local address too.
pub fn prepare_container_leg(
    namespace: &NetNs,
    interface: &str,
    ipv6: bool,
) -> Result<(), SysctlError> {
    let mut settings = ipv6_settings(interface, ipv6);
    settings.push((format!("ipv4/conf/{interface}/arp_notify"), "1"));
    if ipv6 {
        settings.push((format!("ipv6/conf/{interface}/ndisc_notify"), "1"));
    }
    let mut result = Ok(());
    let entered = namespace.within(|| {
        result = write_all(&settings);
        Ok(())
    });
    entered.map_err(|source| SysctlError {
        path: "/proc/sys/net".into(),
        value: "1".into(),
        source,
    })?;
    result
}

fn ipv6_settings(interface: &str, ipv6: bool) -> Vec<(String, &'static str)> {
    let path = |key: &str| format!("ipv6/conf/{interface}/{key}");
    if !ipv6_available() {
        return Vec::new();
    }
    if !ipv6 {
        return vec![(path("disable_ipv6"), "1")];
    }
    vec![
        (path("accept_dad"), "0"),
        (path("accept_ra"), "0"),
        (path("autoconf"), "0"),
        (path("disable_ipv6"), "0"),
    ]
}

fn is_ipv6_off(key: &str, value: &str) -> bool {
    key.ends_with("/disable_ipv6") && value == "1"
}

fn write_all(settings: &[(String, &'static str)]) -> Result<(), SysctlError> {
    for (key, value) in settings {
        // Reading first keeps a read-only /proc/sys usable where everything is right already.
        if read(key).as_deref() == Some(value) {
            continue;
        }
        match write(key, value) {
            // An interface whose MTU is below IPv6's least has no IPv6 (`addrconf_notify`,
            // net/ipv6/addrconf.c, v6.18).
            Err(e) if e.source.kind() == io::ErrorKind::NotFound && is_ipv6_off(key, value) => {}
            written => written?,
        }
    }
    Ok(())
}
