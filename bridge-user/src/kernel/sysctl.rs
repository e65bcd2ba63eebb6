//! Sysctls of single interfaces, in the namespace that they are in: /proc/sys/net shows the
//! namespace of the thread that opens it (net/sysctl_net.c, v6.18).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::netns::NetNs;

/// A sysctl cannot be set.
#[derive(Debug, thiserror::Error)]
#[error("failed to set sysctl {path} to {value}")]
pub struct SysctlError {
    /// The file.
    path: PathBuf,
    /// What it was to be.
    value: &'static str,
    /// Why it is not.
    source: io::Error,
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
        value: "1",
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
        let path = Path::new("/proc/sys/net").join(key);
        // Reading first keeps a read-only /proc/sys usable where everything is right already.
        if fs::read_to_string(&path).is_ok_and(|present| present.trim() == *value) {
            continue;
        }
        tracing::info!("sysctl -w net.{}={value}", key.replace('/', "."));
        match fs::write(&path, value) {
            // An interface whose MTU is below IPv6's least has no IPv6 (`addrconf_notify`,
            // net/ipv6/addrconf.c, v6.18).
            Err(e) if e.kind() == io::ErrorKind::NotFound && is_ipv6_off(key, value) => {}
            written => written.map_err(|source| SysctlError {
                path,
                value,
                source,
            })?,
        }
    }
    Ok(())
}
