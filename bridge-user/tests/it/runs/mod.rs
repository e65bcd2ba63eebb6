//! Commands in sandboxes of their own: `run`, `ps`, `exec`, `rm`, `inspect`, `logs`.

mod command;
mod ending;
mod files;
mod network;

use crate::host::{Host, wait_until};

/// Starts `sleep` in the background with these options of `run`; gives its id.
#[track_caller]
fn sleeper(host: &Host, options: &str) -> String {
    let words = format!("run -d {options} -- sleep 600");
    host.bridge_user(&words).ok().trim().to_owned()
}

/// One field of `inspect`.
#[track_caller]
fn field(host: &Host, name: &str, field: &str) -> String {
    let inspect = host.bridge_user(&format!("inspect {name} -f"));
    let text = inspect.arg(&format!("{{{{{field}}}}}")).ok();
    text.trim_end_matches('\n').to_owned()
}

/// Waits until a run has this state.
#[track_caller]
fn wait_for_state(host: &Host, name: &str, state: &str) {
    wait_until(&format!("{name} is {state}"), || {
        field(host, name, ".State.Status") == state
    });
}

/// Namespaces of a process by nsfs's own names: net, uts, mnt.
#[track_caller]
fn namespaces(host: &Host, pid: &str) -> [String; 3] {
    ["net", "uts", "mnt"].map(|kind| {
        let link = host.call(&format!("readlink /proc/{pid}/ns/{kind}")).ok();
        link.trim().to_owned()
    })
}
