//! By default flows pass the firewall by as long as no rule of others has to see each packet.

use std::net::UdpSocket;

use serde_json::Value;

use super::flows::{Forwarded, ask, outside_socket};
use super::{UdpServer, publish};
use crate::host::{Host, text, wait_until};

/// What an established flow may meet: each decides the same for all its packets, or only tells.
const ALIKE: &str = "table inet user {
    set blocked { type ipv4_addr; flags timeout; }
    set seen { type ipv4_addr; flags dynamic; }
    map ways { type ifname : verdict; elements = { \"nowhere\" : jump inner }; }
    chain inner { ip saddr 203.0.113.0/24 udp dport { 1-100, 5353 } reject; }
    chain told { limit rate 3/minute log prefix \"told \"; return; }
    chain early { type filter hook prerouting priority raw;
        ip saddr @blocked drop
        fib saddr . iif oif missing drop
        tcp flags syn / fin,syn,rst,ack tcp option maxseg size 1-500 drop
        icmp type echo-request limit rate over 5/second drop
        meta l4proto icmp meta length > 1000 drop
    }
    chain c { type filter hook forward priority filter; policy accept;
        counter
        ct state invalid drop
        ct state new limit rate over 1000/second drop
        tcp dport 80 ct state new add @seen { ip saddr ct count over 100 } drop
        ip saddr 203.0.113.1 jump told
        iifname vmap @ways
        ct mark set 7
        ct status dnat accept
    }
    chain guarded { type filter hook forward priority 10;
        ct state established,related accept
        limit rate over 5/second drop
        meta length > 20000 drop
    }
    chain nat { type nat hook postrouting priority srcnat; meta mark set 1 masquerade; }
    chain own { type filter hook input priority filter; limit rate over 5/second drop; }
}
table bridge user { chain c { type filter hook forward priority 0; meta length > 20000 drop; }; }";

/// Rules of a chain that is passed on the way, and what it is that they have to see each packet for.
const OF_PACKETS: [(&str, &str); 17] = [
    ("meta length > 1200 drop", "meta length"),
    ("ip ttl < 5 drop", "ip ttl"),
    ("ip dscp cs1 drop", "ip dscp"),
    ("udp length > 100 drop", "udp length"),
    ("@th,64,8 0x47 drop", "bytes of packets"),
    ("limit rate over 50/second drop", "limit"),
    ("quota over 1 mbytes drop", "quota"),
    ("ct bytes > 1000000 drop", "ct bytes"),
    ("numgen random mod 10 0 drop", "numgen"),
    ("tcp option timestamp exists drop", "tcp option"),
    ("meta mark set 5", "it changes packets"),
    ("ip dscp set cs1", "it changes packets"),
    (
        "update @seen { ip saddr limit rate over 5/second } drop",
        "limit",
    ),
    (
        "ct state new,established limit rate 5/second accept",
        "limit",
    ),
    (
        "ct state vmap { established : jump inner, new : accept }",
        "ip ttl",
    ),
    ("iifname vmap @ways", "ip ttl"),
    ("jump inner", "ip ttl"),
];

/// What doctor says of published ports.
pub(crate) fn doctor(host: &Host) -> String {
    let printed = host.bridge_user("doctor --format json").run().stdout;
    let findings = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("it is JSON"));
    let finding = findings
        .into_iter()
        .find(|finding| finding["Check"] == "published ports");
    text(&finding.expect("it looks at them")["Detail"])
}

/// That flows pass the firewall by.
pub(crate) const PASSES: &str =
    "what the firewall let through passes it by: no rule of others has to see each packet";

#[test]
fn rules_are_told_apart() {
    let host = Host::new();
    assert_eq!(doctor(&host), PASSES);
    host.call("nft").arg(ALIKE).ok();
    assert_eq!(doctor(&host), PASSES);
    for (rule, what) in OF_PACKETS {
        host.call("nft flush ruleset").ok();
        let table = format!(
            "table inet user {{
                set seen {{ type ipv4_addr; flags dynamic; }}
                map ways {{ type ifname : verdict; }}
                chain inner {{ ip ttl 7 drop; }}
                chain c {{ type filter hook forward priority filter; counter; {rule}; }}
            }}"
        );
        host.call("nft").arg(&table).ok();
        let said = doctor(&host);
        let chain = if what == "ip ttl" && !rule.contains("ttl") {
            "inner"
        } else {
            "c"
        };
        let expected = format!("chain inet user {chain} ({what}");
        assert!(
            said.starts_with("every packet goes by the firewall, for rule ")
                && said.contains(&expected),
            "{rule}: {said}"
        );
    }
}

