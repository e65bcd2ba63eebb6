//! The ways between two ends that are compared. Each has namespaces of its own: a host, and two
//! sandboxes behind it, with the same addresses in every topology.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use super::{maps, workload::Goals};
use crate::process;

/// A topology. Its number in the list makes the names of its namespaces.
pub(super) struct Topology {
    /// As tables name it.
    pub(super) name: &'static str,
    way: Way,
    /// The client is the host itself rather than the first sandbox.
    from_host: bool,
}

/// What joins the ends.
enum Way {
    Wire,
    /// A Linux bridge; with rules, br_netfilter shows bridged frames to them and to conntrack.
    Bridge {
        rules: u32,
    },
    Macvlan,
    Ours {
        datapath: &'static str,
        /// MAC addresses that do not end in a slot, so that ends are found by hints.
        chosen_mac: bool,
        /// Endpoints that the maps hold besides the two.
        others: u16,
    },
}

const fn ours(name: &'static str, datapath: &'static str) -> Topology {
    let way = Way::Ours {
        datapath,
        chosen_mac: false,
        others: 0,
    };
    Topology {
        name,
        way,
        from_host: false,
    }
}

const fn by_hand(name: &'static str, way: Way) -> Topology {
    Topology {
        name,
        way,
        from_host: false,
    }
}

/// All, the wire first: ratios are to it.
pub(super) const TOPOLOGIES: &[Topology] = &[
    by_hand("direct veth wire", Way::Wire),
    by_hand("macvlan", Way::Macvlan),
    ours("ours tc", "tc"),
    Topology {
        way: Way::Ours {
            datapath: "tc",
            chosen_mac: true,
            others: 0,
        },
        ..ours("ours tc, chosen MAC", "tc")
    },
    Topology {
        way: Way::Ours {
            datapath: "tc",
            chosen_mac: false,
            others: 4094,
        },
        ..ours("ours tc, 4096 endpoints", "tc")
    },
    // The one that hashes, with the tables full.
    Topology {
        way: Way::Ours {
            datapath: "tc",
            chosen_mac: true,
            others: 4094,
        },
        ..ours("ours tc, chosen MAC, 4096", "tc")
    },
    ours("ours off", "off"),
    ours("ours xdp", "xdp"),
    by_hand("Linux bridge", Way::Bridge { rules: 0 }),
    by_hand("Linux bridge, 100 rules", Way::Bridge { rules: 100 }),
    Topology {
        from_host: true,
        ..ours("host to endpoint, ours tc", "tc")
    },
    Topology {
        from_host: true,
        ..by_hand("host to endpoint, bridge", Way::Bridge { rules: 0 })
    },
];

/// Host number of the gateway, of the first sandbox and of the second, in both subnets.
const HOST: u8 = 1;
const FIRST: u8 = 2;
const SECOND: u8 = 3;

fn address(host: u8, ipv6: bool) -> IpAddr {
    if ipv6 {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, host.into()).into()
    } else {
        Ipv4Addr::new(10, 77, 0, host).into()
    }
}

/// A topology that is set up.
pub(super) struct Built {
    /// Where the client's sockets are, and the server's.
    pub(super) client: NetNs,
    pub(super) server: NetNs,
    /// The host's namespace.
    pub(super) host: NetNs,
    /// Directory of the pins of ours.
    pub(super) pins: PathBuf,
    client_host: u8,
}

impl Built {
    /// Address of the client in one of the families.
    pub(super) fn client_address(&self, ipv6: bool) -> IpAddr {
        address(self.client_host, ipv6)
    }

    /// Address of the server in one of the families.
    #[expect(clippy::unused_self, reason = "beside client_address")]
    pub(super) fn server_address(&self, ipv6: bool) -> IpAddr {
        address(SECOND, ipv6)
    }
}

/// A network namespace that is held open.
pub(super) struct NetNs(File);

impl NetNs {
    /// The one of this name.
    pub(super) fn named(name: &str) -> Result<Self> {
        Self::open(&Path::new("/run/netns").join(name))
    }

    /// The one of this file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("failed to open {}", path.display()));
        Ok(Self(file?))
    }

    /// Moves the calling thread: sockets that it makes from now on are there.
    pub(super) fn enter(&self) -> Result<()> {
        setns(&self.0, CloneFlags::CLONE_NEWNET).context("failed to enter a network namespace")
    }
}

/// What every topology begins with. br_netfilter and forwarding are set, not left as they are.
const BEGIN: &str = r#"
set -eu
for n in $h $a $b; do
    ip netns add $n
    ip -n $n link set lo up
done
ip netns exec $h sh -ec '
    echo 1 >/proc/sys/net/ipv4/ip_forward
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    for protocol in iptables ip6tables arptables; do
        switch=/proc/sys/net/bridge/bridge-nf-call-$protocol
        if [ "$rules" != 0 ] || [ -e $switch ]; then
            echo $((rules != 0)) >$switch
        fi
    done'
