//! All that nft knows, of every table, as it tells in JSON (libnftables-json(5)).

use std::io;
use std::process::Command;

use serde_json::Value;

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

    /// The objects of a kind.
    pub(crate) fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.0.iter().filter_map(move |object| object.get(kind))
    }
}
