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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;

use serde_json::Value;

use super::ruleset::Ruleset;
use crate::model::OthersRules;

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

/// What rules of others ask of flows. Those that cannot be looked at may ask for anything.
pub fn others_rules(ruleset: &io::Result<Ruleset>) -> OthersRules {
    let of_nft = match ruleset {
        Ok(ruleset) => ruleset.packet_rule().map(|rule| rule.to_string()),
        Err(error) => Some(format!("rules that cannot be read: {error}")),
    };
    let rule = of_nft.or_else(legacy_tables);
    rule.map_or(OthersRules::LetFlowsPass, OthersRules::SeeEachPacket)
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
    /// The first rule of others that has to see each packet of a flow.
    pub fn packet_rule(&self) -> Option<PacketRule> {
        let chains = Chains::of(self);
        chains.answering().or_else(|| chains.first())
    }
}

/// A chain's family, table and name.
type Name<'r> = [&'r str; 3];

/// Chains of others.
struct Chains<'r> {
    /// Those at hooks, which nothing leads to.
    bases: BTreeSet<Name<'r>>,
    /// Those of them that flows come by.
    entries: Vec<Name<'r>>,
    /// All that have rules.
    rules: BTreeMap<Name<'r>, Vec<&'r Value>>,
    /// Families and tables that have maps which lead to chains.
    leading: BTreeSet<[&'r str; 2]>,
}

impl<'r> Chains<'r> {
    fn of(ruleset: &'r Ruleset) -> Self {
        let all = |kind| {
            let objects = ruleset.all(kind);
            objects.filter(|object| object["table"] != "bridge_user")
        };
        let is_entry = |chain: &&Value| {
            let has = |key: &str, known: &[&str]| known.contains(&text(chain, key));
            // Chains of NAT see the first packet of a flow.
            has("hook", &HOOKS) && has("family", &FAMILIES) && chain["type"] != "nat"
        };
        let bases: Vec<&Value> = all("chain")
            .filter(|chain| chain.get("hook").is_some())
            .collect();
        let mut rules: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for rule in all("rule") {
            rules.entry(name(rule, "chain")).or_default().push(rule);
        }
        let leading = all("map").filter(|map| map["map"] == "verdict");
        Self {
            bases: bases.iter().map(|chain| name(chain, "name")).collect(),
            entries: bases
                .into_iter()
                .filter(is_entry)
                .map(|c| name(c, "name"))
                .collect(),
            rules,
            leading: leading
                .map(|map| [text(map, "family"), text(map, "table")])
                .collect(),
        }
    }

    /// A rule that has the host answer for endpoints, at whatever hook.
    fn answering(&self) -> Option<PacketRule> {
        self.rules.iter().find_map(|(chain, rules)| {
            let rule = rules.iter().find(|rule| asks::answers(rule))?;
            Some(PacketRule::new(*chain, rule, "synproxy".into()))
        })
    }

    /// The first rule on the way of flows that has to see each packet.
    fn first(&self) -> Option<PacketRule> {
        let mut waiting = self.entries.clone();
        let mut seen = BTreeSet::new();
        while let Some(chain) = waiting.pop() {
            if !seen.insert(chain) || self.tells(chain) {
                continue;
            }
            for rule in self.rules_of(chain) {
                let tells = |to| self.tells(beside(chain, to));
                if let Some(what) = asks::of_packets(rule, tells) {
                    return Some(PacketRule::new(chain, rule, what));
                }
                if asks::accepts_established(rule) {
                    break;
                }
                waiting.extend(self.beyond(chain, rule));
            }
        }
        None
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

    /// Whether a chain only tells of packets: what becomes of them does not depend on it. (Chains lead in
    /// no circles: `nft_chain_validate`, net/netfilter/nf_tables_api.c, v6.18.)
    fn tells(&self, chain: Name<'r>) -> bool {
        let mut rules = self.rules_of(chain).iter();
        !self.bases.contains(&chain)
            && rules.all(|rule| asks::only_tells(rule, |to| self.tells(beside(chain, to))))
    }
}

/// A chain of the same table.
fn beside<'r>([family, table, _]: Name<'r>, name: &'r str) -> Name<'r> {
    [family, table, name]
}

fn name<'r>(object: &'r Value, key: &str) -> Name<'r> {
    ["family", "table", key].map(|key| text(object, key))
}

fn text<'r>(object: &'r Value, key: &str) -> &'r str {
    object[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