/// Datagrams to a published port, and whether most of them passed the firewall by.
fn pass_by(forwarded: &Forwarded<'_>, socket: &UdpSocket) -> bool {
    let before = forwarded.packets();
    for turn in 0..200 {
        let at = "192.0.2.1:5353";
        assert_eq!(ask(socket, b"x", at).as_deref(), Some(at), "turn {turn}");
    }
    let seen = forwarded.packets() - before;
    assert!(seen >= 2, "the firewall sees some");
    seen < 100
}

/// A rule that has to see each packet.
pub(super) const RULE: &str = "table inet user { chain c { type filter hook forward priority 0; meta length > 1200 drop; }; }";

#[test]
fn a_rule_that_has_to_see_each_packet_does() {
    let host = Host::new();
    host.outside();
    for name in ["n", "bpf"] {
        let options = if name == "n" {
            ""
        } else {
            "-o bridge-user.publish=bpf"
        };
        host.create(&format!("{options} {name}"));
    }
    publish(&host, "-p 5353:53/udp n web");
    let _udp = UdpServer::start(&host, "web", 53);
    let forwarded = Forwarded::of(&host);
    let socket = outside_socket(&host, "0.0.0.0");
    assert!(pass_by(&forwarded, &socket));
    // The next command sees a rule that came meanwhile.
    host.call("nft").arg(RULE).ok();
    host.bridge_user("net ls").ok();
    assert!(!pass_by(&forwarded, &socket));
    assert_eq!(host.uplink_pins(), [""; 0]);
    // Where somebody asked for it, it is as before: and nowhere else.
    publish(&host, "-p 5454:53/udp bpf asked");
    let _other = UdpServer::start(&host, "asked", 53);
    assert_eq!(host.uplink_pins().len(), 2);
    assert!(!pass_by(&forwarded, &socket));
    let before = forwarded.packets();
    for _ in 0..200 {
        let at = "192.0.2.1:5454";
        assert_eq!(ask(&socket, b"x", at).as_deref(), Some(at));
    }
    assert!(forwarded.packets() - before < 100);
    host.call("nft delete table inet user").ok();
    host.bridge_user("net ls").ok();
    assert!(pass_by(&forwarded, &socket));
}

#[test]
fn the_daemon_sees_rules_come_and_go() {
    let host = Host::new();
    host.outside();
    host.create("n");
    publish(&host, "-p 5353:53/udp n web");
    let _daemon = host.daemon();
    assert_eq!(host.uplink_pins().len(), 2);
    for _ in 0..3 {
        host.call("nft").arg(RULE).ok();
        wait_until("every packet goes by the firewall", || {
            host.uplink_pins().is_empty()
        });
        host.call("nft delete table inet user").ok();
        wait_until("flows pass it by again", || host.uplink_pins().len() == 2);
    }
}

/// nft does not show its tables.
#[test]
fn tables_of_iptables_legacy_may_have_any_rule() {
    let host = Host::new();
    host.outside();
    host.create("n");
    publish(&host, "-p 5353:53/udp n web");
    assert_eq!(host.uplink_pins().len(), 2);
    // It makes its table in this namespace.
    host.call("iptables-legacy -S FORWARD").ok();
    host.bridge_user("net ls").ok();
    assert_eq!(host.uplink_pins(), [""; 0]);
    assert_eq!(
        doctor(&host),
        "every packet goes by the firewall, for tables of iptables-legacy: ip filter"
    );
}

/// Where another network asks for it, the uplinks tell nothing of what others' rules have it be.
#[test]
fn a_command_that_is_cut_off_leaves_no_flow_passing() {
    let host = Host::new();
    host.outside();
    host.create("n");
    host.create("-o bridge-user.publish=bpf asks");
    publish(&host, "-p 5353:53/udp n web");
    publish(&host, "-p 5454:53/udp asks asked");
    let passing = || {
        let dump = "bpftool -j map dump pinned /sys/fs/bpf/bridge-user/maps/PASSING";
        text_of_first_byte(&host.call(dump).ok())
    };
    for step in 1..40 {
        host.call("nft").arg(RULE).ok();
        let call = host.bridge_user("net ls");
        let ran = call.env("BRIDGE_USER_FAULT_AT", &step.to_string()).run();
        host.bridge_user("net ls").ok();
        assert_eq!(passing(), "0x00", "cut off at step {step}");
        host.call("nft delete table inet user").ok();
        host.bridge_user("net ls").ok();
        assert_eq!(passing(), "0x01", "cut off at step {step}");
        if ran.code == Some(0) {
            return;
        }
    }
    panic!("it never ends");
}

fn text_of_first_byte(dump: &str) -> String {
    let dump: Value = serde_json::from_str(dump).expect("it is JSON");
    text(&dump[0]["value"][0])
}
