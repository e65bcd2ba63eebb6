//! What a SANDBOX may be, and what becomes of namespaces that we made.

use crate::host::Host;

#[test]
fn a_namespace_that_we_made_goes_with_its_last_endpoint() {
    let host = Host::new();
    host.create("one");
    host.create("two");
    host.bridge_user("net connect --create one a").ok();
    host.bridge_user("net connect --create two a").ok();
    host.assert_pings("a", "127.0.0.1");
    host.bridge_user("net disconnect one a").ok();
    assert_eq!(host.files("/run/netns"), ["/run/netns/a"]);
    host.bridge_user("net disconnect two a").ok();
    assert_eq!(host.files("/run/netns"), [""; 0]);
    assert_eq!(host.files("/etc/netns"), [""; 0]);
}

#[test]
fn a_namespace_that_we_found_stays() {
    let host = Host::new();
    host.create("n");
    host.netns("a");
    host.bridge_user("net connect --create n a").ok();
    host.bridge_user("net disconnect n a").ok();
    assert_eq!(host.files("/run/netns"), ["/run/netns/a"]);
}

#[test]
fn a_failed_connect_takes_its_namespace_back() {
    let host = Host::new();
    host.create("--subnet 10.77.0.0/24 n");
    host.bridge_user("net connect --create --ip 10.78.0.2 n a")
        .fails_with(1, &["10.78.0.2"]);
    host.bridge_user("net connect --create nowhere a")
        .fails_with(1, &["nowhere"]);
    assert_eq!(host.files("/run/netns"), [""; 0]);
    assert_eq!(host.files("/etc/netns"), [""; 0]);
}

#[test]
fn ip_netns_knows_what_we_made() {
    let host = Host::new();
    host.create("n");
    host.bridge_user("net connect --create n a").ok();
    let list = host.call("ip -j netns list").json();
    assert_eq!(list[0]["name"], "a");
    host.call("ip netns del a").ok();
    host.bridge_user("net rm n").ok();
    host.assert_clean();
}

#[test]
fn one_namespace_has_one_identity() {
    let host = Host::new();
    host.create("n");
    host.netns("a");
    let holder = host.exec("a", "sleep 60").spawn();
    let by_pid = format!("pid:{}", host.pid_of("sleep"));
    host.connect("n a");
    for spelling in ["a", "/run/netns/a", "/var/run/netns/a", &by_pid] {
        let connect = host.bridge_user(&format!("net connect n {spelling}"));
        connect.fails_with(1, &["already connected", "network n"]);
    }
    host.bridge_user(&format!("net disconnect n {by_pid}")).ok();
    assert_eq!(host.members("n"), [""; 0]);
    holder.stop();
}

#[test]
fn a_path_is_a_sandbox() {
    let host = Host::new();
    host.create("n");
    host.call("mkdir /run/elsewhere").ok();
    host.netns("a");
    host.call("touch /run/elsewhere/web").ok();
    host.call("mount --bind /run/netns/a /run/elsewhere/web")
        .ok();
    let web = host.connect("n /run/elsewhere/web");
    assert_eq!(host.members("n"), ["web"]);
    host.assert_pings("a", &web.ipv4);
    host.join("n", "b");
    host.assert_pings("b", "web");
    host.bridge_user("net disconnect n web").ok();
    assert_eq!(host.members("n"), ["b"]);
}

#[test]
fn a_sandbox_is_on_several_networks() {
    let host = Host::new();
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 one");
    host.create("--ipv6 --subnet 10.78.0.0/24 --subnet fd78::/64 two");
    host.netns("a");
    let on_one = host.connect("one a");
    let on_two = host.connect("two a");
    assert_eq!(
        (on_one.interface.as_str(), on_two.interface.as_str()),
        ("eth0", "eth1")
    );
    let [b, c] = [("one", "b"), ("two", "c")].map(|(network, name)| host.join(network, name));
    for address in [&b.ipv4, &b.ipv6, &c.ipv4, &c.ipv6] {
        host.assert_pings("a", address);
    }
    assert!(
        !host.ping_quickly("b", &c.ipv4),
        "a sandbox on both is no router"
    );
    let gateway = |ipv6| host.default_routes("a", ipv6);
    assert_eq!(gateway(false), [("10.77.0.1".into(), "eth0".into())]);
    host.bridge_user("net disconnect one a").ok();
    assert_eq!(
        gateway(false),
        [("10.78.0.1".into(), "eth1".into())],
        "the next one takes over"
    );
    assert_eq!(gateway(true), [("fd78::1".into(), "eth1".into())]);
}

#[test]
fn a_default_route_that_is_there_stays() {
    let host = Host::new();
    host.create("n");
    host.netns("a");
    for words in [
        "link add own0 type veth peer name own1",
        "addr add 192.168.9.2/24 dev own0",
        "link set own0 up",
        "link set own1 up",
        "route add default via 192.168.9.1",
    ] {
        host.call(&format!("ip -n a {words}")).ok();
    }
    host.connect("n a");
    assert_eq!(
        host.default_routes("a", false),
        [("192.168.9.1".into(), "own0".into())]
    );
}

#[test]
fn a_default_route_of_another_table_or_kind_is_none() {
    let host = Host::new();
    host.create("n");
    host.netns("a");
    for words in [
        "link set lo up",
        "route add default dev lo table 100",
        "route add unreachable default metric 9999",
    ] {
        host.call(&format!("ip -n a {words}")).ok();
    }
    host.connect("n a");
    let route = host.call("ip -n a route get 192.0.2.1").ok();
    assert!(route.contains("dev eth0"), "{route}");
}

#[test]
fn the_default_network_is_made_on_first_use() {
    let host = Host::new();
    let list = host
        .bridge_user("net ls --format {{.Name}}/{{.Driver}}")
        .ok();
    assert_eq!(list, "bridge/bridge\nhost/host\nnone/null\n");
    assert_eq!(host.our_links(), [""; 0], "listing makes nothing");
    host.netns("a");
    let a = host.connect("bridge a");
    assert_eq!(host.bridge_of("bridge"), "bu0");
    let b = host.join("bridge", "b");
    host.assert_pings("a", &b.ipv4);
    assert_eq!(host.addresses(None, "bu0")[0].cidr, "10.90.0.1/24");
    assert_eq!(a.ipv4, "10.90.0.2");
}

#[test]
fn a_sandbox_without_routes_holds_up_nobody() {
    let host = Host::new();
    host.create("n");
    host.create("m");
    host.netns("a");
    for network in ["n", "m"] {
        host.connect(&format!("{network} a"));
    }
    host.call("ip -n a route flush table main").ok();
    let ran = host.bridge_user("net disconnect n a").run();
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(
        ran.stderr
            .contains("warning: failed to add the default route"),
        "{ran}"
    );
    host.create("o");
    host.connect("o a");
    let routes = host.default_routes("a", false);
    assert_eq!(routes.len(), 1, "the next one has it: {routes:?}");
    for network in ["m", "o"] {
        host.bridge_user(&format!("net disconnect {network} a"))
            .ok();
    }
    host.bridge_user("net rm n m o").ok();
    host.assert_clean();
}
