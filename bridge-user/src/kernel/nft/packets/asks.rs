//! What a rule asks of packets, and does to them: libnftables-json(5), "Statements", "Expressions".

use std::collections::BTreeSet;

use serde_json::Value;

use super::{flags, kept};

/// Keys of `meta` and of `ct` that are the same for every packet of a flow, or change with time only.
const META: [&str; 18] = [
    "iif", "iifname", "iiftype", "iifgroup", "iifkind", "oif", "oifname", "oiftype", "oifgroup",
    "oifkind", "nfproto", "l4proto", "protocol", "mark", "pkttype", "time", "day", "hour",
];
const CT: [&str; 18] = [
    "state",
    "direction",
    "status",
    "mark",
    "label",
    "zone",
    "id",
    "helper",
    "l3proto",
    "protocol",
    "saddr",
    "daddr",
    "ip saddr",
    "ip daddr",
    "ip6 saddr",
    "ip6 daddr",
    "proto-src",
    "proto-dst",
];

/// Protocols that packets of flows have, and the fields of their headers that are likewise. A flow's packets
/// may come from several MAC addresses.
pub(super) const FIELDS: [(&str, &[&str]); 6] = [
    ("ether", &["daddr", "type"]),
    ("ip", &["saddr", "daddr", "protocol", "version"]),
    ("ip6", &["saddr", "daddr", "nexthdr", "version"]),
    ("tcp", &["sport", "dport"]),
    ("udp", &["sport", "dport"]),
    ("th", &["sport", "dport"]),
];

/// Other expressions that are likewise, or ask for headers that packets of flows have not.
const CONSTANTS: [&str; 10] = [
    "exthdr",
    "fib",
    "ip option",
    "ipsec",
    "osf",
    "prefix",
    "range",
    "rt",
    "socket",
    "symhash",
];
/// Expressions that are made of others.
const COMPOUND: [&str; 7] = ["set", "concat", "&", "|", "^", "<<", ">>"];

/// Statements that decide the same for every packet of a flow, or nothing.
const STATEMENTS: [&str; 18] = [
    "accept",
    "comment",
    "continue",
    "counter",
    "ct count",
    "dnat",
    "drop",
    "goto",
    "jump",
    "last",
    "log",
    "masquerade",
    "notrack",
    "redirect",
    "reject",
    "return",
    "snat",
    "vmap",
];
/// Statements that what becomes of a packet does not depend on, where they are alone.
const TELLING: [&str; 8] = [
    "comment", "continue", "counter", "last", "limit", "log", "match", "quota",
];

/// Matches of xtables as those expressions. nft does not show what they ask: of `tcp` it is taken for ports.
const XT_MATCHES: [&str; 22] = [
    "addrtype",
    "comment",
    "connlabel",
    "connlimit",
    "connmark",
    "conntrack",
    "frag",
    "hbh",
    "icmp",
    "icmp6",
    "iprange",
    "mark",
    "multiport",
    "owner",
    "physdev",
    "pkttype",
    "policy",
    "rpfilter",
    "rt",
    "state",
    "tcp",
    "udp",
];
/// Targets of xtables as those statements: TCPMSS changes SYN alone, CHECKSUM nothing that is right.
const XT_TARGETS: [&str; 9] = [
    "CHECKSUM",
    "DNAT",
    "LOG",
    "MASQUERADE",
    "NETMAP",
    "REDIRECT",
    "REJECT",
    "SNAT",
    "TCPMSS",
];
const XT_TELLING: [&str; 1] = ["LOG"];
/// Other matches that keep nothing for another rule.
const XT_PURE: [&str; 8] = ["dscp", "ecn", "hl", "length", "limit", "tos", "ttl", "u32"];

/// What it is of a rule that has to see each packet of a flow; `None` where nothing is. Which chains only
/// tell of packets is for the caller to say.
pub(super) fn of_packets<'r>(rule: &'r Value, tells: impl Fn(&'r str) -> bool) -> Option<String> {
    let mut kinds = expressions(rule).map(|(kind, _)| kind);
    // Those that it takes do not get to the rules behind it.
    let leads_off = kinds.any(|kind| kind == "return" || kind == "goto");
    if !leads_off && only_tells(rule, tells) {
        return None;
    }
    expressions(rule).find_map(|(kind, value)| statement(kind, value))
}

