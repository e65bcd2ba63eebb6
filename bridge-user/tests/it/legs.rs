//! What an endpoint looks like on both sides of its veth pair.

use std::thread::sleep;
use std::time::Duration;

use crate::host::{Address, Host, array, text, wait_until};

#[test]
fn the_container_leg_has_what_the_command_printed() {
    let host = Host::new();
    host.create("--ipv6 --subnet 10.77.0.0/24 --subnet fd77::/64 n");
    host.netns("a");
    let printed = host.bridge_user("net connect n a").ok();
    // Read at once: addresses are usable from the start, none is still being probed.
    let addresses = host.addresses(Some("a"), "eth0");
    let expected = ["10.77.0.2/24", "fd77::2/64"];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    let usable = |cidr: &str| Address {
        cidr: cidr.into(),
        tentative: false,
    };
    assert_eq!(addresses, expected.map(usable));
    assert_eq!(
        host.default_routes("a", false),
        [("10.77.0.1".into(), "eth0".into())]
    );
    assert_eq!(
        host.default_routes("a", true),
        [("fd77::1".into(), "eth0".into())]
    );
    host.assert_pings("a", "fd77::1");
}

#[test]
fn the_bridge_has_the_gateways() {
    let host = Host::new();
    host.create("--ipv6 --subnet 10.77.0.0/24 --gateway 10.77.0.200 --subnet fd77::/64 n");
    host.create("--subnet 10.78.0.0/24 -o com.docker.network.bridge.inhibit_ipv4=true bare");
    let cidrs = |network: &str| -> Vec<String> {
        let addresses = host.addresses(None, &host.bridge_of(network));
        addresses.into_iter().map(|address| address.cidr).collect()
    };
    assert_eq!(cidrs("n"), ["10.77.0.200/24", "fd77::1/64"]);
    assert_eq!(cidrs("bare"), [""; 0]);
    let a = host.join("n", "a");
    assert_eq!(
        host.default_routes("a", false),
        [("10.77.0.200".into(), "eth0".into())]
    );
    assert!(host.host_pings(&a.ipv4));
}

#[test]
fn options_name_and_size_the_links() {
    let host = Host::new();
    let mtu = "com.docker.network.driver.mtu=1400";
    let prefix = "com.docker.network.container_iface_prefix=net";
    host.create(&format!(
        "-o {mtu} -o {prefix} -o com.docker.network.bridge.name=shop0 n"
    ));
    let a = host.join("n", "a");
    assert_eq!(host.bridge_of("n"), "shop0");
    assert_eq!(a.interface, "net0");
    for (netns, link) in [(None, "shop0"), (None, &a.host_leg), (Some("a"), "net0")] {
        let found = host
            .link(netns, link)
            .unwrap_or_else(|| panic!("there is no {link}"));
        assert_eq!(found["mtu"], 1400, "{link}");
    }
    host.bridge_user("net disconnect n a").ok();
    host.bridge_user("net rm n").ok();
    assert_eq!(host.link(None, "shop0"), None);
    host.assert_clean();
}

#[test]
fn a_bridge_may_have_any_name_that_the_kernel_takes() {
    let host = Host::new();
    let name = "a'$;{#\\";
    host.create(&format!("-o com.docker.network.bridge.name={name} n"));
    host.join("n", "a");
    host.assert_pings("a", "10.90.0.1");
    let set = host.call("nft -j list set inet bridge_user bridges").json();
    let elements = array(&set["nftables"])
        .iter()
        .flat_map(|entry| array(&entry["set"]["elem"]));
    assert_eq!(elements.collect::<Vec<_>>(), [name]);
}

#[test]
fn a_link_that_took_the_bridges_name_is_left_alone() {
    let host = Host::new();
    host.create("-o com.docker.network.bridge.name=shop0 n");
    host.call("ip link del shop0").ok();
    host.call("ip link add shop0 type veth peer name shop1")
        .ok();
    host.bridge_user("net rm n").ok();
    assert!(host.link(None, "shop0").is_some());
}

#[test]
fn links_are_named_by_id() {
    let host = Host::new();
    let id = host.create("n");
    let bridge = host.bridge_of("n");
    assert_eq!(bridge, format!("bu-{}", &id[..12]));
    let link = host.link(None, &bridge).expect("the bridge exists");
    assert_eq!(link["linkinfo"]["info_kind"], "bridge");
    let a = host.join("n", "a");
    assert_eq!(a.host_leg, format!("bv-{}", &a.id[..12]));
    let leg = host.link(None, &a.host_leg).expect("the host leg exists");
    assert_eq!(
        (text(&leg["linkinfo"]["info_kind"]), text(&leg["master"])),
        ("veth".into(), bridge)
    );
    let held = host.attachments();
    assert!(held.len() == 1 && held[0].contains(&a.id[..12]), "{held:?}");
}

#[test]
fn the_mac_address_is_local_and_can_be_chosen() {
    let host = Host::new();
    host.create("n");
    let a = host.join("n", "a");
    let first = u8::from_str_radix(&a.mac[..2], 16).expect("a MAC address begins with a byte");
    assert_eq!(
        first & 0b11,
        0b10,
        "{} is not a locally administered unicast address",
        a.mac
    );
    host.netns("b");
    let b = host.connect("--mac-address 02:42:0A:00:00:05 --ifname lan7 n b");
    let leg = host
        .link(Some("b"), "lan7")
        .expect("the interface is named as asked");
    assert_eq!(leg["address"], "02:42:0a:00:00:05");
    host.assert_pings("a", &b.ipv4);
}

