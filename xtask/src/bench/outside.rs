//! From outside to a published port, beside a wire from the client to the server: a client's machine, a
//! host that it is joined to by one link, and an endpoint behind that.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result};

use super::{
    Arguments,
    docker::{self, Docker},
    plot,
    report::{self, Table},
    topology::NetNs,
    traffic::{cells, how, on_pinned_thread, open, sample},
    workload::{Kind, Place, Workload, datagrams, workload},
};
use crate::process;

/// What is behind the host's address.
enum Behind {
    /// The server itself: there is nothing between it and the client.
    Server,
    /// An endpoint of ours, with options of `net create`.
    Ours(&'static str),
    /// A container of a Docker daemon.
    Docker,
}

/// A way from outside.
struct Way {
    /// As tables name it.
    name: &'static str,
    behind: Behind,
    /// Ratios that it has to reach, by workload: at most, or for a rate at least.
    goals: Option<[f64; 4]>,
}

/// All, the wire first: ratios are to it.
const WAYS: &[Way] = &[
    Way {
        name: "direct veth wire",
        behind: Behind::Server,
        goals: None,
    },
    Way {
        name: "ours",
        behind: Behind::Ours(""),
        goals: Some([1.30, 1.30, 1.25, 0.85]),
    },
    Way {
        name: "ours, nftables",
        behind: Behind::Ours("-o bridge-user.publish=nft"),
        goals: None,
    },
    Way {
        name: "docker",
        behind: Behind::Docker,
        goals: None,
    },
];

const WORKLOADS: &[Workload] = &[
    workload("tcp-rr", Kind::RoundTrips, false),
    workload("udp-rr 64 B", datagrams(64, 20, 1), false),
    workload("tcp-crr", Kind::Connections, false),
    workload("tcp-stream", Kind::Bulk, false),
];

/// The host, as the client knows it, and the endpoint.
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Ports of the host and of the endpoint that the workloads begin at. A port for each is published.
const PUBLISHED: u16 = 8080;
const SERVED: u16 = 80;
const PORTS: [&str; 4] = ["-p", "8080-8083:80-83", "-p", "8080-8083:80-83/udp"];

/// A client's machine and a host. br_netfilter and forwarding are set, not left as they are.
const UPLINK: &str = r"
set -eu
for n in $c $h; do
    ip netns add $n
    ip -n $n link set lo up
done
ip -n $c link add eth0 type veth peer name eth0 netns $h
ip -n $c address add 192.0.2.2/24 dev eth0
ip -n $h address add 192.0.2.1/24 dev eth0
ip -n $c link set eth0 up
ip -n $h link set eth0 up
ip -n $h route add default via 192.0.2.2
ip netns exec $h sh -ec '
    echo 1 >/proc/sys/net/ipv4/ip_forward
    for protocol in iptables ip6tables arptables; do
        switch=/proc/sys/net/bridge/bridge-nf-call-$protocol
        if [ -e $switch ]; then
            echo 0 >$switch
        fi
    done'
";

const OURS: &str = r#"
ip netns add $s
mkdir /run/bpf/$h
mount -t bpf bpf /run/bpf/$h
ip netns exec $h sh -ec '
    mount --bind /run/bpf/$h /sys/fs/bpf
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    ours() { "$binary" --state-dir /run/state-$h "$@" >/dev/null; }
    ours net create --subnet 10.77.0.0/24 $options bench
    ours net connect --ip 10.77.0.2 $ports bench $s'
"#;

/// A way that is set up.
struct Built {
    client: NetNs,
    server: NetNs,
    /// Where the server listens, and the first of the ports there and at the host.
    at: Ipv4Addr,
    ports: (u16, u16),
    /// Ends with it.
    _docker: Option<Docker>,
}

impl Way {
    /// Why it cannot be measured on this machine, if so.
    fn missing(&self) -> Option<String> {
        match self.behind {
            Behind::Docker => docker::missing(),
            _ => None,
        }
    }

    /// Makes the namespaces. `number` is unique among those built.
    fn build(&self, number: usize, binary: &Path) -> Result<Built> {
        let [c, h, s] = ["c", "h", "s"].map(|role| format!("outside-{role}-{number}"));
        let mut shell = Command::new("sh");
        for (name, value) in [("c", &c), ("h", &h), ("s", &s)] {
            shell.env(name, value);
        }
        shell.env("binary", binary).env("ports", PORTS.join(" "));
        let way = match self.behind {
            Behind::Server | Behind::Docker => "",
            Behind::Ours(options) => {
                shell.env("options", options);
                OURS
            }
        };
        process::output(shell.args(["-c", &format!("{UPLINK}{way}")]))?;
        let (server, at, ports, docker) = match self.behind {
            Behind::Server => (NetNs::named(&h)?, HOST, (PUBLISHED, PUBLISHED), None),
            Behind::Ours(_) => (NetNs::named(&s)?, ENDPOINT, (SERVED, PUBLISHED), None),
            Behind::Docker => {
                let docker = Docker::start(&h)?;
                let (server, at) = docker.server(&PORTS)?;
                (server, at, (SERVED, PUBLISHED), Some(docker))
            }
        };
        Ok(Built {
            client: NetNs::named(&c)?,
            server,
            at,
            ports,
            _docker: docker,
        })
    }
}

impl Built {
    /// Where the ends of a workload are.
    fn place(&self, workload: usize) -> Place<'_> {
        let address = |host: Ipv4Addr, first: u16| {
            let port = (first..).nth(workload).expect("there are few workloads");
            SocketAddr::new(IpAddr::V4(host), port)
        };
        Place {
            client: &self.client,
            server: &self.server,
            at: address(self.at, self.ports.0),
            to: Some(address(HOST, self.ports.1)),
        }
    }
}

/// Builds the ways that this machine has, measures, and writes the table, outside.csv and outside.svg.
pub(super) fn measure(binary: &Path, directory: &Path, arguments: &Arguments) -> Result<()> {
    let mut how = how(arguments)?;
    let mut ways = Vec::new();
    let mut built = Vec::new();
    for (number, way) in WAYS.iter().enumerate() {
        if let Some(why) = way.missing() {
            how = format!("{how}; no {}, for {why}", way.name);
            continue;
        }
        let made = way.build(number, binary);
        built.push(made.with_context(|| format!("failed to set up {}", way.name))?);
        ways.push(way);
    }
    let names: Vec<&str> = ways.iter().map(|way| way.name).collect();
    let place = |workload: usize, way: usize| built[way].place(workload);
    let samples = on_pinned_thread(|| {
        sample(
            || open(WORKLOADS, &names, place),
            |way| built[way].client.enter(),
            arguments,
        )
    })?;
    let table = Table {
        how,
        workloads: WORKLOADS,
        kind: "way",
        ways: names,
        cells: cells(&samples, |workload, way| {
            ways[way].goals.map(|goals| goals[workload])
        }),
    };
    table.print();
    report::write(directory, "outside.csv", &table.csv())?;
    let title =
        "From outside to a published port, as a ratio to a direct veth wire in the same round";
    report::write(directory, "outside.svg", &plot::svg(title, &table))
}
