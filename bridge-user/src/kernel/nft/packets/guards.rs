//! Which packets a rule leaves alone, and which it leaves to no rule behind it: those that would pass by are
//! TCP's and UDP's, of a connection that is established, and neither begin nor end it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::asks::{FIELDS, does_nothing, expressions, is_known};
use super::flags;
use crate::model::FlowLinks;

/// Keys of `meta` that are names of links. Those with an index are shown by it where the link is gone.
const LINK_NAMES: [&str; 4] = ["iif", "iifname", "oif", "oifname"];

/// Whether a rule is for none of the packets that would pass by, which come and go by these links, and does
/// nothing before it knows that. Without connection tracking (`tracked`) nothing is said of a connection's
/// state. These sets count packets that are found in them (`counting`).
pub(super) fn is_for_others(
    rule: &Value,
    tracked: bool,
    links: &FlowLinks,
    counting: &BTreeSet<&str>,
) -> bool {
    expressions(rule)
        .take_while(|(kind, value)| does_nothing(kind, value, counting))
        .any(|(kind, value)| {
            kind == "match"
                && (tracked || !is_state(&value["left"]))
                && (leaves_out(value) || is_for_other_links(value, links))
        })
}

/// Whether a match is for none of these links.
fn is_for_other_links(asked: &Value, links: &FlowLinks) -> bool {
    let names = words(&asked["right"]);
    is_known(&asked["left"]["meta"]["key"], &LINK_NAMES)
        && is_known(&asked["op"], &["==", "in"])
        && !names.is_empty()
        && !names.iter().any(|name| links.match_name(name))
}

/// Whether nothing of an established connection comes behind a rule.
pub(super) fn accepts_established(rule: &Value) -> bool {
    let mut parts: Vec<_> = expressions(rule).collect();
    parts.retain(|(kind, _)| !["counter", "log", "comment"].contains(kind));
    match parts[..] {
        [("match", asked), ("accept", _)] => {
            let has = |word| words(&asked["right"]).contains(&word);
            // Those of published ports are translated; with `==` they would be nothing else.
            let is_translated = asked["left"]["ct"]["key"] == "status" && asked["op"] == "in";
            is_translated && has("dnat")
                || is_state(&asked["left"])
                    && is_known(&asked["op"], &["==", "in"])
                    && has("established")
        }
        [("vmap", map)] if is_state(&map["key"]) => {
            let elements = map["data"]["set"].as_array().into_iter().flatten();
            let accepted = |element: &Value| {
                words(&element[0]).contains(&"established") && element[1].get("accept").is_some()
            };
            elements.into_iter().any(accepted)
        }
        _ => false,
    }
}

/// Whether a match is for none of the packets that would pass by.
fn leaves_out(asked: &Value) -> bool {
    let (left, right) = (&asked["left"], words(&asked["right"]));
    let protocol = &left["payload"]["protocol"];
    if left["payload"].get("tunnel").is_some() {
        // Of a packet within the one that passes.
        return false;
    }
    if flags::is_flags(left) {
        return flags::takes(asked) == Some(false);
    }
    if protocol.is_string() && !is_known(protocol, &FIELDS.map(|(protocol, _)| protocol)) {
        return true;
    }
    // No fragments do; "don't fragment" is another flag.
    let [field, mask] = [&left["&"][0]["payload"]["field"], &left["&"][1]];
    if field == "frag-off" && mask.as_u64().is_some_and(|mask| mask & 0xc000 == 0) {
        return asked["op"] == "!=" && asked["right"] == 0;
    }
    if right.is_empty() || !is_known(&asked["op"], &["==", "in"]) {
        return false;
    }
    let has = |known: &[&str]| right.iter().any(|word| known.contains(word));
    if is_state(left) {
        return !has(&["established"]);
    }
    if left["payload"]["field"] == "type" || left["meta"]["key"] == "protocol" {
        return !has(&["ip", "ip6", "8021q", "8021ad"]);
    }
    if left["meta"]["key"] == "l4proto"
        || is_known(&left["payload"]["field"], &["protocol", "nexthdr"])
    {
        return !has(&["tcp", "udp"]);
    }
    false
}

fn is_state(expression: &Value) -> bool {
    expression["ct"]["key"] == "state"
}

/// The words that a match compares with; none where there is anything else.
fn words(right: &Value) -> Vec<&str> {
    match right {
        Value::String(word) if !word.starts_with('@') => vec![word],
        Value::Array(all) => {
            let words: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            words.unwrap_or_default()
        }
        Value::Object(object) => {
            let list = object.get("set").or_else(|| object.get("|"));
            list.filter(|list| list.is_array())
                .map_or_else(Vec::new, words)
        }
        _ => Vec::new(),
    }
}