#[test]
fn a_chosen_mac_address_is_hinted_at_while_its_endpoint_is_there() {
    let host = Host::new();
    host.create("n");
    host.join("n", "a");
    assert_eq!(host.hints(), [0; 0], "an assigned one ends in the slot");
    host.netns("b");
    let b = host.connect("--mac-address 02:42:0a:00:ff:ff n b");
    let slot = host.port(&b.host_leg).expect("it is a port").slot;
    assert_eq!(host.hints(), [u64::from(slot)]);
    // Whatever took it away, it comes back.
    host.clear_hints();
    assert_eq!(host.hints(), [0; 0]);
    host.bridge_user("reconcile").ok();
    assert_eq!(host.hints(), [u64::from(slot)]);
    host.bridge_user("net disconnect n b").ok();
    assert_eq!(host.hints(), [0; 0]);
}

#[test]
fn the_slow_path_knows_what_the_map_knows() {
    let host = Host::new();
    host.create("n");
    let a = host.join("n", "a");
    let entries = host.bridge_fdb(&a.host_leg);
    let of_a = entries.iter().find(|entry| entry["mac"] == a.mac.as_str());
    assert_eq!(
        of_a.expect("the kernel FDB has a's address")["state"],
        "static"
    );
    let port = host.bridge_port(&a.host_leg);
    assert_eq!(
        (&port["learning"], &port["isolated"]),
        (&false.into(), &false.into())
    );
    host.join("n", "b");
    // An address that the endpoint does not have is not learnt.
    host.call("ip -n a link set eth0 address 02:00:00:00:77:77")
        .ok();
    host.pings("a", "b");
    let learnt = host.bridge_fdb(&a.host_leg);
    assert!(
        learnt
            .iter()
            .all(|entry| entry["mac"] != "02:00:00:00:77:77"),
        "{learnt:?}"
    );
}

#[test]
fn the_bridge_keeps_its_mac_address() {
    let host = Host::new();
    host.create("n");
    let bridge = host.bridge_of("n");
    let mac = || text(&host.link(None, &bridge).expect("the bridge exists")["address"]);
    let at_first = mac();
    host.netns("low");
    // A bridge left alone takes the lowest address of its ports.
    host.connect("--mac-address 02:00:00:00:00:01 n low");
    host.join("n", "b");
    assert_eq!(mac(), at_first);
    host.bridge_user("net disconnect n low").ok();
    host.bridge_user("net disconnect n b").ok();
    assert_eq!(mac(), at_first);
}

#[test]
fn a_new_endpoint_announces_its_addresses() {
    let host = Host::new();
    host.create("--ipv6 n");
    host.join("n", "a");
    let seen = host
        .exec("a", "tcpdump -l -n -e -i eth0 arp or icmp6")
        .spawn();
    wait_until("tcpdump listens", || {
        !host.exec("a", "ss -Ha0").ok().is_empty()
    });
    let b = host.join("n", "b");
    // It is sent when the leg comes up; give the capture time to print it.
    sleep(Duration::from_millis(500));
    let seen = seen.stop();
    let is_said = |what: &str, address: &str| {
        let mut lines = seen.lines().filter(|line| line.contains(&b.mac));
        lines.any(|line| line.contains(what) && line.contains(address))
    };
    assert!(is_said("ARP", &b.ipv4), "no gratuitous ARP: {seen}");
    assert!(
        is_said("neighbor advertisement", &b.ipv6),
        "no advertisement: {seen}"
    );
}

#[test]
fn neighbours_learn_a_reused_address_at_once() {
    let host = Host::new();
    host.create("--ipv6 n");
    host.join("n", "a");
    host.netns("b");
    let first = host.connect("--ip 10.90.0.50 n b");
    host.assert_pings("a", &first.ipv4);
    host.assert_pings("a", &first.ipv6);
    host.bridge_user("net disconnect n b").ok();
    host.netns("c");
    let second = host.connect(&format!("--ip {} --ip6 {} n c", first.ipv4, first.ipv6));
    assert_ne!(first.mac, second.mac);
    host.assert_pings("a", &first.ipv4);
    host.assert_pings("a", &first.ipv6);
}

#[test]
fn a_renamed_host_leg_is_no_port_without_a_program() {
    let host = Host::new();
    host.create("n");
    let [a, b] = ["a", "b"].map(|name| host.join("n", name));
    let rename = |leg: &str| {
        for words in ["down", "name odd", "up"] {
            let leg = if words == "up" { "odd" } else { leg };
            host.call(&format!("ip link set {leg} {words}")).ok();
        }
    };
    rename(&a.host_leg);
    host.bridge_user("reconcile").ok();
    assert!(host.link(None, "odd").is_none());
    host.transfer(&a, &b, &b.ipv4, 1).assert_fast();
    rename(&a.host_leg);
    host.bridge_user("net disconnect n a").ok();
    assert!(host.link(None, "odd").is_none());
    assert!(host.link(Some("a"), "eth0").is_none());
    assert_eq!((host.ports().len(), host.link_pins().len()), (1, 1));
}
