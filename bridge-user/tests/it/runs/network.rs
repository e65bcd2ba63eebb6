//! Where the network of a run comes from.

use super::{field, namespaces, sleeper};
use crate::host::Host;

#[test]
fn the_default_network_is_seen_inside_and_by_inspect() {
    let host = Host::new();
    sleeper(&host, "--name a");
    let address = field(&host, "a", ".NetworkSettings.IPAddress");
    assert_eq!(address, "10.90.0.2");
    let prefix = field(&host, "a", ".NetworkSettings.IPPrefixLen");
    assert_eq!(
        host.addresses(Some("a"), "eth0")[0].cidr,
        format!("{address}/{prefix}")
    );
    let link = host.link(Some("a"), "eth0").unwrap();
    let on_bridge = |key: &str| {
        field(
            &host,
            "a",
            &format!(".NetworkSettings.Networks.bridge.{key}"),
        )
    };
    assert_eq!(on_bridge("MacAddress"), link["address"]);
    assert_eq!(on_bridge("IPAddress"), address);
    let route = ("10.90.0.1".into(), "eth0".into());
    assert_eq!(host.default_routes("a", false), [route]);
    assert_eq!(on_bridge("Gateway"), "10.90.0.1");
    let containers = &host.inspect("bridge")["Containers"];
    assert_eq!(containers[field(&host, "a", ".Id")]["Name"], "a");
    assert!(host.host_pings(&address));
    let pid = field(&host, "a", ".State.Pid");
    let seen = host
        .call(&format!("nsenter -t {pid} -n ip -br addr show eth0"))
        .ok();
    assert!(seen.contains("10.90.0.2/24"), "{seen}");
}

#[test]
fn several_networks_are_several_interfaces() {
    let host = Host::new();
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 one");
    host.create("--subnet 10.78.0.0/24 two");
    sleeper(
        &host,
        "--name a --network one --network two --ip 10.77.0.9 --ip6 fd77::9 \
         --mac-address 02:00:00:00:00:09 --network-alias www",
    );
    let cidrs = |leg| {
        host.addresses(Some("a"), leg)
            .into_iter()
            .map(|a| a.cidr)
            .collect::<Vec<_>>()
    };
    assert_eq!(cidrs("eth0"), ["10.77.0.9/24", "fd77::9/64"]);
    assert_eq!(cidrs("eth1"), ["10.78.0.2/24"]);
    assert_eq!(
        host.link(Some("a"), "eth0").unwrap()["address"],
        "02:00:00:00:00:09"
    );
    assert_eq!(
        field(
            &host,
            "a",
            ".NetworkSettings.Networks.one.GlobalIPv6Address"
        ),
        "fd77::9"
    );
    assert_eq!(
        field(&host, "a", ".NetworkSettings.IPAddress"),
        "",
        "the default network's only"
    );
    let short = field(&host, "a", ".Config.Hostname");
    let aliases = field(&host, "a", "json .NetworkSettings.Networks.one.Aliases");
    assert_eq!(aliases, format!("[\"www\",\"{short}\"]"));
    let b = host.join("one", "b");
    for name in ["a", "www", &short] {
        host.assert_pings("b", name);
    }
    host.assert_pings("a", &b.ipv6);
}

#[test]
fn the_hosts_network_and_none() {
    let host = Host::new();
    sleeper(&host, "--name h --network host");
    let pid = field(&host, "h", ".State.Pid");
    assert_eq!(namespaces(&host, &pid)[0], namespaces(&host, "1")[0]);
    assert_ne!(namespaces(&host, &pid)[2], namespaces(&host, "1")[2]);
    sleeper(&host, "--name n --network none");
    let links = host.call("ip -n n -j link").json();
    assert_eq!(
        (links.as_array().unwrap().len(), &links[0]["ifname"]),
        (1, &"lo".into())
    );
    host.assert_pings("n", "127.0.0.1");
    host.bridge_user("reconcile").ok();
    assert_eq!(
        host.files("/run/netns"),
        ["/run/netns/n"],
        "it stays without endpoints"
    );
    assert_eq!(field(&host, "h", ".HostConfig.NetworkMode"), "host");
    host.bridge_user("rm -f h n").ok();
    host.assert_clean();
}

