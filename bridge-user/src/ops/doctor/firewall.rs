//! Firewalls of others: what of them drops our packets, and what to do. A packet has to get past
//! everybody's chain, and ours can accept for our table alone.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{Finding, Status};
use crate::kernel::nft::Ruleset;

const CHECK: &str = "firewall";

/// Docker leaves this chain to the user, and looks at it before its own.
const DOCKER_USER: &str = "DOCKER-USER";

/// Where Docker says who gets to the endpoints of a bridge of its own.
const DOCKER: &str = "DOCKER";

/// Its table. Rules that others put there go with its next reload.
const FIREWALLD: &str = "firewalld";

/// Names that all our bridges have, but for those that a user names.
const OUR_NAMES: &str = "bu*";

impl Ruleset {
    /// What is in a set or map of our table.
    fn elements(&self, kind: &str, name: &str) -> Vec<&Value> {
        let named = |s: &&Value| s["table"] == "bridge_user" && s["name"] == name;
        let elements = self
            .all(kind)
            .find(named)
            .and_then(|set| set["elem"].as_array());
        elements.into_iter().flatten().collect()
    }

    /// Whether addresses of a family are translated, or routed, on their way out of a network.
    pub(super) fn leads_out(&self, ipv6: bool) -> bool {
        let (family, sources) = if ipv6 {
            ("ipv6", "sources6")
        } else {
            ("ipv4", "sources4")
        };
        let of_family = |e: &Value| e["concat"][0] == family;
        let has_family = |set| self.elements("set", set).into_iter().any(of_family);
        ["masqueraded", "routed"].into_iter().any(has_family)
            || !self.elements("map", sources).is_empty()
    }

    /// How rules name our bridges.
    fn our_names(&self) -> Vec<&str> {
        let bridges = self.elements("set", "bridges").into_iter();
        let bridges = bridges.filter_map(Value::as_str);
        let named_by_user = bridges.filter(|bridge| !bridge.starts_with("bu"));
        std::iter::once(OUR_NAMES).chain(named_by_user).collect()
    }

    /// Whether a chain ends what no rule before took.
    fn drops(&self, chain: &Value) -> bool {
        let is_in = |rule: &&Value| {
            let same = |key| rule[key] == chain[key];
            same("family") && same("table") && rule["chain"] == chain["name"]
        };
        let last = self.all("rule").filter(is_in).last().map(acts);
        let ends = |acts: &[&str]| acts == ["drop"] || acts == ["reject"];
        chain["policy"] == "drop" || last.is_some_and(|acts| ends(&acts))
    }

    /// Whether its rules let ours pass, as the advice has it.
    fn accepts(&self, chain: &Value, way: &Way) -> bool {
        let name = text(chain, "name");
        let is_firewalld = chain["table"] == FIREWALLD;
        let same = |rule: &&Value| {
            ["family", "table"]
                .iter()
                .all(|key| rule[key] == chain[key])
        };
        // Chains of firewalld's zones and policies are called after the one that they are for.
        let of_chain = |rule: &&Value| {
            let of = text(rule, "chain");
            of == name || of == DOCKER_USER || (is_firewalld && of.starts_with(name))
        };
        let rules = || self.all("rule").filter(same).filter(of_chain);
        let accepts = |side: &str, bridge: &str| {
            rules().any(|rule| is_on(rule, side, bridge) && leads_to_accept(rule))
        };
        // What comes to ours there is published, or an answer, which firewalld accepts.
        let sides = if is_firewalld {
            &["iifname"]
        } else {
            way.sides
        };
        let mut sides = sides.iter();
        sides.all(|side| {
            let mut names = self.our_names().into_iter();
            names.all(|bridge| accepts(side, bridge))
        })
    }

    /// Our own table still decides between our networks: accepting here opens nothing there.
    fn advice(&self, chain: &Value, way: &Way) -> String {
        let (family, table, name) = (
            text(chain, "family"),
            text(chain, "table"),
            text(chain, "name"),
        );
        let has_docker_user = name == "FORWARD" && {
            let same = |c: &Value| c["table"] == chain["table"] && c["family"] == chain["family"];
            self.all("chain")
                .any(|c| same(c) && c["name"] == DOCKER_USER)
        };
        if table == FIREWALLD {
            let zone = "firewall-cmd --permanent --zone=trusted --add-interface=";
            let names = self.our_names().into_iter();
            let commands = names.map(|bridge| format!("{zone}{}; ", bridge.replace('*', "+")));
            return commands.collect::<String>() + "firewall-cmd --reload";
        }
        let rule = |side: &str, bridge: &str| {
            if has_docker_user {
                let (flag, bridge) = (&side[..1], bridge.replace('*', "+"));
                let tool = iptables(chain);
                format!("{tool} -I {DOCKER_USER} -{flag} {bridge} -j ACCEPT")
            } else {
                format!("nft insert rule {family} {table} {name} {side} '\"{bridge}\"' accept")
            }
        };
        let commands = way.sides.iter().flat_map(|side| {
            let names = self.our_names().into_iter();
            names.map(|bridge| rule(side, bridge)).collect::<Vec<_>>()
        });
        let mut commands: Vec<String> = commands.collect();
        if has_docker_user {
            let ways = self.ways_to_docker(chain).into_iter();
            commands.extend(ways.map(|(ours, docker)| leave_to_docker(chain, ours, docker)));
        }
        commands.join("; ")
    }

