//! How long a command takes, on a machine that does nothing else for us.

use std::time::{Duration, Instant};

use crate::host::Host;

/// Half as slow again as the reference CNI bridge plugin is for the same work; a debug build of
/// the same code is allowed more.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 45 } else { 15 });

const ROUNDS: usize = 21;

#[test]
fn connect_of_a_plain_namespace() {
    let host = Host::alone();
    host.create("n");
    host.join("n", "first");
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|n| {
            host.netns(&format!("s{n}"));
            let connect = host.bridge_user(&format!("net connect n s{n}"));
            let start = Instant::now();
            connect.ok();
            start.elapsed()
        })
        .collect();
    times.sort();
    assert!(
        times[ROUNDS / 2] <= LIMIT,
        "the median is over {LIMIT:?}: {times:?}"
    );
}
