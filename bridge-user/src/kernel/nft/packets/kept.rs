//! What packets leave behind that rules ask about later: marks of connections, elements of sets. A rule that
//! leaves something else behind with each packet counts them, in as many steps as it likes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::asks::{expressions, is_known};

/// What is kept with a connection.
const OF_CONNECTIONS: [&str; 2] = ["mark", "label"];
/// The same by matches of xtables.
const XT_OF_CONNECTIONS: [&str; 2] = ["connmark", "connlabel"];
/// Statements that an element of a set may have, which change with each packet that finds it.
const OF_ELEMENTS: [&str; 3] = ["limit", "quota", "ct count"];

/// Whether an expression is of what is kept with a connection.
fn is_of_connection(value: &Value) -> bool {
    is_known(&value["ct"]["key"], &OF_CONNECTIONS)
}

/// What a rule keeps with a connection.
pub(super) fn with_connection(rule: &Value) -> impl Iterator<Item = &Value> {
    let all = expressions(rule).filter(|(kind, _)| *kind == "mangle");
    let of_connection = all.filter(|(_, value)| is_of_connection(&value["key"]));
    of_connection.map(|(_, value)| &value["value"])
}

/// Whether a rule asks what is kept with a connection.
pub(super) fn asks_connection(rule: &Value) -> bool {
    expressions(rule).any(|(kind, value)| match kind {
        "mangle" => any(&value["value"], &is_of_connection),
        "xt" => is_known(&value["name"], &XT_OF_CONNECTIONS),
        // Nobody knows.
        "text" => true,
        _ => any(value, &is_of_connection),
    })
}

/// Whether what is kept with a connection may be something else with each packet, by what was there.
pub(super) fn counts(value: &Value) -> bool {
    any(value, &|part| {
        let by = |operator| part.get(operator).is_some();
        by("^") || by("<<") || by(">>") || any(&part["map"]["key"], &is_of_connection)
    })
}

/// The sets that a rule adds packets to or removes them from.
pub(super) fn changed_sets(rule: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let all = expressions(rule).filter(|(kind, _)| ["set", "map"].contains(kind));
    all.filter_map(|(kind, value)| Some((value[kind].as_str()?.strip_prefix('@')?, value)))
}

/// Whether elements of a set go by themselves.
pub(super) fn is_timed(set: &Value) -> bool {
    let flags = &set["flags"];
    set.get("timeout").is_some()
        || flags == "timeout"
        || flags
            .as_array()
            .is_some_and(|all| all.contains(&"timeout".into()))
}

/// Whether to compare with this counts packets, though what is compared does not.
pub(super) fn is_counted(value: &Value, counting: &BTreeSet<&str>) -> bool {
    any(value, &|part| {
        let named = part.as_str().and_then(|word| word.strip_prefix('@'));
        let own = |of| part["elem"].get(of).is_some();
        part.get("numgen").is_some()
            || named.is_some_and(|set| counting.contains(set))
            || OF_ELEMENTS.into_iter().any(own)
    })
}

/// Whether something is so of a value, or of a part of it.
fn any(value: &Value, is_so: &impl Fn(&Value) -> bool) -> bool {
    is_so(value)
        || match value {
            Value::Array(parts) => parts.iter().any(|part| any(part, is_so)),
            Value::Object(object) => object.values().any(|part| any(part, is_so)),
            _ => false,
        }
}