#[test]
fn one_sandbox_joins_the_network_of_another() {
    let host = Host::new();
    let id = sleeper(&host, "--name web --hostname www");
    sleeper(&host, "--name b --network container:web");
    sleeper(
        &host,
        &format!(
            "--name c --network container:{}",
            &field(&host, "b", ".Id")[..12]
        ),
    );
    let [a, b, c] = ["web", "b", "c"].map(|n| namespaces(&host, &field(&host, n, ".State.Pid")));
    assert!(
        a[0] == b[0] && a[0] == c[0] && a[2] != b[2],
        "{a:?} {b:?} {c:?}"
    );
    assert_eq!(
        field(&host, "b", ".HostConfig.NetworkMode"),
        format!("container:{id}")
    );
    assert_eq!(host.bridge_user("exec c -- hostname").ok(), "www\n");
    let hosts = |name: &str| {
        host.bridge_user(&format!("exec {name} -- cat /etc/hosts"))
            .ok()
    };
    assert_eq!(hosts("b"), hosts("web"));
    host.bridge_user("rm -f web").ok();
    assert_eq!(host.link(Some("web"), "eth0"), None);
    assert_eq!(host.our_links(), ["bu0"]);
    host.bridge_user("run --network container:web -- true")
        .fails_with(125, &["sandbox web", "not found"]);
    host.bridge_user("run --name d --network none -- true").ok();
    host.bridge_user("run --network container:d -- true")
        .fails_with(125, &["cannot join", "sandbox d", "not running", "hint: "]);
}

#[test]
fn nobody_joins_what_has_ended_or_another_of_its_name() {
    let host = Host::new();
    sleeper(&host, "--name a");
    sleeper(&host, "--name joined --network container:a");
    sleeper(&host, "--name twice --network container:joined");
    let network = |name| namespaces(&host, &field(&host, name, ".State.Pid"))[0].clone();
    assert_eq!(network("twice"), network("a"));
    host.bridge_user("rm -f a").ok();
    let join = || host.bridge_user("run --network container:joined -- true");
    join().fails_with(125, &["cannot join", "not running", "hint: "]);
    sleeper(&host, "--name a");
    join().fails_with(125, &["cannot join", "not running", "hint: "]);
}

#[test]
fn what_excludes_what_is_said_in_dockers_words() {
    let host = Host::new();
    host.create("n");
    sleeper(&host, "--name a --network n");
    let before = host.snapshot();
    let mode = "conflicting options";
    for (options, part) in [
        (
            "--network container:a --hostname x",
            "hostname and the network mode",
        ),
        (
            "--network container:a --dns 192.0.2.1",
            "dns and the network mode",
        ),
        (
            "--network container:a --add-host x:192.0.2.1",
            "custom host-to-IP mapping and the network mode",
        ),
        (
            "--network container:a --mac-address 02:00:00:00:00:01",
            "mac-address and the network mode",
        ),
        (
            "--network host --mac-address 02:00:00:00:00:01",
            "mac-address and the network mode",
        ),
        ("--network n --network host", mode),
        ("--network n --network bridge", mode),
        ("--network n --network none", mode),
        ("--network container:a --network n", mode),
        ("--network n --network n", "specified multiple times"),
        ("--network container:", "container:<name|id>"),
        (
            "--ip 10.90.0.9",
            "user specified IP address is supported on user defined networks only",
        ),
        ("--network host --ip 10.90.0.9", "user specified IP address"),
        ("--network none --ip6 fd00::9", "user specified IP address"),
        (
            "--network container:a --ip 10.90.0.9",
            "user specified IP address",
        ),
        (
            "--network-alias x",
            "network-scoped alias is supported only",
        ),
        ("--network host --network-alias x", "network-scoped alias"),
        ("--network host --add-host x:host-gateway", "host-gateway"),
    ] {
        let words = format!("run --name b {options} -- true");
        host.bridge_user(&words).fails_with(125, &[part]);
    }
    host.assert_as_before(&before, "a refused command changed something");
}

