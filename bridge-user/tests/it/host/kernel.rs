//! What the kernel's own tools say about a host: the second witness of every test.

use aya::programs::ProgramInfo;
use aya::programs::tc::{SchedClassifier, TcAttachType};
use serde_json::Value;

use super::{Host, PINS};

impl Host {
    /// The details of a link, by `ip -d -j`; `None` if there is none.
    pub(crate) fn link(&self, netns: Option<&str>, name: &str) -> Option<Value> {
        let netns = netns.map(|name| format!("-n {name}")).unwrap_or_default();
        let ran = self
            .call(&format!("ip {netns} -d -j link show dev {name}"))
            .run();
        (ran.code == Some(0)).then(|| only(&ran.stdout))
    }

    /// Index of a link on the host.
    #[track_caller]
    pub(crate) fn ifindex(&self, name: &str) -> u32 {
        let link = self
            .link(None, name)
            .unwrap_or_else(|| panic!("there is no link {name}"));
        u32::try_from(number(&link["ifindex"])).expect("an ifindex is 31 bits")
    }

    /// Names of the host's links that are named as ours are.
    pub(crate) fn our_links(&self) -> Vec<String> {
        let links = self.call("ip -j link").json();
        let names = array(&links).iter().map(|link| text(&link["ifname"]));
        names
            .filter(|name| name.starts_with("bv-") || name.starts_with("bu"))
            .collect()
    }

    /// Addresses of a link in CIDR form that others may use, and whether IPv6 is still probing.
    pub(crate) fn addresses(&self, netns: Option<&str>, link: &str) -> Vec<Address> {
        let netns = netns.map(|name| format!("-n {name}")).unwrap_or_default();
        let found = self
            .call(&format!("ip {netns} -j addr show dev {link}"))
            .json();
        let infos = array(&found)
            .iter()
            .flat_map(|link| array(&link["addr_info"]));
        infos
            .filter(|info| info["scope"] == "global")
            .map(|info| Address {
                cidr: format!("{}/{}", text(&info["local"]), info["prefixlen"]),
                tentative: info["tentative"] == true,
            })
            .collect()
    }

    /// Gateways of the default routes in a namespace.
    pub(crate) fn default_routes(&self, netns: &str, ipv6: bool) -> Vec<(String, String)> {
        let family = if ipv6 { "-6" } else { "-4" };
        let routes = self
            .call(&format!("ip -n {netns} {family} -j route show default"))
            .json();
        let way = |route: &Value| (text(&route["gateway"]), text(&route["dev"]));
        array(&routes).iter().map(way).collect()
    }

    /// Entries of the bridge's FDB at a port.
    pub(crate) fn bridge_fdb(&self, port: &str) -> Vec<Value> {
        array(&self.call(&format!("bridge -j fdb show dev {port}")).json()).to_vec()
    }

    /// Flags of a bridge port.
    #[track_caller]
    pub(crate) fn bridge_port(&self, port: &str) -> Value {
        only(
            &self
                .call(&format!("bridge -d -j link show dev {port}"))
                .ok(),
        )
    }

    /// Whether the nft table of ours exists.
    pub(crate) fn has_table(&self) -> bool {
        let tables = self.call("nft -j list tables").json();
        let tables = array(&tables["nftables"])
            .iter()
            .filter_map(|entry| entry.get("table"));
        tables
            .clone()
            .any(|table| table["family"] == "inet" && table["name"] == "bridge_user")
    }

    /// Files under a directory, empty if there is no such directory.
    pub(crate) fn files(&self, directory: &str) -> Vec<String> {
        let ran = self.call(&format!("find {directory} -type f")).run();
        let mut files: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
        files.sort();
        files
    }

    /// Pinned links of ports.
    pub(crate) fn link_pins(&self) -> Vec<String> {
        let mut pins = self.files(&format!("{PINS}/links"));
        let others = |pin: &str| {
            pin.contains("/cgroup-") || pin.contains("/uplink-") || pin.ends_with("-egress")
        };
        pins.retain(|pin| !others(pin));
        pins
    }

    /// Pinned links of bridges.
    pub(crate) fn bridge_pins(&self) -> Vec<String> {
        let mut pins = self.files(&format!("{PINS}/links"));
        pins.retain(|pin| pin.ends_with("-egress") && !pin.contains("/uplink-"));
        pins
    }

    /// Pinned links of uplinks.
    pub(crate) fn uplink_pins(&self) -> Vec<String> {
        let mut pins = self.files(&format!("{PINS}/links"));
        pins.retain(|pin| pin.contains("/uplink-"));
        pins
    }

    /// Pinned links of programs at the root of the cgroups.
    pub(crate) fn cgroup_pins(&self) -> Vec<String> {
        let mut pins = self.files(&format!("{PINS}/links"));
        pins.retain(|pin| pin.contains("/cgroup-"));
        pins
    }

    /// What holds our program to ports: a pinned link each, or on kernels without tcx a filter each.
    pub(crate) fn attachments(&self) -> Vec<String> {
        let mut found = self.link_pins();
        for link in self.our_links() {
            let filters = self.clsact_filters(&link).len();
            found.extend((0..filters).map(|_| format!("filter at {link}")));
        }
        found
    }

