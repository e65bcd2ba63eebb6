//! sd_notify(3): telling the service manager how far we are, where there is one.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::time::{ClockId, clock_gettime};

/// Ready to serve.
pub(super) fn ready() {
    tell("READY=1");
}

/// On the way out.
pub(super) fn stopping() {
    tell("STOPPING=1");
}

/// Reloading; [`ready`] ends it. `Type=notify-reload` wants the time (systemd.service(5)).
pub(super) fn reloading() {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .unwrap_or_else(|_| nix::sys::time::TimeSpec::new(0, 0));
    let now_us = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
}

fn tell(state: &str) {
    let Some(name) = env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let send = || {
        let bytes = name.as_encoded_bytes();
        let address = match bytes.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)
    };
    let told: io::Result<usize> = send();
    if let Err(error) = told {
        tracing::warn!(
            "failed to notify the service manager at {}: {error}",
            name.display()
        );
    }
}
