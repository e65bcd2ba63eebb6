//! Which rules of others have to see each packet of a flow.

use super::flows_rules::{PASSES, RULE, doctor};
use crate::host::Host;

/// Rulesets of which each has to see each packet, or changes each: by itself, by what it reaches, or by
/// what connection tracking does for it.
const OF_PACKETS_TOO: [(&str, &str); 46] = [
    (
        "return, then drop",
        "table inet t { chain c { type filter hook forward priority 0; limit rate 50/second return; drop; }; }",
    ),
    (
        "return by length",
        "table inet t { chain c { type filter hook forward priority 0; meta length < 1200 return; drop; }; }",
    ),
    (
        "return in a chain that is jumped to",
        "table inet t { chain u { limit rate 50/second return; drop; }; chain c { type filter hook forward priority 0; jump u; }; }",
    ),
    (
        "return by quota",
        "table inet t { chain c { type filter hook forward priority 0; quota 1 mbytes return; drop; }; }",
    ),
    (
        "goto a chain that only tells",
        "table inet t { chain told { counter; }; chain c { type filter hook forward priority 0; limit rate 50/second goto told; drop; }; }",
    ),
    (
        "helper where a connection is new",
        "table inet t { ct helper h { type \"ftp\" protocol tcp; }; chain c { type filter hook prerouting priority 0; ct state new tcp dport 21 ct helper set \"h\"; }; }",
    ),
    (
        "helper behind an accept of established",
        "table inet t { ct helper h { type \"ftp\" protocol tcp; }; chain c { type filter hook forward priority 0; ct state established,related accept; tcp dport 21 ct helper set \"h\" accept; }; }",
    ),
    (
        "helper in a chain of NAT",
        "table inet t { ct helper h { type \"ftp\" protocol tcp; }; chain c { type nat hook prerouting priority -110; tcp dport 21 ct helper set \"h\"; }; }",
    ),
    (
        "a table of our name of another family",
        "table ip bridge_user { chain c { type filter hook forward priority 0; meta length > 1200 drop; }; }",
    ),
    (
        "a set whose elements have limits",
        "table inet t { set s { type ipv4_addr; size 128; flags dynamic; limit rate over 50/second; }; chain c { type filter hook forward priority 0; ip saddr @s drop; }; }",
    ),
    (
        "a set with a limit, and who adds to it",
        "table inet t { set s { type ipv4_addr; size 128; flags dynamic; limit rate over 50/second; }; chain c { type filter hook forward priority 0; add @s { ip saddr } drop; }; }",
    ),
    (
        "a map whose elements have limits",
        "table inet t { map m { type ipv4_addr : verdict; limit rate over 50/second; }; chain c { type filter hook forward priority 0; ip saddr vmap @m; }; }",
    ),
    (
        "a meter",
        "table inet t { chain c { type filter hook forward priority 0; meter m { ip saddr limit rate over 50/second } drop; }; }",
    ),
    (
        "one of several flags",
        "table inet t { chain c { type filter hook forward priority 0; tcp flags { syn, ack } limit rate over 50/second drop; }; }",
    ),
    (
        "one of several flags behind a mask",
        "table inet t { chain c { type filter hook forward priority 0; tcp flags & (syn|ack) { syn, ack } limit rate over 50/second drop; }; }",
    ),
    (
        "translated and nothing else",
        "table inet t { chain c { type filter hook forward priority 0; ct status == dnat accept; limit rate over 50/second drop; }; }",
    ),
    (
        "established before there is a connection",
        "table inet t { chain c { type filter hook prerouting priority raw; ct state established accept; limit rate over 50/second drop; }; }",
    ),
    (
        "invalid before there is a connection",
        "table inet t { chain c { type filter hook prerouting priority raw; ct state invalid limit rate over 50/second drop; }; }",
    ),
    (
        "a limit before what it is for",
        "table inet t { chain c { type filter hook forward priority 0; limit rate over 50/second ct state new drop; }; }",
    ),
    (
        "a mark by length",
        "table inet t { chain c { type filter hook forward priority 0; ct mark set meta length; ct mark > 1200 drop; }; }",
    ),
    (
        "a quota that another hook asks",
        "table inet t { quota q { over 1 mbytes; }; chain f { type filter hook forward priority 0; quota name \"q\"; }; chain i { type filter hook input priority 0; quota name \"q\" drop; }; }",
    ),
    (
        "statements that nft tells as text",
        "table inet t { map m { type ipv4_addr : mark; flags dynamic; }; chain c { type filter hook forward priority 0; update @m { ip saddr limit rate over 20/second : 5 } drop; }; }",
    ),
    (
        "an element of a set with a limit",
        "table inet t { set s { type ipv4_addr; flags dynamic; elements = { 192.0.2.2 limit rate over 20/second }; }; chain c { type filter hook forward priority 0; ip saddr @s drop; }; }",
    ),
    (
        "an element of a set that new connections give a limit",
        "table inet t { set s { type ipv4_addr; flags dynamic; }; chain c { type filter hook forward priority 0; ct state new add @s { ip saddr limit rate over 20/second }; ip saddr @s drop; }; }",
    ),
    (
        "an element of a set without a name with a limit",
        "table inet t { chain c { type filter hook forward priority 0; ip saddr { 192.0.2.2 limit rate over 20/second, 192.0.2.3 limit rate over 20/second } drop; }; }",
    ),
    (
        "a mark in the header before a guard",
        "table ip t { chain c { type filter hook forward priority 0; ip dscp set cs1 ct state new counter; }; }",
    ),
    (
        "a copy before a guard",
        "table ip t { chain c { type filter hook forward priority 0; dup to 10.0.0.1 device lo ct state new counter; }; }",
    ),
    (
        "a program that is told before a guard",
        "table ip t { chain c { type filter hook forward priority 0; log group 3 ct state new counter; }; }",
    ),
    (
        "a program that audits",
        "table inet t { chain c { type filter hook forward priority 0; log level audit; }; }",
    ),
    (
        "a quota by a map that another hook asks",
        "table inet t { quota q { over 1 mbytes; }; chain c { type filter hook forward priority 0; quota name ip saddr map { 192.0.2.2 : \"q\" } counter; }; chain i { type filter hook input priority 0; quota name \"q\" drop; }; }",
    ),
    (
        "a mark that counts",
        "table inet t { chain c { type filter hook forward priority 0; ct mark set ct mark << 1; ct mark 1024 drop; }; }",
    ),
    (
        "urgent segments",
        "table inet t { chain c { type filter hook forward priority 0; tcp flags urg drop; }; }",
    ),
    (
        "segments that push",
        "table inet t { chain c { type filter hook forward priority 0; tcp flags & (psh|ack) == psh|ack drop; }; }",
    ),
    (
        "flags by a map",
        "table inet t { chain c { type filter hook forward priority 0; tcp flags vmap { ack : drop }; }; }",
    ),
    (
        "who sent it on the wire",
        "table inet t { chain c { type filter hook forward priority 0; ether saddr 02:00:00:00:00:99 drop; }; }",
    ),
    (
        "a reserved bit of fragments",
        "table inet t { chain c { type filter hook forward priority 0; ip frag-off & 0x8000 != 0 drop; }; }",
    ),
    (
        "a mark that counts within what is set besides",
        "table inet t { chain c { type filter hook forward priority 0; ct mark set ct mark ^ 1 | 2; ct mark & 1 == 1 drop; }; }",
    ),
    (
        "a mark that counts by a map",
        "table inet t { chain c { type filter hook forward priority 0; ct mark set ct mark map { 0 : 1, 1 : 2, 2 : 3 }; ct mark 3 drop; }; }",
    ),
    (
        "a mark that counts by rules",
        "table inet t { chain c { type filter hook forward priority 0; ct mark 3 drop; ct mark 2 ct mark set 3; ct mark 1 ct mark set 2; ct mark 0 ct mark set 1; }; }",
    ),
    (
        "labels that count by rules",
        "table inet t { chain c { type filter hook forward priority 0; ct label 3 drop; ct label 2 ct label set 3; ct label set 2; }; }",
    ),
    (
        "a set that lets one packet a second through",
        "table inet t { set s { type ipv4_addr; size 1000; flags dynamic,timeout; timeout 1s; }; chain c { type filter hook forward priority 0; ip saddr @s drop; add @s { ip saddr }; }; }",
    ),
    (
        "a set that lets each other packet through",
        "table inet t { set s { type ipv4_addr; size 1000; flags dynamic; }; chain c { type filter hook forward priority 0; ip saddr @s delete @s { ip saddr } drop; add @s { ip saddr }; }; }",
    ),
    (
        "statements that nft tells as text before a guard",
        "table inet t { map m { type ipv4_addr : mark; flags dynamic; }; chain c { type filter hook forward priority 0; update @m { ip saddr limit rate over 20/second : 5 } ct state new drop; }; }",
    ),
    (
        "an element with a limit before a guard",
        "table inet t { set s { type ipv4_addr; flags dynamic; elements = { 192.0.2.2 limit rate over 20/second }; }; chain c { type filter hook forward priority 0; ip saddr @s ct state new drop; }; }",
    ),
    (
        "an element of a set without a name with a limit before a guard",
        "table inet t { chain c { type filter hook forward priority 0; ip saddr { 192.0.2.2 limit rate over 20/second, 192.0.2.3 limit rate over 20/second } ct state new drop; }; }",
    ),
    (
        "times of their own where a connection is new",
        "table inet t { ct timeout x { protocol tcp; l3proto ip; policy = { established : 10000 }; }; chain c { type filter hook prerouting priority 0; ct state new ct timeout set \"x\"; }; }",
    ),
];