#[test]
fn an_id_of_a_network_excludes_what_its_name_does() {
    let host = Host::new();
    host.create("n");
    sleeper(&host, "--name a");
    let before = host.snapshot();
    let id = |name| {
        let inspect = host.bridge_user(&format!("net inspect {name} -f {{{{.Id}}}}"));
        inspect.ok().trim().to_owned()
    };
    for (options, part) in [
        (
            format!("--network {} --ip 10.90.0.9", id("bridge")),
            "user specified IP address",
        ),
        (
            format!("--network {} --network-alias x", id("bridge")),
            "network-scoped alias",
        ),
        (
            format!("--network n --network {}", id("bridge")),
            "conflicting options",
        ),
        (
            format!("--network n --network {}", id("n")),
            "specified multiple times",
        ),
        (
            format!("--network {} --ip 10.90.0.9", id("none")),
            "user specified IP address",
        ),
    ] {
        let words = format!("run --name b {options} -- true");
        host.bridge_user(&words).fails_with(125, &[part]);
    }
    host.assert_as_before(&before, "a refused command changed something");
}

#[test]
fn only_what_runs_in_a_network_of_its_own_is_connected() {
    let host = Host::new();
    host.create("n");
    host.bridge_user("run --name ended -- true").ok();
    sleeper(&host, "--name shared --network host");
    let before = host.snapshot();
    for (name, part) in [("ended", "not running"), ("shared", "network of the host")] {
        for create in ["", "--create"] {
            host.bridge_user(&format!("net connect {create} n {name}"))
                .fails_with(1, &[&format!("sandbox {name}"), part, "hint: "]);
        }
        host.bridge_user(&format!("net disconnect -f n {name}"))
            .ok();
    }
    host.assert_as_before(&before, "a refused command changed something");
}

#[test]
fn an_id_is_as_good_as_a_name() {
    let host = Host::new();
    host.create("n");
    let id = sleeper(&host, "--name a");
    for text in [&id[..], &id[..20], &id[..12]] {
        host.bridge_user(&format!("net connect n {text}")).ok();
        assert_eq!(
            field(&host, "a", ".NetworkSettings.Networks.n.IPAddress").len(),
            9
        );
        host.bridge_user(&format!("net disconnect n {text}")).ok();
    }
    host.bridge_user(&format!("rm -f {} nobody", &id[..20]))
        .ok();
    let removed = host.bridge_user("rm -f nobody").ok();
    assert_eq!(removed, "", "what was not there was not removed");
}

#[test]
fn networks_come_and_go_while_it_runs() {
    let host = Host::new();
    host.create("n");
    let other = host.join("n", "other");
    sleeper(&host, "--name a");
    let a = host.connect("n a");
    assert_eq!(a.interface, "eth1");
    host.assert_pings("other", "a");
    host.assert_pings("a", "other");
    assert_eq!(
        field(&host, "a", ".NetworkSettings.Networks.n.IPAddress"),
        a.ipv4
    );
    for network in ["n", "bridge"] {
        host.bridge_user(&format!("net disconnect {network} a"))
            .ok();
    }
    assert!(!host.ping_quickly("other", &a.ipv4));
    assert_eq!(field(&host, "a", ".State.Status"), "running");
    assert_eq!(
        host.files("/run/netns").len(),
        2,
        "the namespace stays while it runs"
    );
    let again = host.connect("n a");
    assert!(host.pings("other", &again.ipv4) && host.pings("a", &other.ipv4));
}