/// Whether what becomes of a packet does not depend on a rule. Where `return` does nothing: in a chain of
/// such rules.
pub(super) fn only_tells<'r>(rule: &'r Value, tells: impl Fn(&'r str) -> bool) -> bool {
    expressions(rule).all(|(kind, value)| match kind {
        "return" => true,
        "jump" | "goto" => tells(value["target"].as_str().unwrap_or_default()),
        "xt" if value["type"] == "match" => {
            is_known(&value["name"], &XT_MATCHES) || is_known(&value["name"], &XT_PURE)
        }
        "xt" => is_known(&value["name"], &XT_TELLING),
        // With a name it may be others', too, or told to a program.
        "limit" | "quota" if value.is_string() || value.get("map").is_some() => false,
        "log" => !is_told_to_programs(value),
        _ => TELLING.contains(&kind),
    })
}

/// What a rule, at whatever hook, has connection tracking do with each segment of a connection that it
/// has seen once: SYNPROXY changes sequence numbers, a helper what is said.
pub(super) fn of_connection(rule: &Value) -> Option<&'static str> {
    expressions(rule).find_map(|(kind, value)| match kind {
        "synproxy" => Some("synproxy"),
        "xt" if is_known(&value["name"], &["SYNPROXY"]) => Some("synproxy"),
        "ct helper" => Some("ct helper"),
        "ct timeout" => Some("ct timeout"),
        "xt" if is_known(&value["name"], &["CT"]) => Some("xt CT"),
        _ => None,
    })
}

/// Whether a rule names one of these sets or maps.
pub(super) fn names(value: &Value, sets: &BTreeSet<&str>) -> bool {
    match value {
        Value::String(word) => word.strip_prefix('@').is_some_and(|set| sets.contains(set)),
        Value::Array(values) => values.iter().any(|value| names(value, sets)),
        Value::Object(object) => object.values().any(|value| names(value, sets)),
        _ => false,
    }
}

/// What of a set's or map's own statements, which are done for each element that is found, has to see
/// each packet.
pub(super) fn of_elements(set: &Value) -> Option<String> {
    statements(&set["stmt"]).find_map(|(kind, value)| statement(kind, value))
}

/// A set or map that a rule adds elements to with such statements.
pub(super) fn added_to(rule: &Value) -> Option<(&str, String)> {
    expressions(rule).find_map(|(kind, value)| {
        let set = value[kind].as_str()?.strip_prefix('@')?;
        let what = statements(&value["stmt"]).find_map(|(kind, value)| statement(kind, value))?;
        ["set", "map"].contains(&kind).then_some((set, what))
    })
}

/// Statements of a set, or in a rule; a meter has one.
fn statements(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = match value {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    all.iter()
        .filter_map(Value::as_object)
        .flatten()
        .map(of_pair)
}

/// The chains that a rule names.
pub(super) fn targets(rule: &Value) -> Vec<&str> {
    let mut targets = Vec::new();
    collect_targets(&rule["expr"], &mut targets);
    targets
}

fn collect_targets<'r>(value: &'r Value, targets: &mut Vec<&'r str>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value["target"].as_str() {
                    Some(target) if key == "jump" || key == "goto" => targets.push(target),
                    _ => collect_targets(value, targets),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                collect_targets(value, targets);
            }
        }
        _ => {}
    }
}

/// Whether a map says where a rule leads.
pub(super) fn uses_map(rule: &Value) -> bool {
    expressions(rule).any(|(kind, _)| kind == "vmap")
}

/// A rule's expressions and statements, each by its kind.
pub(super) fn expressions(rule: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = rule["expr"].as_array().into_iter().flatten();
    all.flat_map(|one| {
        // What nft has no JSON for it tells as text, as statements of maps (1.0.6).
        let text = (!one.is_object()).then_some(("text", one));
        let object = one.as_object().into_iter().flatten();
        object.map(of_pair).chain(text)
    })
}

fn of_pair<'r>((kind, value): (&'r String, &'r Value)) -> (&'r str, &'r Value) {
    (kind, value)
}