/// What somebody does by iptables-nft: likewise.
const OF_PACKETS_BY_IPTABLES: [&str; 9] = [
    "iptables-nft -A FORWARD -m limit --limit 50/s -j RETURN; iptables-nft -A FORWARD -j DROP",
    "iptables-nft -A FORWARD -m length --length 0:1200 -j RETURN; iptables-nft -A FORWARD -j DROP",
    "iptables-nft -A FORWARD -m quota --quota 100000 -j RETURN; iptables-nft -A FORWARD -j DROP",
    "iptables-nft -t mangle -A PREROUTING -j CONNMARK --restore-mark",
    "iptables-nft -A FORWARD -p udp -m recent --name seen --set; iptables-nft -A INPUT -m recent --name seen --rcheck --seconds 1 --hitcount 20 -j DROP",
    "iptables-nft -A FORWARD -p tcp -m hashlimit --hashlimit-above 50/sec --hashlimit-name x -m tcp --syn -j DROP",
    "iptables-nft -t raw -A PREROUTING -p tcp --dport 21 --syn -j CT --helper ftp",
    "iptables-nft -A FORWARD -m mac --mac-source 02:00:00:00:00:99 -j DROP",
    "iptables-nft -A FORWARD -p tcp --tcp-flags PSH,ACK PSH,ACK -j DROP",
];

