//! The configuration: the sizes of the maps, and what is said where they do not suffice.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::host::{CONFIG, Host, PINS, number, text};

/// A pinned map, as bpftool shows it.
fn shown(host: &Host, map: &str) -> Value {
    host.call(&format!("bpftool -j map show pinned {PINS}/maps/{map}"))
        .json()
}

/// Entries of the maps whose sizes can be set.
fn entries(host: &Host) -> BTreeMap<&'static str, u64> {
    let maps = [
        "PORTS",
        "ENDPOINTS",
        "FDB",
        "BUCKETS",
        "STATS",
        "LINKS",
        "NEIGHBOURS",
        "SUBNETS",
        "EVENTS",
        "PUBLISHED",
        "FLOWS",
        "HAIRPINS",
    ];
    let entries = |map| (map, number(&shown(host, map)["max_entries"]));
    maps.map(entries).into()
}

/// Bytes of all maps, as the kernel counts them.
fn bytes(host: &Host) -> u64 {
    let files = host.files(&format!("{PINS}/maps"));
    let maps = files
        .iter()
        .map(|path| path.rsplit('/').next().unwrap_or_default());
    let bytes = |map: &str| {
        let bytes = &shown(host, map)["bytes_memlock"];
        // A number, or one in quotes, as bpftool's version has it.
        bytes
            .as_u64()
            .unwrap_or_else(|| text(bytes).parse().expect("a number"))
    };
    maps.map(bytes).sum()
}

/// The same by the formula of docs/datapath.md.
fn formula(host: &Host, [endpoints, subnets, events_bytes, published, flows]: [u64; 5]) -> u64 {
    let possible = host.call("cat /sys/devices/system/cpu/possible").ok();
    let last = possible.trim().rsplit(['-', ',']).next().map(str::parse);
    let cpus: u64 = last.expect("0-1").map(|n: u64| n + 1).expect("a number");
    let n = endpoints + 1;
    n * (376 + 176 * cpus)
        + 32 * n.next_power_of_two()
        + 16 * (2 * n).next_power_of_two()
        + 80 * subnets
        + 16 * (2 * n + subnets).next_power_of_two()
        + 8 * 16_384
        + events_bytes
        + 16 * published.next_power_of_two()
        + 160 * flows
        + 16 * flows.next_power_of_two()
        + 96 * flows.max(1024)
        + 16 * flows.max(1024).next_power_of_two()
}

#[test]
fn maps_are_made_as_configured_and_take_what_the_docs_say() {
    for (config, sizes) in [
        ("", [16_383, 8_192, 262_144, 65_536, 16_384]),
        (
            "[maps]\nendpoints = 999\nsubnets = 16\nevents_bytes = 65_536\npublished = 100\nflows = 1000\n",
            [999, 16, 65_536, 100, 1000],
        ),
        (
            "[maps]\nendpoints = 65535\n",
            [65_535, 8_192, 262_144, 65_536, 16_384],
        ),
    ] {
        let [endpoints, subnets, events_bytes, published, flows] = sizes;
        let host = Host::new();
        host.configure(config);
        host.create("--ipv6 n");
        let (a, b) = (host.join("n", "a"), host.join("n", "b"));
        let slots = endpoints + 1;
        let wanted = [
            ("PORTS", slots),
            ("ENDPOINTS", slots),
            ("FDB", slots),
            ("BUCKETS", slots),
            ("STATS", slots),
            ("LINKS", 2 * slots),
            ("NEIGHBOURS", 2 * slots + subnets),
            ("SUBNETS", subnets),
            ("EVENTS", events_bytes),
            ("PUBLISHED", published),
            ("FLOWS", flows),
            ("HAIRPINS", flows.max(1024)),
        ];
        assert_eq!(entries(&host), BTreeMap::from(wanted));
        let (taken, told) = (bytes(&host), formula(&host, sizes));
        let off = taken.abs_diff(told);
        assert!(off < 32 << 10, "{taken} bytes, by the formula {told}");
        host.transfer(&a, &b, &b.ipv6, 1).assert_fast();
    }
}

#[test]
fn a_full_map_is_named_with_its_size_and_its_key() {
    let host = Host::new();
    host.configure("[maps]\nendpoints = 2\nsubnets = 3\n");
    host.create("--ipv6 n");
    let (a, b) = (host.join("n", "a"), host.join("n", "b"));
    host.netns("c");
    let before = host.snapshot();
    let refused = host.bridge_user("net connect n c");
    refused.fails_with(
        1,
        &[
            "map ENDPOINTS is full",
            "room for 2 endpoints",
            "raise `endpoints`",
        ],
    );
    let refused = host.bridge_user("net create --ipv6 m");
    refused.fails_with(
        1,
        &["map SUBNETS is full", "has 3 entries", "raise `subnets`"],
    );
    host.assert_as_before(&before, "a refused command changed something");
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
    host.bridge_user("net disconnect n a").ok();
    host.connect("n c");
}