    /// Names of ours, each with a bridge of Docker's, of a chain's table.
    fn ways_to_docker(&self, chain: &Value) -> Vec<(&str, &str)> {
        let of_table = |rule: &&Value| {
            let same = |key| rule[key] == chain[key];
            same("family") && same("table") && jumps_to(rule).any(|target| target == DOCKER)
        };
        let rules = self.all("rule").filter(of_table);
        let bridges: BTreeSet<&str> = rules.filter_map(|rule| on(rule, "oifname")).collect();
        let names = self.our_names().into_iter();
        names
            .flat_map(|ours| bridges.iter().map(move |docker| (ours, *docker)))
            .collect()
    }

    /// Of those, the ones that a user's chain of Docker's lets pass, before Docker looks at them.
    fn opened(&self, user: &Value) -> Vec<(&str, &str)> {
        let of_chain = |rule: &&Value| {
            let same = |key| rule[key] == user[key];
            same("family") && same("table") && rule["chain"] == user["name"]
        };
        let rules: Vec<&Value> = self.all("rule").filter(of_chain).collect();
        let is_opened = |(ours, docker): &(&str, &str)| {
            let mut of_ours = rules.iter().filter(|rule| is_on(rule, "iifname", ours));
            // The first that speaks of all of it.
            let first = of_ours.find(|rule| {
                leads_to_accept(rule) || on(rule, "oifname").is_some_and(|name| name == *docker)
            });
            first.is_some_and(|rule| leads_to_accept(rule))
        };
        let mut ways = self.ways_to_docker(user);
        ways.retain(is_opened);
        ways
    }
}

/// The command for a table of iptables'.
fn iptables(chain: &Value) -> &'static str {
    if chain["family"] == "ip6" {
        "ip6tables"
    } else {
        "iptables"
    }
}

/// The command that has Docker decide who of ours gets into a network of its own.
fn leave_to_docker(chain: &Value, ours: &str, docker: &str) -> String {
    let (tool, ours) = (iptables(chain), ours.replace('*', "+"));
    format!("{tool} -I {DOCKER_USER} -i {ours} -o {docker} -j RETURN")
}

/// What passes at a hook, and by which side of a packet ours is known.
struct Way {
    what: &'static str,
    sides: &'static [&'static str],
}

fn way_of(hook: &str) -> Option<Way> {
    let (what, sides): (_, &[_]) = match hook {
        "forward" => (
            "what is routed to and from endpoints",
            &["iifname", "oifname"],
        ),
        "input" => ("what endpoints send to the host", &["iifname"]),
        "output" => ("what the host sends to endpoints", &["oifname"]),
        _ => return None,
    };
    Some(Way { what, sides })
}

/// What a rule does, counting and logging apart.
fn acts(rule: &Value) -> Vec<&str> {
    let expressions = rule["expr"].as_array().into_iter().flatten();
    let names = expressions.filter_map(|e| e.as_object()?.keys().next().map(String::as_str));
    names
        .filter(|name| !["counter", "log"].contains(name))
        .collect()
}

/// Whether a rule accepts, by a zone of firewalld maybe, and asks for one thing only.
fn leads_to_accept(rule: &Value) -> bool {
    match acts(rule)[..] {
        ["match", "accept"] => true,
        ["match", "goto" | "jump"] => jumps_to(rule).any(|target| target.ends_with("_trusted")),
        _ => false,
    }
}

/// The chains that a rule goes on at.
fn jumps_to(rule: &Value) -> impl Iterator<Item = &str> {
    let expressions = rule["expr"].as_array().into_iter().flatten();
    expressions.filter_map(|e| {
        let way = e.get("goto").or_else(|| e.get("jump"))?;
        way["target"].as_str()
    })
}

/// The interface that a rule is for.
fn on<'a>(rule: &'a Value, side: &str) -> Option<&'a str> {
    let expressions = rule["expr"].as_array().into_iter().flatten();
    let mut matches = expressions.filter_map(|expression| expression.get("match"));
    matches.find(|m| m["op"] == "==" && m["left"]["meta"]["key"] == side)?["right"].as_str()
}