/// What doctor says of the rules that commands make.
pub(super) fn doctor_after(host: &Host, commands: &str) -> String {
    host.call("nft flush ruleset").ok();
    host.call("sh -ec").arg(commands).ok();
    doctor(host)
}

#[test]
fn whatever_has_to_see_each_packet_is_found() {
    let host = Host::new();
    let by_nft = OF_PACKETS_TOO.map(|(name, ruleset)| (name, format!("nft '{ruleset}'")));
    let by_iptables = OF_PACKETS_BY_IPTABLES.map(|commands| (commands, commands.to_owned()));
    let mut passed = Vec::new();
    for (name, commands) in by_nft.iter().chain(&by_iptables) {
        if doctor_after(&host, commands) == PASSES {
            passed.push(*name);
        }
    }
    assert_eq!(passed, [""; 0]);
}

/// Usual rulesets which let through all of an established flow, or nothing of it.
const OF_FLOWS: [(&str, &str); 12] = [
    (
        "ufw's before6.rules",
        "ip6tables-nft -A FORWARD -m rt --rt-type 0 -j DROP",
    ),
    (
        "fragments",
        "nft 'table inet t { chain c { type filter hook prerouting priority raw; ip frag-off & 0x1fff != 0 drop; }; }'",
    ),
    (
        "fragments by iptables",
        "iptables-nft -t mangle -A PREROUTING -f -j DROP",
    ),
    (
        "a chain for new connections",
        "nft 'table inet t { chain n { limit rate over 100/second drop; }; chain c { type filter hook forward priority 0; ct state new jump n; }; }'",
    ),
    (
        "a chain for ICMP",
        "nft 'table inet t { chain i { limit rate 4/second accept; drop; }; chain c { type filter hook forward priority 0; meta l4proto { icmp, ipv6-icmp } jump i; }; }'",
    ),
    (
        "what is translated is accepted",
        "nft 'table inet t { chain c { type filter hook forward priority 0; ct status dnat accept; limit rate over 5/second drop; }; }'",
    ),
    (
        "another ethertype",
        "nft 'table netdev t { chain c { type filter hook ingress device lo priority 0; ether type arp limit rate over 5/second drop; }; }'",
    ),
    (
        "scans",
        "nft 'table inet t { chain c { type filter hook prerouting priority raw; tcp flags & (fin|syn|rst|psh|ack|urg) == 0x0 drop; tcp flags & (fin|syn|rst|psh|ack|urg) == fin|psh|urg drop; tcp flags & (fin|syn) == fin|syn drop; tcp flags & (fin|syn|rst|ack) != syn ct state new drop; tcp flags ! fin,syn,rst,ack drop; }; }'",
    ),
    (
        "scans by iptables",
        "iptables-nft -A FORWARD -p tcp --tcp-flags ALL NONE -j DROP; iptables-nft -A FORWARD -p tcp --tcp-flags ALL FIN,PSH,URG -j DROP; iptables-nft -A FORWARD -p tcp ! --syn -m conntrack --ctstate NEW -j DROP",
    ),
    (
        "who was blocked lately",
        "nft 'table inet t { set s { type ipv4_addr; flags dynamic,timeout; elements = { 203.0.113.1 timeout 5m }; }; chain c { type filter hook forward priority 0; ip saddr @s drop; log prefix \"new \" ct state new limit rate over 50/second add @s { ip saddr timeout 5m } drop; }; }'",
    ),
    (
        "a mark that stays",
        "nft 'table inet t { chain c { type filter hook forward priority 0; ct mark 7 accept; tcp dport 80 ct mark set 7; }; }'",
    ),
    (
        "who was there lately, which nobody asks",
        "nft 'table inet t { set s { type ipv4_addr; size 1000; flags dynamic,timeout; }; chain c { type filter hook forward priority 0; update @s { ip saddr timeout 1h }; }; }'",
    ),
];

#[test]
fn usual_rules_let_flows_pass() {
    let host = Host::new();
    let mut found = Vec::new();
    for (name, commands) in OF_FLOWS {
        let said = doctor_after(&host, commands);
        if said != PASSES {
            found.push(format!("{name}: {said}"));
        }
    }
    assert_eq!(found, [""; 0]);
}

/// What it says of networks that do not leave it to others' rules.
#[test]
fn doctor_tells_which_networks_have_another_road() {
    let host = Host::new();
    for (name, options) in [
        ("n", ""),
        ("b", "-o bridge-user.publish=bpf"),
        ("f", "-o bridge-user.publish=nft"),
        ("off", "--datapath off"),
        ("i", "--internal"),
    ] {
        host.create(&format!("{options} {name}"));
    }
    let others =
        "; of b it passes by whatever the rules are; of f, off every packet goes by the firewall";
    assert_eq!(doctor(&host), format!("{PASSES}{others}"));
    host.call("nft").arg(RULE).ok();
    let said = doctor(&host);
    let begins = "every packet goes by the firewall, for rule ";
    assert!(said.starts_with(begins) && said.ends_with(others), "{said}");
}