addresses() { # namespace, link, host number
    ip -n $1 address add 10.77.0.$3/24 dev $2
    ip -n $1 address add fd77::$3/64 dev $2 nodad
    ip -n $1 link set $2 up
}
"#;

const WIRE: &str = "
ip -n $a link add eth0 type veth peer name eth0 netns $b
addresses $a eth0 2
addresses $b eth0 3
";

const BRIDGE: &str = r#"
ip -n $h link add br0 type bridge
addresses $h br0 1
for n in $a $b; do
    ip -n $h link add p-$n type veth peer name eth0 netns $n
    ip -n $h link set p-$n master br0 up
done
addresses $a eth0 2
addresses $b eth0 3
if [ "$rules" != 0 ]; then
    {
        echo 'table inet bench { chain forward { type filter hook forward priority 0;'
        for n in $(seq 2 $rules); do
            echo "ip saddr 192.0.2.$n tcp dport $n drop"
        done
        echo 'ct state invalid drop'
        echo '}; }'
    } | ip netns exec $h nft -f -
fi
"#;

/// Kernels without the dummy driver have veth.
const MACVLAN: &str = "
ip -n $h link add parent type veth peer name far
ip -n $h link set far up
ip -n $h link set parent up
for n in $a $b; do
    ip -n $h link add link parent name eth0 netns $n type macvlan mode bridge
done
addresses $a eth0 2
addresses $b eth0 3
";

/// A bpffs of its own, so that the maps of one do not fill those of another.
const OURS: &str = r#"
mkdir /run/bpf/$h
mount -t bpf bpf /run/bpf/$h
ip netns exec $h sh -ec '
    mount --bind /run/bpf/$h /sys/fs/bpf
    ours() { "$binary" --state-dir /run/state-$h "$@" >/dev/null; }
    ours net create --datapath $datapath --ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 bench
    ours net connect --ip 10.77.0.2 --ip6 fd77::2 ${mac:+--mac-address ${mac}fe} bench $a
    ours net connect --ip 10.77.0.3 --ip6 fd77::3 ${mac:+--mac-address ${mac}ff} bench $b'
"#;

/// Both families reach the server, and the neighbours know each other before anything is measured.
const END: &str = "
for address in 10.77.0.3 fd77::3; do
    ip netns exec $client ping -q -c 2 -i 0.2 -w 5 $address >/dev/null
done
";

impl Topology {
    /// Makes the namespaces, the way and the addresses. `number` is unique among those built.
    pub(super) fn build(&self, number: usize, binary: &Path) -> Result<Built> {
        let [h, a, b] = ["h", "a", "b"].map(|role| format!("{role}-{number}"));
        let client = if self.from_host { &h } else { &a };
        let mut shell = Command::new("sh");
        shell.env("binary", binary);
        for (name, value) in [("h", &h), ("a", &a), ("b", &b), ("client", client)] {
            shell.env(name, value);
        }
        shell.env("rules", "0");
        let way = match self.way {
            Way::Wire => WIRE,
            Way::Macvlan => MACVLAN,
            Way::Bridge { rules } => {
                shell.env("rules", rules.to_string());
                BRIDGE
            }
            Way::Ours {
                datapath,
                chosen_mac,
                ..
            } => {
                let mac = if chosen_mac { "02:77:00:00:ff:" } else { "" };
                shell.env("datapath", datapath).env("mac", mac);
                OURS
            }
        };
        shell.args(["-c", &format!("{BEGIN}{way}{END}")]);
        process::output(&mut shell).with_context(|| format!("failed to set up {}", self.name))?;
        let built = Built {
            client: NetNs::named(client)?,
            server: NetNs::named(&b)?,
            host: NetNs::named(&h)?,
            pins: Path::new("/run/bpf").join(&h).join("bridge-user"),
            client_host: if self.from_host { HOST } else { FIRST },
        };
        if let Way::Ours {
            others, chosen_mac, ..
        } = self.way
        {
            maps::fill(&built.pins, others, chosen_mac).context("failed to fill the maps")?;
        }
        Ok(built)
    }

    /// Which of a workload's goals this topology has to reach.
    pub(super) fn goal(&self, goals: &Goals) -> Option<f64> {
        match self.way {
            _ if self.from_host => None,
            Way::Ours {
                datapath: "tc",
                chosen_mac,
                ..
            } if chosen_mac => goals.chosen_mac,
            Way::Ours { datapath: "tc", .. } => goals.assigned_mac,
            _ => None,
        }
    }

    /// Whether the program is at its ports.
    pub(super) fn has_program(&self) -> bool {
        matches!(self.way, Way::Ours { datapath: "tc", .. }) && !self.from_host
    }
}
