//! Crash points for tests: what is between two steps of an operation.
//!
//! In builds with the feature `fault-injection`, `BRIDGE_USER_FAULT_AT=N` kills the process with
//! SIGKILL at the N-th step that it comes to; `BRIDGE_USER_KEEPER_FAULT_AT` is for the keepers that it
//! starts. Without the feature nothing is compiled in.

use std::process::Command;

/// Marks that one step is done and the next has not begun.
#[cfg(not(feature = "fault-injection"))]
#[inline]
pub(crate) fn step() {}

/// Marks that one step is done and the next has not begun.
#[cfg(feature = "fault-injection")]
pub(crate) fn step() {
    use std::sync::atomic::{AtomicU64, Ordering};

    static STEPS: AtomicU64 = AtomicU64::new(0);
    let step = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
    let at = std::env::var("BRIDGE_USER_FAULT_AT")
        .ok()
        .and_then(|at| at.parse::<u64>().ok());
    if at == Some(step) {
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
    }
}

/// Has a process that is started count its own steps, to its own fault.
#[cfg(not(feature = "fault-injection"))]
#[inline]
pub(crate) fn hand_on(_: &mut Command) {}

/// Has a process that is started count its own steps, to its own fault.
#[cfg(feature = "fault-injection")]
pub(crate) fn hand_on(command: &mut Command) {
    command.env_remove("BRIDGE_USER_FAULT_AT");
    if let Some(at) = std::env::var_os("BRIDGE_USER_KEEPER_FAULT_AT") {
        command.env("BRIDGE_USER_FAULT_AT", at);
    }
}