#[test]
fn maps_keep_their_sizes_until_they_are_made_anew() {
    let host = Host::new();
    host.create("n");
    let ends = ["a", "b", "c"].map(|name| host.join("n", name));
    let before = entries(&host);
    host.configure("[maps]\nendpoints = 2\n");
    host.bridge_user("reconcile").ok();
    assert_eq!(entries(&host), before);
    let sizes = |host: &Host| {
        let printed = host.bridge_user("doctor --format json").run().stdout;
        let rows = printed
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        rows.into_iter()
            .find(|row: &Value| row["Check"] == "map sizes")
            .expect("doctor looks at them")
    };
    let warned = sizes(&host);
    assert_eq!(warned["Status"], "warning");
    let detail = text(&warned["Detail"]);
    assert!(
        detail.contains("ENDPOINTS has 16384, and would be made with 3"),
        "{detail}"
    );
    assert!(text(&warned["Advice"]).contains("reboot"), "{warned}");
    // What a reboot takes; three endpoints do not fit in what is made then.
    host.call("umount /sys/fs/bpf").ok();
    let refused = host.bridge_user("reconcile");
    refused.fails_with(1, &["is full: it has 3 entries", "raise `endpoints`"]);
    host.bridge_user("net disconnect n c").ok();
    host.bridge_user("reconcile").ok();
    assert_eq!(sizes(&host)["Status"], "ok");
    let [a, b, _] = &ends;
    host.transfer(a, b, &b.ipv4, 1).assert_fast();
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused() {
    let host = Host::new();
    host.configure("[maps]\nendpoints = many\n");
    let parts = [CONFIG, "line 2", "endpoints = many", "hint: "];
    for words in [
        "net create n",
        "net ls",
        "stats",
        "reconcile",
        "purge --yes",
    ] {
        host.bridge_user(words).fails_with(1, &parts);
    }
    let doctor = host.bridge_user("doctor --format json").run();
    assert_eq!(doctor.code, Some(1));
    assert!(doctor.stdout.contains("line 2"), "{doctor}");
    // Another file, by option or variable.
    host.configure("[maps]\nport = 1\n");
    host.bridge_user("net ls")
        .fails_with(1, &["unknown field `port`"]);
    host.inside(|| fs::write("/run/config.toml", "[maps]\nendpoints = 7\n"))
        .expect("/run is the host's own");
    host.bridge_user("--config /run/config.toml net create n")
        .ok();
    assert_eq!(number(&shown(&host, "ENDPOINTS")["max_entries"]), 8);
    let by_variable = |path| host.bridge_user("net ls").env("BRIDGE_USER_CONFIG", path);
    by_variable("/run/config.toml").ok();
    by_variable("/run/none.toml").fails_with(1, &["/run/none.toml", "No such file", "hint: "]);
}

#[test]
fn the_daemon_says_where_subnets_come_from_before_the_configuration_does() {
    let host = Host::new();
    host.configure(
        "[networks]\ndefault_address_pools = [{ base = \"172.30.0.0/24\", size = 28 }]\n",
    );
    let pools = "--default-address-pool base=10.80.0.0/24,size=25 \
                 --default-address-pool size=26,base=10.81.0.0/26";
    let mut daemon = host
        .bridge_user(&format!("daemon --foreground {pools}"))
        .spawn();
    daemon.wait_for_error_line("ready");
    // One that is refused changes nothing.
    host.bridge_user("daemon").fails_with(1, &["already"]);
    for (name, gateway) in [
        ("one", "10.80.0.1"),
        ("two", "10.80.0.129"),
        ("three", "10.81.0.1"),
    ] {
        host.create(name);
        assert_eq!(host.gateway_of(name), gateway, "{name}");
    }
    host.bridge_user("net create four")
        .fails_with(1, &["10.80.0.0/24, 10.81.0.0/26", "hint: "]);
    drop(daemon);
    host.bridge_user("net rm one").ok();
    host.create("one");
    assert_eq!(host.gateway_of("one"), "10.80.0.1");
    let _daemon = host.daemon();
    host.create("four");
    assert_eq!(host.gateway_of("four"), "172.30.0.1");
    host.bridge_user("daemon --default-address-pool 10.80.0.0/24")
        .fails_with(2, &["10.80.0.0/24", "base=CIDR,size=PREFIX_LENGTH"]);
}

#[test]
fn networks_get_what_is_configured_for_them() {
    let host = Host::new();
    host.configure(
        "[networks]\n\
         default_address_pools = [{ base = \"172.30.0.0/27\", size = 28 }]\n\
         default_network_options = { \"bridge-user.dns\" = \"true\" }\n",
    );
    let _daemon = host.daemon();
    host.create("one");
    host.netns("a");
    host.netns("b");
    let [a, _] = ["a", "b"].map(|name| host.connect(&format!("bridge {name}")));
    assert_eq!(host.gateway_of("one"), "172.30.0.1");
    assert!(a.ipv4.starts_with("172.30.0.1"), "{}", a.ipv4);
    host.bridge_user("net create two")
        .fails_with(1, &["172.30.0.0/27", "hint: "]);
    let gateway = host.gateway_of("bridge");
    let dug = host.dig("b", &format!("@{gateway} a.bridge"));
    assert_eq!(dug.answers, [a.ipv4], "{}", dug.text);
    host.configure(
        "[networks]\ndefault_address_pools = [{ base = \"172.30.0.1/27\", size = 28 }]\n",
    );
    host.bridge_user("net ls")
        .fails_with(1, &["line 2", "host bits"]);
}
