//! All that nft knows, of every table, as it tells in JSON (libnftables-json(5)).

use std::collections::BTreeSet;
use std::io;
use std::process::Command;

use serde_json::{Value, json};

use super::{elements, packets};

/// The objects of a ruleset: each has one key, its kind.
#[derive(Debug)]
pub struct Ruleset(pub(crate) Vec<Value>);

impl Ruleset {
    /// Asks nft, which wants root.
    pub fn read() -> io::Result<Self> {
        Self::listed(&["-j", "list", "ruleset"])
    }

    /// The same without elements of sets, of which there may be very many.
    pub fn read_rules() -> io::Result<Self> {
        Self::listed(&["-j", "-t", "list", "ruleset"])
    }

    fn listed(arguments: &[&str]) -> io::Result<Self> {
        let output = Command::new("nft").args(arguments).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().map(str::to_owned);
            return Err(io::Error::other(
                said.unwrap_or_else(|| output.status.to_string()),
            ));
        }
        let mut all: Value = serde_json::from_slice(&output.stdout)?;
        match all["nftables"].take() {
            Value::Array(objects) => Ok(Self(objects)),
            _ => Err(io::Error::other("its JSON has no list of objects")),
        }
    }

    /// The same, where sets that rules look into, and whose elements have statements of their own, have those.
    pub(crate) fn with_elements(&self) -> io::Result<Self> {
        let all: Vec<&Value> = self.all("rule").collect();
        let looked_into = |[family, table, name]: &[String; 3]| {
            let set = BTreeSet::from([name.as_str()]);
            let mut of_table = all
                .iter()
                .filter(|rule| rule["family"] == **family && rule["table"] == **table);
            of_table.any(|rule| packets::looks_into(rule, &set))
        };
        let mut ruleset = Self(self.0.clone());
        for (set, statements) in elements::statements(looked_into)? {
            ruleset.give(&set, &statements);
        }
        Ok(ruleset)
    }

    /// Gives a set, by family, table and name, statements that its elements have.
    fn give(&mut self, [family, table, name]: &[String; 3], statements: &BTreeSet<String>) {
        let sets = self.0.iter_mut().filter_map(Value::as_object_mut).flatten();
        let mut sets = sets.filter(|(kind, _)| *kind == "set" || *kind == "map");
        let found = sets.find(|(_, set)| {
            set["name"] == **name && set["table"] == **table && set["family"] == **family
        });
        if let Some((_, set)) = found {
            let own = match set["stmt"].take() {
                Value::Array(own) => own,
                Value::Null => Vec::new(),
                one => vec![one],
            };
            let all = statements.iter().map(|of_one| json!({ of_one: null }));
            set["stmt"] = own.into_iter().chain(all).collect();
        }
    }

    /// The objects of a kind.
    pub(crate) fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter_map(move |object| object.get(kind))
    }
}
