//! Which rules have to see each packet, as nft tells of them.

use serde_json::{Value, json};

use super::*;

/// A table of somebody's with a chain at a hook, and what nft tells of it.
fn of_chain(rules: &[Value]) -> Option<String> {
    of_hook("forward", "filter", rules)
}

fn of_hook(hook: &str, kind: &str, rules: &[Value]) -> Option<String> {
    let base = json!({
        "family": "inet", "table": "t", "name": "c", "handle": 1,
        "type": kind, "hook": hook, "prio": 0, "policy": "accept",
    });
    let mut objects = vec![json!({"chain": base})];
    objects.extend(rules.iter().enumerate().map(|(at, expressions)| {
        let rule = json!({
            "family": "inet", "table": "t", "chain": "c", "handle": at + 2, "expr": expressions,
        });
        json!({"rule": rule})
    }));
    let links = ["eth0", "bu-n"].into_iter().collect();
    Ruleset(objects)
        .packet_rule(&links)
        .map(|rule| rule.to_string())
}

fn state(words: &Value) -> Value {
    json!({"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": words}})
}

fn limit() -> Value {
    json!({"limit": {"rate": 3, "burst": 5, "per": "hour", "inv": true}})
}

#[test]
fn a_rule_is_named() {
    let length = json!({"match": {"op": ">", "left": {"meta": {"key": "length"}}, "right": 100}});
    let counted = json!([{"counter": {"packets": 0, "bytes": 0}}]);
    let found = of_chain(&[counted, json!([length, {"drop": null}])]);
    assert_eq!(
        found.as_deref(),
        Some("rule 3 of chain inet t c (meta length)")
    );
}

#[test]
fn limits_are_of_new_connections_or_of_packets() {
    let drop = json!({"drop": null});
    assert_eq!(
        of_chain(&[json!([state(&json!("new")), limit(), drop])]),
        None
    );
    let both = state(&json!(["new", "established"]));
    for rule in [json!([limit(), drop]), json!([both, limit(), drop])] {
        assert!(of_chain(std::slice::from_ref(&rule)).is_some(), "{rule}");
        // Behind this one come no others of an established connection.
        let accepts = json!([state(&json!(["established", "related"])), {"accept": null}]);
        assert_eq!(of_chain(&[accepts, rule]), None);
    }
    assert_eq!(
        of_chain(&[json!([limit(), {"log": {"prefix": "x"}}])]),
        None
    );
}

#[test]
fn chains_that_flows_do_not_pass_are_left_out() {
    let rule = json!([{"queue": {"num": 0}}]);
    for (hook, kind, is_asked) in [
        ("forward", "filter", true),
        ("prerouting", "filter", true),
        ("input", "filter", false),
        ("output", "route", false),
        ("prerouting", "nat", false),
    ] {
        let found = of_hook(hook, kind, std::slice::from_ref(&rule));
        assert_eq!(found.is_some(), is_asked, "{hook}, {kind}");
    }
}
