//! Rules of others that are for other links than those which flows come and go by.

use super::flows_judged::doctor_after;
use super::flows_rules::PASSES;
use super::publish;
use crate::host::{Host, wait_until};

fn host() -> Host {
    let host = Host::new();
    host.outside();
    host.create("n");
    host
}

/// A table with a chain at a hook.
fn nft(hook: &str, rules: &str) -> String {
    let chain = format!("chain c {{ type filter hook {hook} priority 0; {rules}; }}");
    format!("nft 'table inet t {{ {chain}; }}'")
}

fn netdev(devices: &str) -> String {
    let chain = format!("type filter hook ingress {devices} priority 0; meta length > 100 drop");
    format!("nft 'table netdev t {{ chain c {{ {chain}; }}; }}'")
}

/// Tailscale's chains (util/linuxfw, `addBase4`), by iptables and by nft.
const TAILSCALE: &str = "iptables-nft -N ts-forward; iptables-nft -A FORWARD -j ts-forward;
    iptables-nft -A ts-forward -i tailscale0 -j MARK --set-mark 0x40000/0xff0000;
    iptables-nft -A ts-forward -m mark --mark 0x40000/0xff0000 -j ACCEPT;
    iptables-nft -A ts-forward -o tailscale0 -s 100.64.0.0/10 -j DROP;
    iptables-nft -A ts-forward -o tailscale0 -j ACCEPT;
    iptables-nft -t nat -N ts-postrouting; iptables-nft -t nat -A POSTROUTING -j ts-postrouting;
    iptables-nft -t nat -A ts-postrouting -m mark --mark 0x40000/0xff0000 -j MASQUERADE";
const TAILSCALE_NFT: &str = "nft 'table ip filter { chain ts-forward {
    iifname \"tailscale0\" counter meta mark set meta mark & 0xffff04ff ^ 0x00000400;
    meta mark & 0x0000ff00 == 0x00000400 counter accept;
    oifname \"tailscale0\" ip saddr 100.64.0.0/10 counter drop; oifname \"tailscale0\" counter accept; };
    chain forward { type filter hook forward priority 0; counter jump ts-forward; }; }'";

#[test]
fn rules_for_other_links_let_flows_pass() {
    let host = host();
    let rules = [
        nft("forward", "iifname \"wg0\" meta length > 1000 drop"),
        nft("forward", "oifname \"tun*\" limit rate over 10/second drop"),
        nft(
            "postrouting",
            "oifname { \"wg0\", \"wg1\" } meta mark set 0x7",
        ),
        nft("forward", "iif \"lo\" ip ttl 1 drop"),
    ];
    let rules = rules.iter().map(String::as_str);
    for commands in rules.chain([TAILSCALE, TAILSCALE_NFT]) {
        assert_eq!(doctor_after(&host, commands), PASSES, "{commands}");
    }
}

#[test]
fn rules_for_their_links_do_not() {
    let host = host();
    let leg = host.join("n", "x").host_leg;
    let bridge = host.bridge_of("n");
    for commands in [
        nft("forward", "iifname \"up0\" meta length > 1000 drop"),
        nft("forward", "oif \"up0\" meta length > 1000 drop"),
        nft("forward", "iifname \"up*\" meta length > 1000 drop"),
        nft("forward", "iifname != \"wg0\" meta length > 1000 drop"),
        nft(
            "forward",
            "iifname { \"wg0\", \"up0\" } meta length > 1000 drop",
        ),
        nft(
            "forward",
            &format!("oifname \"{bridge}\" meta length > 1000 drop"),
        ),
        nft("forward", "oifname \"b*\" meta length > 1000 drop"),
        // It has done its work before it asks.
        nft("forward", "limit rate over 10/second iifname \"wg0\" drop"),
        netdev("device up0"),
        netdev(&format!("device {leg}")),
        netdev("devices = { lo, up0 }"),
    ] {
        let said = doctor_after(&host, &commands);
        let begins = "every packet goes by the firewall, for rule ";
        assert!(said.starts_with(begins), "{commands}: {said}");
    }
}

#[test]
fn a_link_that_becomes_an_uplink_is_not_another_any_more() {
    let host = host();
    publish(&host, "-p 8080:80 n web");
    host.call("ip link add up1 type veth peer name up1p").ok();
    host.call("ip link set up1 up").ok();
    let rule = nft("forward", "iifname \"up1\" meta length > 1000 drop");
    host.call("sh -c").arg(&rule).ok();
    host.bridge_user("net ls").ok();
    assert_eq!(host.uplink_pins().len(), 2);
    let daemon = host.daemon();
    let routes = "replace default nexthop via 192.0.2.2 nexthop dev up1";
    host.call(&format!("ip route {routes}")).ok();
    wait_until("the rule is for an uplink", || {
        host.uplink_pins().is_empty()
    });
    host.call("ip route replace default via 192.0.2.2").ok();
    wait_until("it is none any more", || host.uplink_pins().len() == 2);
    daemon.stop();
    // Without the daemon the next command sees it.
    host.call(&format!("ip route {routes}")).ok();
    host.bridge_user("net ls").ok();
    assert_eq!(host.uplink_pins(), [""; 0]);
}