/// Whether a rule goes on from there as if it were not there, or ends. These sets count packets that are
/// found in them.
pub(super) fn does_nothing(kind: &str, value: &Value, counting: &BTreeSet<&str>) -> bool {
    match kind {
        "match" => !kept::is_counted(value, counting),
        "xt" => value["type"] == "match" && is_known(&value["name"], &XT_MATCHES),
        "log" => !is_told_to_programs(value),
        _ => ["comment", "counter", "ct count"].contains(&kind),
    }
}

/// Programs that get packets so look into them, or count them.
fn is_told_to_programs(log: &Value) -> bool {
    log.get("group").is_some() || log["level"] == "audit"
}

/// What of a statement has to see each packet.
fn statement(kind: &str, value: &Value) -> Option<String> {
    match kind {
        "match" if flags::is_flags(&value["left"]) => {
            flags::takes(value).is_none().then(|| "tcp flags".into())
        }
        // What nft has no JSON for.
        "match" if value["left"].is_string() => Some("text".into()),
        "match" => expression(&value["left"]).or_else(|| expression(&value["right"])),
        "vmap" => expression(&value["key"]),
        "mangle" => {
            let key = &value["key"];
            // The mark of a connection, and what `nft monitor trace` shows.
            let kept =
                is_known(&key["ct"]["key"], &["mark", "label"]) || key["meta"]["key"] == "nftrace";
            if kept && !kept::counts(&value["value"]) {
                expression(&value["value"])
            } else {
                Some("it changes packets".into())
            }
        }
        // Sets that packets are added to, and what is done for each element.
        "set" | "map" | "meter" => {
            let mut done = statements(&value["stmt"]);
            let key = expression(&value["elem"]).or_else(|| expression(&value["key"]));
            key.or_else(|| done.find_map(|(kind, value)| statement(kind, value)))
        }
        "xt" => {
            let known: &[&str] = if value["type"] == "match" {
                &XT_MATCHES
            } else {
                &XT_TARGETS
            };
            let name = &value["name"];
            (!is_known(name, known)).then(|| format!("xt {}", name.as_str().unwrap_or("?")))
        }
        "log" if is_told_to_programs(value) => Some("log to programs".into()),
        _ if STATEMENTS.contains(&kind) => None,
        _ => Some(kind.into()),
    }
}

/// What of an expression differs from packet to packet.
fn expression(value: &Value) -> Option<String> {
    match value {
        Value::Array(values) => values.iter().find_map(expression),
        _ if flags::is_flags(value) => (!flags::is_same(value)).then(|| "tcp flags".into()),
        Value::Object(object) => object.iter().map(of_pair).find_map(part),
        _ => None,
    }
}

fn part((kind, value): (&str, &Value)) -> Option<String> {
    let key = &value["key"];
    let told = || format!("{kind} {}", key.as_str().unwrap_or("?"));
    match kind {
        "meta" => (!is_known(key, &META)).then(told),
        "ct" => (!is_known(key, &CT)).then(told),
        "payload" => field(value),
        // An element's own statements are done for each packet that finds it.
        "elem" => {
            let own = ["limit", "quota", "ct count"].into_iter();
            own.clone()
                .find(|own| value.get(own).is_some())
                .map(|own| format!("{own} of an element"))
                .or_else(|| expression(value.get("val").unwrap_or(value)))
        }
        "map" => expression(key),
        _ if CONSTANTS.contains(&kind) => None,
        _ if COMPOUND.contains(&kind) => expression(value),
        _ => Some(kind.into()),
    }
}

/// What of a header's field differs from packet to packet.
fn field(payload: &Value) -> Option<String> {
    let (Some(protocol), Some(field)) = (payload["protocol"].as_str(), payload["field"].as_str())
    else {
        return Some("bytes of packets".into());
    };
    let is_inner = payload.get("tunnel").is_some();
    let known = FIELDS.iter().find(|(of, _)| *of == protocol);
    // Those of other protocols packets of flows have not.
    let is_same = known.is_none_or(|(_, fields)| fields.contains(&field));
    (is_inner || !is_same).then(|| format!("{protocol} {field}"))
}

pub(super) fn is_known(word: &Value, known: &[&str]) -> bool {
    word.as_str().is_some_and(|word| known.contains(&word))
}
