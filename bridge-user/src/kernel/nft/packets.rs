//! Which rules of others have to see each packet of a flow.
//!
//! What passes the firewall by is judged by those packets of its flow that do not: what begins and ends a
//! connection, and one of each direction in a tenth of a second. To most rules that is all the same: they
//! ask for addresses, ports, links, or the state of a connection. Others ask for what differs from packet
//! to packet, count packets, or change them. What is not known here is taken for one of those.
//!
//! ```text
//! base chains at hooks that flows pass ── jump, goto, maps ──> chains ──> rules ──> the first of those
//! ```

mod asks;
mod flags;
mod guards;
mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;

use serde_json::Value;

use super::ruleset::Ruleset;
use crate::model::{FlowLinks, OthersRules};

/// Hooks that what is forwarded passes.
const HOOKS: [&str; 5] = ["ingress", "prerouting", "forward", "postrouting", "egress"];

/// Families whose chains see IP packets on their way; those of bridges do not, which frames pass by.
const FAMILIES: [&str; 4] = ["inet", "ip", "ip6", "netdev"];

/// A rule that has to see each packet of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketRule {
    /// Family, table and name.
    chain: [String; 3],
    /// Its number in the table.
    handle: u64,
    /// What it asks or does.
    what: String,
}

impl PacketRule {
    fn new(chain: Name<'_>, rule: &Value, what: String) -> Self {
        Self {
            chain: chain.map(str::to_owned),
            handle: rule["handle"].as_u64().unwrap_or_default(),
            what,
        }
    }
}

impl fmt::Display for PacketRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chain = self.chain.join(" ");
        write!(f, "rule {} of chain {chain} ({})", self.handle, self.what)
    }
}

/// What rules of others ask of flows, which come and go by these links. Elements of sets are looked at where
/// nothing else says it.
pub fn others_rules(ruleset: &Ruleset, links: &FlowLinks) -> io::Result<OthersRules> {
    let of = |ruleset: &Ruleset| ruleset.packet_rule(links).map(|rule| rule.to_string());
    let rule = match of(ruleset).or_else(legacy_tables) {
        None => of(&ruleset.with_elements()?),
        found => found,
    };
    Ok(rule.map_or(OthersRules::LetFlowsPass, OthersRules::SeeEachPacket))
}

/// Whether a rule looks for packets in one of these sets, other than to add them.
pub(super) fn looks_into(rule: &Value, sets: &BTreeSet<&str>) -> bool {
    let mut looking = asks::expressions(rule).filter(|(kind, _)| *kind != "set" && *kind != "map");
    looking.any(|(_, value)| asks::names(value, sets))
}

/// The tables of iptables-legacy, if there are any: nft does not show what is in them.
pub fn legacy_tables() -> Option<String> {
    let of_family = |family| {
        let names = fs::read_to_string(format!("/proc/net/{family}_tables_names"));
        let names = names.unwrap_or_default();
        let tables = names.lines().map(|name| format!("{family} {name}"));
        tables.collect::<Vec<_>>()
    };
    let tables = ["ip", "ip6"].map(of_family).concat();
    (!tables.is_empty()).then(|| format!("tables of iptables-legacy: {}", tables.join(", ")))
}

impl Ruleset {
    /// The first rule of others that has to see each packet of a flow by these links.
    pub fn packet_rule(&self, links: &FlowLinks) -> Option<PacketRule> {
        let chains = Chains::of(self, links);
        let found = chains.of_connections().or_else(|| chains.first());
        found.or_else(|| chains.of_what_is_kept())
    }
}

/// A chain's family, table and name.
type Name<'r> = [&'r str; 3];

