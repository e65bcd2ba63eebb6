//! What goes between the host and its endpoints: past the bridge, both ways.

use serde_json::Value;

use crate::host::{Host, array, number, wait_until};

/// Has the bridge's own hooks count frames for single stations, as the second witness.
fn count_at_bridge(host: &Host) {
    host.call("nft add table bridge witness").ok();
    for name in ["output", "input"] {
        host.call(&format!("nft add chain bridge witness {name}"))
            .arg(&format!("{{ type filter hook {name} priority 0; }}"))
            .ok();
        host.call(&format!("nft add rule bridge witness {name} ether daddr"))
            .arg("& 01:00:00:00:00:00 == 00:00:00:00:00:00 counter")
            .ok();
    }
}

/// How many the bridge had of the host, and for it.
fn counted(host: &Host) -> [u64; 2] {
    let table = host.call("nft -j list table bridge witness").json();
    let rules = array(&table["nftables"])
        .iter()
        .map(|object| &object["rule"]);
    let packets = |chain: &str| {
        let rule = rules.clone().find(|rule| rule["chain"] == chain);
        let expressions = rule.map_or(&[][..], |rule| array(&rule["expr"]));
        let counter = expressions.iter().find_map(|e| e.get("counter"));
        number(&counter.unwrap_or(&Value::Null)["packets"])
    };
    ["output", "input"].map(packets)
}

#[test]
fn the_host_and_its_endpoints_speak_past_the_bridge() {
    let host = Host::new();
    count_at_bridge(&host);
    for (network, create) in [("n", "--ipv6"), ("x", "--ipv6 --datapath xdp")] {
        host.create(&format!("{create} {network}"));
        let assigned = host.join(network, &format!("{network}1"));
        host.netns(&format!("{network}2"));
        let chosen = host.connect(&format!(
            "--mac-address 02:42:ac:11:00:02 {network} {network}2"
        ));
        for endpoint in [&assigned, &chosen] {
            for address in endpoint.addresses() {
                assert!(host.host_pings(&address), "{network}: {address}");
            }
            host.assert_pings(&endpoint.sandbox, &host.gateway_of(network));
        }
    }
    assert_eq!(counted(&host), [0, 0]);
    assert_eq!(host.bridge_pins().len(), 2);
    // What is counted: with the datapath off all goes by the bridge.
    host.create("--datapath off off");
    let off = host.join("off", "off");
    assert!(host.host_pings(&off.ipv4));
    let [sent, received] = counted(&host);
    assert!(sent > 0 && received > 0, "{sent} {received}");
    for network in ["n", "x"] {
        host.bridge_user(&format!("net disconnect {network} {network}1"))
            .ok();
        host.bridge_user(&format!("net disconnect {network} {network}2"))
            .ok();
        host.bridge_user(&format!("net rm {network}")).ok();
    }
    host.bridge_user("net disconnect off off").ok();
    host.bridge_user("net rm off").ok();
    assert_eq!(host.bridge_pins(), [""; 0]);
}

#[test]
fn a_lost_program_of_a_bridge_comes_back_and_the_bridge_serves_meanwhile() {
    let host = Host::new();
    count_at_bridge(&host);
    host.create("n");
    let a = host.join("n", "a");
    let [pin] = &host.bridge_pins()[..] else {
        panic!("one pin a bridge: {:?}", host.bridge_pins());
    };
    host.call("rm").arg(pin).ok();
    // The kernel takes the program away a moment later.
    wait_until("the bridge serves", || {
        assert!(host.host_pings(&a.ipv4));
        counted(&host)[0] > 0
    });
    let [sent, _] = counted(&host);
    host.bridge_user("net ls").ok();
    assert_eq!(host.bridge_pins().len(), 1);
    assert!(host.host_pings(&a.ipv4));
    assert_eq!(counted(&host)[0], sent);
}

#[test]
fn an_endpoint_that_is_gone_gets_nothing_by_its_address_anew() {
    let host = Host::new();
    host.create("n");
    host.create("m");
    let mac = "02:42:ac:11:00:02";
    for name in ["a", "b"] {
        host.netns(name);
    }
    let old = host.connect(&format!("--mac-address {mac} n a"));
    assert!(host.host_pings(&old.ipv4));
    host.bridge_user("net disconnect n a").ok();
    // The same address in another network: what is for the first one does not come there.
    let new = host.connect(&format!("--mac-address {mac} m b"));
    let bridge = host.bridge_of("n");
    host.call(&format!(
        "ip neigh replace {} lladdr {mac} dev {bridge}",
        old.ipv4
    ))
    .ok();
    let before = host.echoes_in("b");
    assert!(!host.host_pings(&old.ipv4));
    assert_eq!(host.echoes_in("b"), before);
    assert!(host.host_pings(&new.ipv4));
}