    /// Takes the program from every port, as an admin could.
    #[track_caller]
    pub(crate) fn detach_all(&self) {
        for pin in self.link_pins() {
            self.call("rm").arg(&pin).ok();
        }
        for link in self.our_links() {
            if !self.clsact_filters(&link).is_empty() {
                self.call(&format!("tc qdisc del dev {link} clsact")).ok();
            }
        }
    }

    /// Text of a file on the host.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> String {
        self.call("cat").arg(path).ok()
    }

    /// Whether an ingress program of ours, by tcx or clsact, is on a link.
    pub(crate) fn is_checked(&self, link: &str) -> bool {
        !self.tcx_programs(link).is_empty() || !self.clsact_filters(link).is_empty()
    }

    /// Ids of our program at a link's tcx ingress; none on kernels without tcx.
    pub(crate) fn tcx_programs(&self, link: &str) -> Vec<u32> {
        let query = || SchedClassifier::query_tcx(link, TcAttachType::Ingress);
        let (_, programs) = self.inside(query).unwrap_or_default();
        let ours = programs
            .iter()
            .filter(|p| p.name_as_str() == Some("port_ingress"));
        ours.map(ProgramInfo::id).collect()
    }

    /// Ids of our program at a link's ingress, however it is held there.
    pub(crate) fn programs(&self, link: &str) -> Vec<u64> {
        let by_tcx = self.tcx_programs(link).into_iter().map(u64::from);
        let filters = self.clsact_filters(link);
        let by_filter = filters.iter().map(|f| number(&f["options"]["prog"]["id"]));
        by_tcx.chain(by_filter).collect()
    }

    /// BPF filters at a link's clsact ingress.
    pub(crate) fn clsact_filters(&self, link: &str) -> Vec<Value> {
        self.filters(link, "ingress")
    }

    fn filters(&self, link: &str, end: &str) -> Vec<Value> {
        let ran = self
            .call(&format!("tc -j filter show dev {link} {end}"))
            .run();
        let filters: Value = serde_json::from_str(ran.stdout.trim()).unwrap_or_default();
        // The chain of a filter is listed too, as one without options.
        let is_program = |f: &&Value| f["kind"] == "bpf" && f.get("options").is_some();
        array(&filters).iter().filter(is_program).cloned().collect()
    }

    /// The links that have a clsact qdisc.
    pub(crate) fn clsact_links(&self) -> Vec<String> {
        let qdiscs = self.call("tc -j qdisc show").json();
        let clsact = array(&qdiscs).iter().filter(|q| q["kind"] == "clsact");
        clsact.map(|qdisc| text(&qdisc["dev"]).clone()).collect()
    }

    /// Filters of ours at uplinks, by their programs: on kernels without tcx.
    pub(crate) fn uplink_filters(&self) -> Vec<String> {
        let mut found = Vec::new();
        for link in self.clsact_links() {
            for end in ["ingress", "egress"] {
                let filters = self.filters(&link, end);
                let names = filters.iter().map(|f| &f["options"]["prog"]["name"]);
                let ours = names.filter(|name| **name == *format!("uplink_{end}"));
                found.extend(ours.map(|_| format!("filter at {link} {end}")));
            }
        }
        found
    }

    /// Whatever of ours is on the host: nothing, after everything was removed.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = self.our_links();
        left.extend(self.attachments());
        left.extend(self.cgroup_pins());
        left.extend(self.bridge_pins());
        left.extend(self.uplink_pins());
        left.extend(self.uplink_filters());
        left.extend(self.fdb().iter().map(|entry| format!("map FDB: {entry:?}")));
        left.extend(
            self.ports()
                .iter()
                .map(|entry| format!("map PORTS: {entry:?}")),
        );
        left.extend(self.files("/etc/netns"));
        if self.has_table() {
            left.push("nft table inet bridge_user".into());
        }
        left
    }

    /// No endpoint is left; networks and what they share are.
    #[track_caller]
    pub(crate) fn assert_no_endpoint(&self) {
        let legs: Vec<String> = self
            .our_links()
            .into_iter()
            .filter(|l| l.starts_with("bv-"))
            .collect();
        assert_eq!(legs, [""; 0]);
        assert_eq!(
            (
                self.attachments().len(),
                self.fdb().len(),
                self.ports().len()
            ),
            (0, 0, 0)
        );
    }

    /// The second witness of a removal.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        assert_eq!(
            self.leftovers(),
            Vec::<String>::new(),
            "something was left behind"
        );
    }
}

/// An address of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) cidr: String,
    pub(crate) tentative: bool,
}

/// The one element of a JSON array; iproute2 prints `{}` for what a filter left out.
#[track_caller]
fn only(json: &str) -> Value {
    let value: Value = serde_json::from_str(json).expect("ip and bridge print JSON");
    let found: Vec<&Value> = array(&value)
        .iter()
        .filter(|v| v.as_object().is_some_and(|o| !o.is_empty()))
        .collect();
    assert_eq!(found.len(), 1, "not one element: {json}");
    found[0].clone()
}

/// The elements of an array; none of anything else.
pub(crate) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The text of a string; empty for anything else.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A number that has to be one.
#[track_caller]
pub(crate) fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("no number: {value}"))
}
