//! How long a command takes.

use std::time::Duration;

use crate::host::Host;

/// Little more than the reference CNI bridge plugin takes for the same work on the same machine;
/// a debug build of the same code is allowed more.
const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 45 } else { 15 });

const ROUNDS: usize = 11;

/// Others work on the machine too: one quiet moment has to be among so many.
const SERIES: usize = 6;

#[test]
fn connect_of_a_plain_namespace() {
    let host = Host::alone();
    host.create("n");
    host.join("n", "first");
    let medians: Vec<Duration> = (0..SERIES).map(|series| median(&host, series)).collect();
    let best = medians.iter().min().expect("there are several");
    assert!(*best <= LIMIT, "no median is within {LIMIT:?}: {medians:?}");
}

/// Median of the times of whole processes, from start to end.
fn median(host: &Host, series: usize) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            let name = format!("s{series}-{round}");
            host.netns(&name);
            host.bridge_user(&format!("net connect n {name}")).time()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}
