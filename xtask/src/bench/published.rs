//! From the host to a published port, beside its own loopback: by a loopback address, and by another one
//! of the host's.

use std::{net::Ipv4Addr, path::Path, process::Command};

use anyhow::{Context, Result};

use super::{
    Arguments,
    docker::Proxy,
    report::{self, Table},
    topology::NetNs,
    traffic::{cells, how, on_pinned_thread, open, sample},
    workload::{Kind, Place, Workload, workload},
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
    /// The address that the client asks for, and the first of the ports there.
    to: ([u8; 4], u16),
}

/// The first is what the others are compared with. The last takes a process for each port, and is left
/// out where there is no such program.
const WAYS: [Way; 5] = [
    Way {
        name: "loopback",
        endpoint: false,
        to: ([127, 0, 0, 1], 7000),
    },
    Way {
        name: "published, 127.0.0.1",
        endpoint: true,
        to: ([127, 0, 0, 1], 8080),
    },
    Way {
        name: "published, another address",
        endpoint: true,
        to: ([192, 0, 2, 1], 8080),
    },
    Way {
        name: "the endpoint's address",
        endpoint: true,
        to: (ENDPOINT, 80),
    },
    Way {
        name: PROXY,
        endpoint: true,
        to: ([127, 0, 0, 1], 9080),
    },
];
const PROXY: &str = "docker-proxy, 127.0.0.1";
const ENDPOINT: [u8; 4] = [10, 77, 0, 2];

const WORKLOADS: &[Workload] = &[
    workload("tcp-rr", Kind::RoundTrips, false),
    workload("tcp-crr", Kind::Connections, false),
];
/// Those of the second way.
const GOALS: [f64; 2] = [1.13, 1.2];

/// What a port is beyond the first.
fn offset(workload: usize, way: usize) -> u16 {
    u16::try_from(WAYS.len() * workload + way).expect("there are few of both")
}

/// Makes the host, measures, and writes the table and published.csv.
pub(super) fn measure(binary: &Path, directory: &Path, arguments: &Arguments) -> Result<()> {
    process::output(Command::new("sh").env("binary", binary).args(["-c", SETUP]))
        .context("failed to set up the host of published ports")?;
    let host = NetNs::named("published-h")?;
    let endpoint = NetNs::named("published-a")?;
    let mut how = how(arguments)?;
    let mut ways: &[Way] = &WAYS;
    let mut proxies = Vec::new();
    if let Some(why) = Proxy::missing() {
        ways = &WAYS[..WAYS.len() - 1];
        how = format!("{how}; no {PROXY}, for {why}");
    } else {
        let way = WAYS.len() - 1;
        for workload in 0..WORKLOADS.len() {
            let offset = offset(workload, way);
            let to = (Ipv4Addr::from(ENDPOINT), 80 + offset);
            proxies.push(Proxy::start("published-h", WAYS[way].to.1 + offset, to)?);
        }
    }
    let names: Vec<&str> = ways.iter().map(|way| way.name).collect();
    let place = |workload: usize, number: usize| {
        let (way, offset) = (&ways[number], offset(workload, number));
        let (server, at) = if way.endpoint {
            (&endpoint, (ENDPOINT, 80 + offset))
        } else {
            (&host, (way.to.0, way.to.1 + offset))
        };
        Place {
            client: &host,
            server,
            at: at.into(),
            to: Some((way.to.0, way.to.1 + offset).into()),
        }
    };
    let samples = on_pinned_thread(|| {
        let open = || open(WORKLOADS, &names, place);
        sample(open, |_| host.enter(), arguments)
    })?;
    let table = Table {
        how,
        workloads: WORKLOADS,
        kind: "way",
        ways: names,
        cells: cells(&samples, |workload, way| {
            (way == 1).then_some(GOALS[workload])
        }),
    };
    table.print();
    report::write(directory, "published.csv", &table.csv())
}
