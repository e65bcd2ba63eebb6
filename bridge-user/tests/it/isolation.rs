//! What must not meet does not, by L2 or by routing, however hard both sides try.

use crate::host::{Endpoint, Host, array, link_local, mac, text, wait_until};

/// Something that an endpoint does by hand to reach a host that it is kept from.
struct Way {
    name: &'static str,
    /// Next hop of a host route to the target, and the MAC address that is claimed for it.
    via: String,
    mac: Option<String>,
}

/// Each way from one endpoint of the network `network` to an address of another endpoint.
fn ways(host: &Host, network: &str, other_bridge: &str, target: &str, mac: &str) -> Vec<Way> {
    let bridge_mac = |bridge: &str| {
        let link = host
            .link(None, bridge)
            .expect("the network's bridge exists");
        Some(text(&link["address"]))
    };
    let inspected = host.inspect(network);
    let ipv6 = target.contains(':');
    let pools = array(&inspected["IPAM"]["Config"]);
    let gateways = pools.iter().filter_map(|pool| pool["Gateway"].as_str());
    let gateway = gateways
        .into_iter()
        .find(|g| g.contains(':') == ipv6)
        .expect("a gateway a family");
    let own = bridge_mac(&host.bridge_of(network));
    vec![
        Way {
            name: "gateway",
            via: gateway.into(),
            mac: None,
        },
        Way {
            name: "its MAC",
            via: target.into(),
            mac: Some(mac.into()),
        },
        Way {
            name: "own bridge's MAC",
            via: target.into(),
            mac: own,
        },
        Way {
            name: "other bridge's MAC",
            via: target.into(),
            mac: bridge_mac(other_bridge),
        },
    ]
}

/// Addresses of an endpoint that another one may try, its link-local one among them.
fn targets(of: &Endpoint) -> Vec<String> {
    let mut targets = of.addresses();
    if !of.ipv6.is_empty() {
        targets.push(link_local(mac(&of.mac)).to_string());
    }
    targets
}

/// Pings after changing routes and neighbours as `way` says; gives what arrived and what came back.
fn attempt(host: &Host, from: &Endpoint, to: &Endpoint, target: &str, way: &Way) -> (u64, bool) {
    let (netns, device) = (&from.sandbox, &from.interface);
    let length = if target.contains(':') { 128 } else { 32 };
    let route = format!("{target}/{length}");
    let ip = |words: String| host.call(&format!("ip -n {netns} {words}"));
    if let Some(mac) = &way.mac {
        ip(format!(
            "neigh replace {target} lladdr {mac} dev {device} nud permanent"
        ))
        .ok();
        ip(format!("route replace {route} dev {device}")).ok();
    } else {
        ip(format!(
            "route replace {route} via {} dev {device}",
            way.via
        ))
        .ok();
    }
    let before = host.echoes_in(&to.sandbox);
    let answered = if target.starts_with("fe80:") {
        // From the address that a host would route from.
        host.ping_quickly(netns, &format!("-I {} {target}%{device}", from.ipv6))
    } else {
        host.ping_quickly(netns, target)
    };
    let arrived = host.echoes_in(&to.sandbox) - before;
    ip(format!("route del {route}")).ok();
    if way.mac.is_some() {
        ip(format!("neigh del {target} dev {device}")).ok();
    }
    (arrived, answered)
}

/// Both sides try every way to the other, in both families, and nothing arrives.
pub(crate) fn assert_apart(host: &Host, one: (&str, &Endpoint), other: (&str, &Endpoint)) {
    assert_apart_after(host, one, other, || {});
}

/// The same, after a change that no command of ours sees: it would mend it.
pub(crate) fn assert_apart_after(
    host: &Host,
    one: (&str, &Endpoint),
    other: (&str, &Endpoint),
    change: impl FnOnce(),
) {
    let mut attempts = Vec::new();
    for ((network, from), (other_network, to)) in [(one, other), (other, one)] {
        let other_bridge = host.bridge_of(other_network);
        for target in targets(to) {
            for way in ways(host, network, &other_bridge, &target, &to.mac) {
                attempts.push((from, to, target.clone(), way));
            }
        }
    }
    change();
    for (from, to, target, way) in attempts {
        let (arrived, answered) = attempt(host, from, to, &target, &way);
        let (from, to, way) = (&from.sandbox, &to.sandbox, way.name);
        assert!(
            arrived == 0 && !answered,
            "{from} reached {to} ({target}) by {way}"
        );
    }
}

/// The same attempts between two that may meet: they arrive, so that the tests above mean something.
fn assert_together(host: &Host, network: &str, from: &Endpoint, to: &Endpoint) {
    let bridge = host.bridge_of(network);
    for target in targets(to) {
        for way in ways(host, network, &bridge, &target, &to.mac) {
            let (arrived, answered) = attempt(host, from, to, &target, &way);
            let (from, to, way) = (&from.sandbox, &to.sandbox, way.name);
            assert!(
                arrived > 0 && answered,
                "{from} did not reach {to} ({target}) by {way}"
            );
        }
    }
}

#[test]
fn two_networks_do_not_meet() {
    for br_netfilter in [false, true] {
        let host = Host::with_br_netfilter(br_netfilter);
        host.create("--ipv6 one");
        host.create("--ipv6 two");
        let [a, b] = ["a", "b"].map(|name| host.join("one", name));
        let c = host.join("two", "c");
        assert_together(&host, "one", &a, &b);
        assert_apart(&host, ("one", &a), ("two", &c));
        assert_apart(&host, ("two", &c), ("one", &b));
    }
}