/// Whether it is this one.
fn is_on(rule: &Value, side: &str, interface: &str) -> bool {
    on(rule, side) == Some(interface)
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or("?")
}

/// Chains of others that drop what they do not know.
pub(super) fn foreign_chains(ruleset: Option<&Ruleset>) -> Vec<Finding> {
    let Some(ruleset) = ruleset else {
        let advice = "run as root, with nft installed";
        return vec![Finding::bad(
            CHECK,
            Status::Warning,
            "cannot be read",
            advice,
        )];
    };
    let foreign = ruleset
        .all("chain")
        .filter(|chain| chain["table"] != "bridge_user");
    let mut findings = Vec::new();
    for chain in foreign {
        let names = ["family", "table", "name"]
            .map(|key| text(chain, key))
            .join(" ");
        if let Some(way) = chain["hook"].as_str().and_then(way_of)
            && ruleset.drops(chain)
            && !ruleset.accepts(chain, &way)
        {
            let detail = format!("chain {names} drops {} unless a rule accepts it", way.what);
            let advice = ruleset.advice(chain, &way);
            findings.push(Finding::bad(CHECK, Status::Warning, detail, advice));
        }
        if chain["name"] == DOCKER_USER {
            findings.extend(ruleset.opened(chain).into_iter().map(|(ours, docker)| {
                let detail = format!(
                    "chain {names} lets endpoints into Docker's network at {docker}, past its rules"
                );
                let advice = leave_to_docker(chain, ours, docker);
                Finding::bad(CHECK, Status::Warning, detail, advice)
            }));
        }
    }
    if findings.is_empty() {
        return vec![Finding::ok(CHECK, "no chain of others drops what is ours")];
    }
    findings
}

/// The same of xtables, which nft does not show.
pub(super) fn legacy_iptables() -> Vec<Finding> {
    let commands = [("ip", "iptables-legacy"), ("ip6", "ip6tables-legacy")];
    let dropping = commands.iter().filter(|(family, command)| {
        let names = format!("/proc/net/{family}_tables_names");
        let loaded = fs::read_to_string(names).is_ok_and(|n| n.lines().any(|l| l == "filter"));
        let rules = || Command::new(command).args(["-S", "FORWARD"]).output().ok();
        loaded
            && rules().is_some_and(|output| {
                String::from_utf8_lossy(&output.stdout).contains("-P FORWARD DROP")
            })
    });
    dropping
        .map(|(_, command)| {
            Finding::bad(
                "legacy iptables",
                Status::Warning,
                format!("{command}: chain FORWARD drops what no rule accepts"),
                format!(
                    "{command} -I FORWARD -i bu+ -j ACCEPT; {command} -I FORWARD -o bu+ -j ACCEPT"
                ),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// firewalld's forward chain, and a rule of it besides.
    fn firewalld(rule: Value) -> Ruleset {
        let named = |name: &str| json!({"family": "inet", "table": FIREWALLD, "chain": name});
        let with = |mut object: Value, key: &str, value: Value| {
            object[key] = value;
            object
        };
        let base = json!({
            "family": "inet", "table": FIREWALLD, "name": "filter_FORWARD",
            "type": "filter", "hook": "forward", "prio": 10, "policy": "accept",
        });
        let last = json!([{"reject": {"type": "icmpx", "expr": "admin-prohibited"}}]);
        Ruleset(vec![
            json!({"chain": base}),
            json!({"rule": with(named("filter_FORWARD"), "expr", last)}),
            json!({"rule": with(named("filter_FORWARD_POLICIES"), "expr", rule)}),
        ])
    }

    #[test]
    fn firewalld_is_told_by_its_own_command() {
        let on = |name: &str| json!({"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": name}});
        let statuses = [
            json!([{"accept": null}]),
            json!([on("eth0"), {"accept": null}]),
            json!([on("bu*"), {"goto": {"target": "filter_FWD_public"}}]),
            json!([on("bu*"), {"goto": {"target": "filter_FWD_trusted"}}]),
            json!([on("bu*"), {"accept": null}]),
        ]
        .map(|rule| foreign_chains(Some(&firewalld(rule))).remove(0));
        let expected = [
            Status::Warning,
            Status::Warning,
            Status::Warning,
            Status::Ok,
            Status::Ok,
        ];
        assert_eq!(statuses.each_ref().map(|finding| finding.status), expected);
        assert_eq!(
            statuses[0].advice.as_deref(),
            Some(
                "firewall-cmd --permanent --zone=trusted --add-interface=bu+; firewall-cmd --reload"
            )
        );
    }
}
