//! All that a command could have changed on a host, as lines to compare.

use serde_json::Value;

use super::Host;
use super::kernel::array;

impl Host {
    /// Fails with what is more and what is less than in a snapshot taken before.
    #[track_caller]
    pub(crate) fn assert_as_before(&self, before: &[String], what: &str) {
        let after = self.snapshot();
        let more = after
            .iter()
            .filter(|line| !before.contains(line))
            .map(|line| format!("+ {line}"));
        let less = before
            .iter()
            .filter(|line| !after.contains(line))
            .map(|line| format!("- {line}"));
        let changes: Vec<String> = more.chain(less).collect();
        assert!(changes.is_empty(), "{what}:\n{}", changes.join("\n"));
    }

    /// Rows, links, pins, map entries, firewall, forwarding, namespaces, runs and hosts files. A refused command
    /// changes none of them.
    pub(crate) fn snapshot(&self) -> Vec<String> {
        let mut lines = self.rows();
        lines.extend(self.link_lines());
        // Program and maps stay loaded until a purge, as the state's file stays.
        lines.extend(self.attachments());
        lines.extend(self.bridge_pins());
        lines.extend(self.uplink_pins());
        lines.extend(self.fdb().iter().map(|entry| format!("{entry:?}")));
        lines.extend(self.ports().iter().map(|entry| format!("{entry:?}")));
        for map in ["LINKS", "NEIGHBOURS", "SUBNETS", "PUBLISHED"] {
            let entries = self.dump(map).into_iter();
            lines.extend(entries.map(|entry| format!("{map} {}", entry["formatted"])));
        }
        lines.extend(self.rules());
        lines.extend(self.sysctls());
        lines.extend(
            self.files("/run/netns")
                .iter()
                .map(|file| format!("namespace {file}")),
        );
        let format = "{{.ID}} {{.Names}} {{.State}} {{.Networks}} {{.Command}}";
        let runs = self.bridge_user("ps -a --no-trunc --format").arg(format);
        lines.extend(runs.ok().lines().map(|line| format!("run {line}")));
        lines.extend(self.files("/run/state/runs"));
        for file in self.files("/etc/netns") {
            lines.push(format!("{file}: {:?}", self.read(&file)));
        }
        lines.sort();
        lines
    }

    /// What the state says, by the commands that print it. The default network is only looked at
    /// once it is there: looking at it makes it.
    fn rows(&self) -> Vec<String> {
        let custom = self
            .bridge_user("net ls --no-trunc --format json --filter type=custom")
            .ok();
        let mut rows: Vec<String> = custom.lines().map(str::to_owned).collect();
        let mut names = self.networks();
        if self.link(None, "bu0").is_some() {
            names.push("bridge".into());
        }
        rows.extend(names.iter().map(|name| self.inspect(name).to_string()));
        rows
    }

    fn link_lines(&self) -> Vec<String> {
        let links = self.call("ip -d -j link").json();
        let line = |link: &Value| {
            let keys = [
                "ifname",
                "ifindex",
                "master",
                "mtu",
                "address",
                "link_netnsid",
            ];
            let up = array(&link["flags"]).iter().any(|flag| flag == "UP");
            let values = keys.map(|key| link[key].to_string());
            format!("link {} up {up}", values.join(" "))
        };
        array(&links).iter().map(line).collect()
    }

    /// Forwarding and what it changes, of links that are not named as ours are; ports that are reserved;
    /// connection tracking.
    pub(crate) fn sysctls(&self) -> Vec<String> {
        let command = "cd /proc/sys/net && grep -s . ipv4/ip_forward ipv4/conf/all/accept_redirects \
                       ipv4/conf/*/forwarding ipv6/conf/*/forwarding ipv6/conf/*/accept_ra \
                       ipv4/ip_local_reserved_ports netfilter/nf_conntrack_tcp_be_liberal \
                       netfilter/nf_conntrack_tcp_timeout_unacknowledged";
        let found = self.call("sh -c").arg(command).run().stdout;
        let lines = found.lines().filter(|line| !line.contains("/conf/b"));
        lines.map(str::to_owned).collect()
    }

    /// The ruleset without handles, table by table, and without the number of the transaction that wrote
    /// ours: one that was written anew is the same table.
    pub(crate) fn rules(&self) -> Vec<String> {
        let rules = self.call("nft -j list ruleset").json();
        let mut entries = array(&rules["nftables"]).to_vec();
        entries.retain(|entry| entry.get("metainfo").is_none());
        for entry in &mut entries {
            for object in entry
                .as_object_mut()
                .into_iter()
                .flat_map(|o| o.values_mut())
            {
                object.as_object_mut().map(|object| object.remove("handle"));
                if object["name"] == "written" {
                    object.as_object_mut().map(|set| set.remove("elem"));
                }
            }
        }
        entries.sort_by_key(|entry| {
            let object = entry.as_object().and_then(|kinds| kinds.values().next());
            let of = |key: &str| object.and_then(|object| object[key].as_str().map(str::to_owned));
            (of("table").or_else(|| of("name")), of("family"))
        });
        entries.iter().map(ToString::to_string).collect()
    }
}
