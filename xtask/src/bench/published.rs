//! From the host to a published port, beside its own loopback: the hooks at its sockets, and the
//! firewall's translation where they do not know whether an address is the host's.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::{Context, Result};

use super::{
    Arguments,
    report::{self, Table},
    topology::NetNs,
    traffic::{WARM_UP, cells, how, on_pinned_thread, sample},
    workload::Ends,
};
use crate::process;

/// A host of its own, and an endpoint with a published port for each workload and way.
const SETUP: &str = r#"
set -eu
for n in published-h published-a; do
    ip netns add $n
    ip -n $n link set lo up
done
mkdir /run/bpf/published
mount -t bpf bpf /run/bpf/published
ip netns exec published-h sh -ec '
    mount --bind /run/bpf/published /sys/fs/bpf
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    echo 1 >/proc/sys/net/ipv4/ip_forward
    ip address add 192.0.2.1/32 dev lo
    ours() { "$binary" --state-dir /run/state-published "$@" >/dev/null; }
    ours net create --subnet 10.77.0.0/24 bench
    ours net connect --ip 10.77.0.2 -p 8080-8089:80-89 bench published-a'
"#;

/// A way to a server.
struct Way {
    name: &'static str,
    /// The server is an endpoint's; else it is on the host's loopback.
    endpoint: bool,
    /// The address that the client asks for. The port is the published one, but for the endpoint's own
    /// address.
    to: [u8; 4],
}

/// The first is what the others are compared with.
const WAYS: [Way; 4] = [
    Way {
        name: "loopback",
        endpoint: false,
        to: [127, 0, 0, 1],
    },
    Way {
        name: "published, 127.0.0.1",
        endpoint: true,
        to: [127, 0, 0, 1],
    },
    Way {
        name: "published, by firewall",
        endpoint: true,
        to: [192, 0, 2, 1],
    },
    Way {
        name: "the endpoint's address",
        endpoint: true,
        to: ENDPOINT,
    },
];
const ENDPOINT: [u8; 4] = [10, 77, 0, 2];

/// Name, unit, whether more is better; and the goal of the second way.
const WORKLOADS: [(&str, &str, bool); 2] =
    [("tcp-rr", "us one way", false), ("tcp-crr", "us", false)];
const GOALS: [f64; 2] = [1.13, 1.2];

/// Makes the host, measures, and writes the table and published.csv.
pub(super) fn measure(binary: &Path, directory: &Path, arguments: &Arguments) -> Result<()> {
    process::output(Command::new("sh").env("binary", binary).args(["-c", SETUP]))
        .context("failed to set up the host of published ports")?;
    let host = NetNs::named("published-h")?;
    let endpoint = NetNs::named("published-a")?;
    let samples =
        on_pinned_thread(|| sample(|| open(&host, &endpoint), |_| host.enter(), arguments))?;
    let table = Table {
        how: how(arguments)?,
        workloads: WORKLOADS.into(),
        kind: "way",
        ways: WAYS.iter().map(|way| way.name).collect(),
        cells: cells(&samples, |workload, way| {
            (way == 1).then_some(GOALS[workload])
        }),
    };
    table.print();
    report::write(directory, "published.csv", &table.csv())
}

/// Sockets by workload and way, each used once before it is measured.
fn open(host: &NetNs, endpoint: &NetNs) -> Result<Vec<Vec<Ends>>> {
    let mut all = Vec::new();
    for (workload, (name, ..)) in (0..).zip(WORKLOADS) {
        let mut row = Vec::new();
        for (number, way) in (0..).zip(&WAYS) {
            let offset: u16 = 4 * workload + number;
            let (server, at, port) = match (way.endpoint, way.to) {
                (false, to) => (host, SocketAddr::from((to, 7000 + offset)), 7000),
                (true, ENDPOINT) => (endpoint, SocketAddr::from((ENDPOINT, 80 + offset)), 80),
                (true, _) => (endpoint, SocketAddr::from((ENDPOINT, 80 + offset)), 8080),
            };
            let to = Some(SocketAddr::from((way.to, port + offset)));
            let opened = match workload {
                0 => Ends::round_trips(host, server, at, to),
                _ => Ends::connections(host, server, at, to),
            };
            let used = opened.and_then(|mut ends| ends.turn(WARM_UP).map(|_| ends));
            row.push(used.with_context(|| format!("{name}, {}", way.name))?);
        }
        all.push(row);
    }
    Ok(all)
}
