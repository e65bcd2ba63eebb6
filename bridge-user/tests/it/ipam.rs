//! Which subnets and addresses are given, seen on the interfaces.

use crate::host::{Host, array, text};

/// Subnets of a network, as `net inspect` has them.
fn subnets(host: &Host, network: &str) -> Vec<String> {
    let pools = &host.inspect(network)["IPAM"]["Config"];
    array(pools)
        .iter()
        .map(|pool| text(&pool["Subnet"]))
        .collect()
}

/// Connects a namespace that is made for it and gives its addresses, as the kernel has them.
fn address(host: &Host, arguments: &str, name: &str) -> String {
    host.bridge_user(&format!("net connect --create {arguments} {name}"))
        .ok();
    let addresses = host.addresses(Some(name), "eth0");
    addresses
        .into_iter()
        .map(|address| address.cidr)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn addresses_go_up_and_a_freed_one_waits() {
    let host = Host::new();
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 n");
    assert_eq!(address(&host, "n", "a"), "10.77.0.2/24 fd77::2/64");
    assert_eq!(address(&host, "n", "b"), "10.77.0.3/24 fd77::3/64");
    host.bridge_user("net disconnect n a").ok();
    host.bridge_user("net disconnect n b").ok();
    assert_eq!(address(&host, "n", "c"), "10.77.0.4/24 fd77::4/64");
}

#[test]
fn a_small_subnet_fills_up_and_wraps() {
    let host = Host::new();
    host.create("--subnet 10.77.0.0/29 n");
    for (name, last) in [("a", 2), ("b", 3), ("c", 4), ("d", 5), ("e", 6)] {
        assert_eq!(address(&host, "n", name), format!("10.77.0.{last}/29"));
    }
    let full = host.bridge_user("net connect --create n f");
    full.fails_with(
        1,
        &["no free address", "10.77.0.0/29", "network n", "hint: "],
    );
    assert_eq!(host.files("/run/netns/f"), [""; 0]);
    host.bridge_user("net disconnect n d").ok();
    host.bridge_user("net disconnect n b").ok();
    assert_eq!(
        address(&host, "n", "f"),
        "10.77.0.3/29",
        "the lowest free one after a wrap"
    );
    assert_eq!(address(&host, "n", "g"), "10.77.0.5/29");
    host.assert_pings("f", "10.77.0.5");
}

#[test]
fn ranges_and_reserved_addresses_bound_the_choice() {
    let host = Host::new();
    let reserved = "--aux-address router=10.77.0.129 --aux-address printer=10.77.0.130";
    host.create(&format!(
        "--subnet 10.77.0.0/24 --ip-range 10.77.0.128/30 {reserved} n"
    ));
    assert_eq!(address(&host, "n", "a"), "10.77.0.128/24");
    assert_eq!(address(&host, "n", "b"), "10.77.0.131/24");
    host.bridge_user("net connect --create n c")
        .fails_with(1, &["no free address", "10.77.0.128/30"]);
    assert_eq!(
        address(&host, "--ip 10.77.0.9 n", "d"),
        "10.77.0.9/24",
        "fixed ones may lie outside"
    );
    host.assert_pings("a", "10.77.0.9");
}

#[test]
fn fixed_addresses_do_not_disturb_the_order() {
    let host = Host::new();
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 n");
    assert_eq!(
        address(&host, "--ip 10.77.0.3 --ip6 fd77::beef n", "a"),
        "10.77.0.3/24 fd77::beef/64"
    );
    assert_eq!(address(&host, "n", "b"), "10.77.0.2/24 fd77::2/64");
    assert_eq!(address(&host, "n", "c"), "10.77.0.4/24 fd77::3/64");
    host.assert_pings("c", "fd77::beef");
}

#[test]
fn a_gateway_can_be_any_address() {
    let host = Host::new();
    host.create("--subnet 10.77.0.0/24 --gateway 10.77.0.3 n");
    assert_eq!(address(&host, "n", "a"), "10.77.0.1/24");
    assert_eq!(address(&host, "n", "b"), "10.77.0.2/24");
    assert_eq!(address(&host, "n", "c"), "10.77.0.4/24");
    host.assert_pings("a", "10.77.0.3");
}

#[test]
fn chosen_subnets_avoid_networks_and_routes() {
    let host = Host::new();
    for words in [
        "link add up0 type veth peer name up1",
        "addr add 10.90.1.77/25 dev up0",
        "link set up0 up",
        "link set up1 up",
        "route add 10.90.3.0/28 dev up0",
    ] {
        host.call(&format!("ip {words}")).ok();
    }
    for (network, subnet) in [
        ("a", "10.90.0.0/24"),
        ("b", "10.90.2.0/24"),
        ("c", "10.90.4.0/24"),
    ] {
        host.create(network);
        assert_eq!(subnets(&host, network), [subnet]);
        let gateway = subnet.replace(".0/24", ".1/24");
        assert_eq!(
            host.addresses(None, &host.bridge_of(network))[0].cidr,
            gateway
        );
    }
    host.bridge_user("net rm a").ok();
    host.create("d");
    assert_eq!(
        subnets(&host, "d"),
        ["10.90.0.0/24"],
        "the subnet of a removed network is free"
    );
}

#[test]
fn a_default_route_covers_nothing() {
    let host = Host::new();
    for words in [
        "link add up0 type veth peer name up1",
        "addr add 192.168.9.2/24 dev up0",
        "link set up0 up",
        "link set up1 up",
        "route add default via 192.168.9.1",
    ] {
        host.call(&format!("ip {words}")).ok();
    }
    host.create("n");
    assert_eq!(subnets(&host, "n"), ["10.90.0.0/24"]);
}

#[test]
fn ipv6_without_a_subnet_is_unique_local() {
    let host = Host::new();
    host.create("--ipv6 one");
    host.create("--ipv6 two");
    let [one, two] = ["one", "two"].map(|network| subnets(&host, network));
    assert_eq!(one[0], "10.90.0.0/24");
    for subnet in [&one[1], &two[1]] {
        assert!(
            subnet.starts_with("fd") && subnet.ends_with("::/64"),
            "{subnet}"
        );
    }
    assert_ne!(one[1], two[1]);
    let prefix = |subnet: &str| {
        subnet
            .trim_end_matches("::/64")
            .rsplit_once(':')
            .map(|p| p.0.to_owned())
    };
    assert_eq!(prefix(&one[1]), prefix(&two[1]), "one prefix for the host");
}
