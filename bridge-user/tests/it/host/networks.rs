//! Networks, sandboxes and endpoints, made by the binary for what a test is about.

use serde_json::Value;

use super::kernel::{array, text};
use super::{Host, wait_until};

/// Addresses of the host on its wire to the machine outside, and of that machine.
pub(crate) const UPLINK: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
pub(crate) const OUTSIDE: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

/// An endpoint, as `net connect --format json` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) sandbox: String,
    pub(crate) interface: String,
    pub(crate) host_leg: String,
    pub(crate) mac: String,
    /// Without the prefix length.
    pub(crate) ipv4: String,
    /// Without the prefix length; empty on a network without IPv6.
    pub(crate) ipv6: String,
}

impl Endpoint {
    /// Its addresses.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let both = [self.ipv4.clone(), self.ipv6.clone()];
        both.into_iter()
            .filter(|address| !address.is_empty())
            .collect()
    }
}

impl Host {
    /// Makes a plain namespace, as a user does.
    #[track_caller]
    pub(crate) fn netns(&self, name: &str) {
        self.call(&format!("ip netns add {name}")).ok();
        self.call(&format!("ip -n {name} link set lo up")).ok();
    }

    /// `net create` with these arguments; gives the id.
    #[track_caller]
    pub(crate) fn create(&self, arguments: &str) -> String {
        self.bridge_user(&format!("net create {arguments}"))
            .ok()
            .trim()
            .to_owned()
    }

    /// `net connect` with these arguments, NETWORK and SANDBOX last.
    #[track_caller]
    pub(crate) fn connect(&self, arguments: &str) -> Endpoint {
        let view = self
            .bridge_user(&format!("net connect --format json {arguments}"))
            .json();
        Self::endpoint(&view, arguments)
    }

    /// A namespace `outside` every network of ours, by a wire of its own (`up0`): it and the host have each
    /// other for a router.
    #[track_caller]
    pub(crate) fn outside(&self) -> Endpoint {
        self.netns("outside");
        self.call("ip link add up0 type veth peer name eth0 netns outside")
            .ok();
        for (netns, link, [ipv4, ipv6]) in [("", "up0", UPLINK), ("-n outside", "eth0", OUTSIDE)] {
            for words in [
                format!("addr add {ipv4}/24 dev {link}"),
                format!("addr add {ipv6}/64 dev {link} nodad"),
                format!("link set {link} up"),
            ] {
                self.call(&format!("ip {netns} {words}")).ok();
            }
        }
        for (gateway, outside) in UPLINK.iter().zip(OUTSIDE) {
            self.call(&format!("ip -n outside route add default via {gateway}"))
                .ok();
            self.call(&format!("ip route add default via {outside}"))
                .ok();
        }
        // Link-local addresses are still probed: until then there is no IPv6 beyond the wire.
        wait_until("the wire to the outside works", || {
            OUTSIDE.iter().all(|address| self.host_pings(address))
        });
        let link = self.call("ip -n outside -j link show dev eth0").json();
        Endpoint {
            id: String::new(),
            sandbox: "outside".into(),
            interface: "eth0".into(),
            host_leg: "up0".into(),
            mac: text(&link[0]["address"]),
            ipv4: OUTSIDE[0].into(),
            ipv6: OUTSIDE[1].into(),
        }
    }

    /// Takes away all that a boot takes with it.
    #[track_caller]
    pub(crate) fn reboot(&self, bridge: &str, namespaces: &[&str]) {
        for namespace in namespaces {
            self.call(&format!("ip netns del {namespace}")).ok();
        }
        for words in [
            &format!("ip link del {bridge}"),
            "nft flush ruleset",
            "umount /sys/fs/bpf",
            "cp /proc/sys/kernel/random/uuid /run/boot-id",
            "mount --bind /run/boot-id /proc/sys/kernel/random/boot_id",
        ] {
            self.call(words).ok();
        }
    }

    /// Makes a namespace, then connects it: NETWORK and NAME.
    #[track_caller]
    pub(crate) fn join(&self, network: &str, name: &str) -> Endpoint {
        self.netns(name);
        self.connect(&format!("{network} {name}"))
    }

    /// An endpoint out of what `net connect` printed.
    pub(crate) fn endpoint(view: &Value, arguments: &str) -> Endpoint {
        let address = |key: &str| {
            let cidr = text(&view[key]);
            cidr.split('/').next().unwrap_or_default().to_owned()
        };
        Endpoint {
            id: text(&view["EndpointID"]),
            sandbox: arguments
                .split_whitespace()
                .last()
                .unwrap_or_default()
                .into(),
            interface: text(&view["Interface"]),
            host_leg: text(&view["HostLeg"]),
            mac: text(&view["MacAddress"]),
            ipv4: address("IPv4Address"),
            ipv6: address("IPv6Address"),
        }
    }

    /// Process id, as the host sees it, of the one process of this name, once it is there.
    #[track_caller]
    pub(crate) fn pid_of(&self, command: &str) -> u32 {
        let mut pid = None;
        wait_until(command, || {
            let found = self.call(&format!("ps -C {command} -o pid=")).run();
            pid = found.stdout.trim().parse().ok();
            pid.is_some()
        });
        pid.expect("it was waited for")
    }

    /// The one element of `net inspect`.
    #[track_caller]
    pub(crate) fn inspect(&self, network: &str) -> Value {
        let found = self.bridge_user(&format!("net inspect {network}")).json();
        assert_eq!(array(&found).len(), 1, "{found}");
        found[0].clone()
    }

    /// The IPv4 gateway of a network.
    #[track_caller]
    pub(crate) fn gateway_of(&self, network: &str) -> String {
        text(&self.inspect(network)["IPAM"]["Config"][0]["Gateway"])
    }

    /// Name of a network's bridge.
    #[track_caller]
    pub(crate) fn bridge_of(&self, network: &str) -> String {
        text(&self.inspect(network)["BridgeUser"]["Bridge"])
    }

    /// Names of the endpoints of a network, sorted.
    #[track_caller]
    pub(crate) fn members(&self, network: &str) -> Vec<String> {
        let found = self.inspect(network);
        let containers = found["Containers"].as_object().cloned().unwrap_or_default();
        let mut names: Vec<String> = containers.values().map(|c| text(&c["Name"])).collect();
        names.sort();
        names
    }

    /// Names of the networks that are not built in, sorted by the command itself.
    #[track_caller]
    pub(crate) fn networks(&self) -> Vec<String> {
        let list = self
            .bridge_user("net ls --filter type=custom --format {{.Name}}")
            .ok();
        list.lines().map(str::to_owned).collect()
    }
}