#[test]
fn endpoints_with_icc_off_do_not_meet() {
    for (br_netfilter, datapath) in [(false, "tc"), (true, "tc"), (false, "off"), (true, "off")] {
        let host = Host::with_br_netfilter(br_netfilter);
        let create = |icc: bool, name: &str| {
            let option = format!("com.docker.network.bridge.enable_icc={icc}");
            host.create(&format!("--ipv6 --datapath {datapath} -o {option} {name}"));
        };
        create(true, "together");
        create(false, "apart");
        let [a, b] = ["a", "b"].map(|name| host.join("together", name));
        assert_together(&host, "together", &a, &b);
        let [c, d] = ["c", "d"].map(|name| host.join("apart", name));
        assert_apart(&host, ("apart", &c), ("apart", &d));
        for address in c.addresses() {
            assert!(
                host.host_pings(&address),
                "the host does not reach {address}"
            );
        }
    }
}

/// An endpoint, and its network.
type Side = (&'static str, Endpoint);

/// Two networks, and one with ICC off, with two endpoints each way.
fn kept_apart(host: &Host) -> [(Side, Side); 2] {
    host.create("--ipv6 one");
    host.create("--ipv6 two");
    host.create("--ipv6 -o com.docker.network.bridge.enable_icc=false n");
    let [a, b] = ["one", "two"].map(|network| (network, host.join(network, network)));
    let [c, d] = ["c", "d"].map(|name| ("n", host.join("n", name)));
    [(a, b), (c, d)]
}

#[test]
fn the_program_alone_keeps_apart() {
    let host = Host::new();
    for (one, other) in kept_apart(&host) {
        let (one, other) = ((one.0, &one.1), (other.0, &other.1));
        assert_apart_after(&host, one, other, || {
            host.call("nft flush ruleset").ok();
            for (_, endpoint) in [one, other] {
                let leg = &endpoint.host_leg;
                host.call(&format!(
                    "bridge link set dev {leg} isolated off locked off"
                ))
                .ok();
            }
        });
    }
}

#[test]
fn bridge_and_firewall_alone_keep_apart() {
    let host = Host::new();
    for (one, other) in kept_apart(&host) {
        let (one, other) = ((one.0, &one.1), (other.0, &other.1));
        assert_apart_after(&host, one, other, || {
            host.call("umount /sys/fs/bpf").ok();
            wait_until("the program is gone", || {
                host.tcx_programs(&one.1.host_leg).is_empty()
            });
        });
    }
}

#[test]
fn a_locked_port_takes_no_other_mac_without_the_program() {
    let host = Host::new();
    host.create("n");
    let [a, b] = ["a", "b"].map(|name| host.join("n", name));
    host.call("umount /sys/fs/bpf").ok();
    wait_until("the program is gone", || {
        host.tcx_programs(&a.host_leg).is_empty()
    });
    host.assert_pings("a", &b.ipv4);
    host.call("ip -n a link set eth0 address 02:00:00:00:00:99")
        .ok();
    let before = host.echoes_in("b");
    assert!(!host.ping_quickly("a", &b.ipv4));
    assert_eq!(host.echoes_in("b"), before);
}

#[test]
fn internal_networks_have_no_outside() {
    for br_netfilter in [false, true] {
        let host = Host::with_br_netfilter(br_netfilter);
        let outside = host.outside();
        host.create("--ipv6 -o bridge-user.gateway_mode=routed open");
        host.create("--ipv6 --internal closed");
        let a = host.join("open", "a");
        let [c, d] = ["c", "d"].map(|name| host.join("closed", name));
        for target in outside.addresses() {
            host.assert_pings("a", &target);
        }
        for target in a.addresses() {
            host.assert_pings("outside", &target);
        }
        for ipv6 in [false, true] {
            assert_eq!(
                host.default_routes("c", ipv6),
                [],
                "an internal network leads nowhere"
            );
        }
        for target in outside.addresses() {
            let way = &ways(&host, "closed", "up0", &target, &c.mac)[0];
            let (arrived, answered) = attempt(&host, &c, &outside, &target, way);
            assert!(
                arrived == 0 && !answered,
                "c reached the outside ({target})"
            );
        }
        let before = host.echoes_in("c");
        for target in c.addresses() {
            assert!(
                !host.ping_quickly("outside", &target),
                "the outside reached c ({target})"
            );
            assert!(host.host_pings(&target), "the host does not reach {target}");
        }
        assert_eq!(
            host.echoes_in("c") - before,
            2,
            "more than the host's two pings arrived"
        );
        for target in d.addresses() {
            host.assert_pings("c", &target);
        }
        assert_apart(&host, ("open", &a), ("closed", &c));
    }
}

#[test]
fn the_open_and_the_icc_off_network_lead_outside() {
    let host = Host::new();
    let outside = host.outside();
    host.create("--ipv6 -o com.docker.network.bridge.enable_icc=false n");
    host.join("n", "a");
    for target in outside.addresses() {
        host.assert_pings("a", &target);
    }
}

#[test]
fn what_others_route_on_the_host_goes_on() {
    let host = Host::new();
    let near = host.outside();
    host.netns("far");
    for words in [
        "link add up1 type veth peer name eth0 netns far",
        "addr add 192.168.201.1/24 dev up1",
        "link set up1 up",
        "-n far addr add 192.168.201.2/24 dev eth0",
        "-n far link set eth0 up",
        "-n far route add default via 192.168.201.1",
    ] {
        host.call(&format!("ip {words}")).ok();
    }
    host.assert_pings("far", &near.ipv4);
    host.create("--internal -o com.docker.network.bridge.enable_icc=false n");
    host.join("n", "a");
    host.assert_pings("far", &near.ipv4);
}