/// Chains of others.
struct Chains<'r> {
    /// What flows come and go by.
    links: &'r FlowLinks,
    /// Those at hooks, which nothing leads to.
    bases: BTreeSet<Name<'r>>,
    /// Those of them that flows come by, and whether connection tracking has seen what does.
    entries: Vec<(Name<'r>, bool)>,
    /// Those of NAT, which see the first packet of a flow.
    nat: Vec<Name<'r>>,
    /// All that have rules.
    rules: BTreeMap<Name<'r>, Vec<&'r Value>>,
    /// Families and tables that have maps which lead to chains.
    leading: BTreeSet<[&'r str; 2]>,
    /// Chains that only tell of packets.
    telling: BTreeSet<Name<'r>>,
    /// Sets and maps whose own statements have to see each packet, by family and table, and what one is.
    asking: BTreeMap<[&'r str; 2], (BTreeSet<&'r str>, String)>,
    /// Sets and maps whose elements go by themselves.
    timed: BTreeSet<Name<'r>>,
}

impl<'r> Chains<'r> {
    fn of(ruleset: &'r Ruleset, links: &'r FlowLinks) -> Self {
        let all = |kind| {
            let objects = ruleset.all(kind);
            objects.filter(|object| object["table"] != "bridge_user" || object["family"] != "inet")
        };
        let bases: Vec<&Value> = all("chain")
            .filter(|chain| chain.get("hook").is_some())
            .collect();
        let on_way = |chain: &&Value| {
            let has = |key: &str, known: &[&str]| known.contains(&text(chain, key));
            has("hook", &HOOKS) && has("family", &FAMILIES)
        };
        let (nat, others): (Vec<&Value>, _) =
            (bases.iter().copied().filter(on_way)).partition(|chain| chain["type"] == "nat");
        // `NF_IP_PRI_CONNTRACK` (include/uapi/linux/netfilter_ipv4.h, v6.18).
        let is_tracked = |chain: &Value| {
            let hook = text(chain, "hook");
            hook != "ingress" && (hook != "prerouting" || chain["prio"].as_i64() > Some(-200))
        };
        let mut rules: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for rule in all("rule") {
            rules.entry(name(rule, "chain")).or_default().push(rule);
        }
        let mut asking = BTreeMap::new();
        for set in all("set").chain(all("map")) {
            if let Some(what) = asks::of_elements(set) {
                let of_table: &mut (BTreeSet<_>, _) = asking.entry(table(set)).or_default();
                of_table.0.insert(text(set, "name"));
                of_table.1 = what;
            }
        }
        for rule in all("rule") {
            if let Some((set, what)) = asks::added_to(rule) {
                let of_table: &mut (BTreeSet<_>, _) = asking.entry(table(rule)).or_default();
                of_table.0.insert(set);
                of_table.1 = what;
            }
        }
        let mut chains = Self {
            links,
            bases: bases.iter().map(|chain| name(chain, "name")).collect(),
            entries: others
                .into_iter()
                .map(|chain| (name(chain, "name"), is_tracked(chain)))
                .collect(),
            nat: nat.into_iter().map(|chain| name(chain, "name")).collect(),
            rules,
            leading: all("map")
                .filter(|map| map["map"] == "verdict")
                .map(table)
                .collect(),
            telling: BTreeSet::new(),
            asking,
            timed: all("set")
                .chain(all("map"))
                .filter(|set| kept::is_timed(set))
                .map(|set| name(set, "name"))
                .collect(),
        };
        chains.find_telling();
        chains
    }

    /// All chains but those that have another rule, or lead to such a one.
    fn find_telling(&mut self) {
        let all = self.rules.keys().copied();
        self.telling = all.filter(|chain| !self.bases.contains(chain)).collect();
        loop {
            let tells = |chain: &Name<'r>| {
                let mut rules = self.rules_of(*chain).iter();
                rules.all(|rule| asks::only_tells(rule, |to| self.tells(beside(*chain, to))))
            };
            let left: BTreeSet<_> = self.telling.iter().copied().filter(tells).collect();
            if left.len() == self.telling.len() {
                return;
            }
            self.telling = left;
        }
    }

    /// A rule on the way of a flow's first packet that has connection tracking change all of them, or one
    /// that has the host answer for endpoints, at whatever hook.
    fn of_connections(&self) -> Option<PacketRule> {
        let mut waiting: Vec<_> = self.entries.iter().map(|(chain, _)| *chain).collect();
        waiting.extend(&self.nat);
        let mut on_way = BTreeSet::new();
        while let Some(chain) = waiting.pop() {
            if on_way.insert(chain) {
                let rules = self.rules_of(chain).iter();
                waiting.extend(rules.flat_map(|rule| self.beyond(chain, rule)));
            }
        }
        self.rules.iter().find_map(|(chain, rules)| {
            rules.iter().find_map(|rule| {
                let what = asks::of_connection(rule)?;
                (what == "synproxy" || on_way.contains(chain))
                    .then(|| PacketRule::new(*chain, rule, what.into()))
            })
        })
    }

    /// The first rule on the way of flows that has to see each packet.
    fn first(&self) -> Option<PacketRule> {
        self.find_on_way(|chain, rule| {
            let what = self.of_packets(chain, rule)?;
            Some(PacketRule::new(chain, rule, what))
        })
    }

    /// A rule on the way of flows that leaves behind what is something else with each packet, if somebody
    /// asks for it.
    fn of_what_is_kept(&self) -> Option<PacketRule> {
        let mut with_connection = BTreeSet::new();
        let asked = self
            .rules
            .values()
            .flatten()
            .any(|r| kept::asks_connection(r));
        self.find_on_way(|chain, rule| {
            let kept = kept::with_connection(rule);
            with_connection.extend(kept.map(Value::to_string));
            let mut sets = kept::changed_sets(rule);
            let what = if asked && with_connection.len() > 1 {
                "it keeps different marks with a connection"
            } else if sets.any(|(set, change)| self.forgets(beside(chain, set), change)) {
                "it changes a set that is asked"
            } else {
                return None;
            };
            Some(PacketRule::new(chain, rule, what.into()))
        })
    }

    /// Whether a set that rules look into, and this statement changes, keeps its elements for a time only.
    fn forgets(&self, set: Name<'r>, change: &Value) -> bool {
        let only = BTreeSet::from([set[2]]);
        let mut of_table = self
            .rules
            .iter()
            .filter(|(chain, _)| chain[..2] == set[..2]);
        (self.timed.contains(&set) || change["op"] == "delete")
            && of_table.any(|(_, rules)| rules.iter().any(|rule| looks_into(rule, &only)))
    }

    /// What is found of a rule that flows come by.
    fn find_on_way<T>(&self, mut found: impl FnMut(Name<'r>, &'r Value) -> Option<T>) -> Option<T> {
        let mut waiting = self.entries.clone();
        let mut seen = BTreeSet::new();
        let none = BTreeSet::new();
        while let Some((chain, tracked)) = waiting.pop() {
            if !seen.insert((chain, tracked)) || self.tells(chain) {
                continue;
            }
            let counting = self.asking.get(&chain[..2]).map_or(&none, |(sets, _)| sets);
            for rule in self.rules_of(chain) {
                if guards::is_for_others(rule, tracked, self.links, counting) {
                    continue;
                }
                if let Some(found) = found(chain, rule) {
                    return Some(found);
                }
                if tracked && guards::accepts_established(rule) {
                    break;
                }
                let beyond = self.beyond(chain, rule).into_iter();
                waiting.extend(beyond.map(|to| (to, tracked)));
            }
        }
        None
    }

    fn of_packets(&self, chain: Name<'r>, rule: &'r Value) -> Option<String> {
        let [family, table, _] = chain;
        let of_sets = self.asking.get(&[family, table]);
        let of_sets = of_sets.filter(|(sets, _)| asks::names(&rule["expr"], sets));
        of_sets
            .map(|(_, what)| what.clone())
            .or_else(|| asks::of_packets(rule, |to| self.tells(beside(chain, to))))
    }

    fn rules_of(&self, chain: Name<'r>) -> &[&'r Value] {
        self.rules.get(&chain).map_or(&[], Vec::as_slice)
    }

    /// The chains that a rule leads to. Of a map's elements it is not known which are there later: any
    /// chain of the table may be.
    fn beyond(&self, chain: Name<'r>, rule: &'r Value) -> Vec<Name<'r>> {
        let [family, table, _] = chain;
        let targets = asks::targets(rule).into_iter();
        let mut beyond: Vec<_> = targets.map(|to| beside(chain, to)).collect();
        if asks::uses_map(rule) && self.leading.contains(&[family, table]) {
            let may_be = |to: &Name<'r>| to[..2] == chain[..2] && !self.bases.contains(to);
            beyond.extend(self.rules.keys().copied().filter(may_be));
        }
        beyond
    }

    /// Whether a chain only tells of packets: what becomes of them does not depend on it. One without rules
    /// does.
    fn tells(&self, chain: Name<'r>) -> bool {
        self.telling.contains(&chain) || !self.rules.contains_key(&chain)
    }
}

/// A chain of the same table.
fn beside<'r>([family, table, _]: Name<'r>, name: &'r str) -> Name<'r> {
    [family, table, name]
}

fn table(object: &Value) -> [&str; 2] {
    ["family", "table"].map(|key| text(object, key))
}

fn name<'r>(object: &'r Value, key: &str) -> Name<'r> {
    ["family", "table", key].map(|key| text(object, key))
}

fn text<'r>(object: &'r Value, key: &str) -> &'r str {
    object[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
