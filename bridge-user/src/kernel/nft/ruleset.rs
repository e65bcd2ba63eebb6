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
        let output = Command::new("nft")
            .args(["-j", "list", "ruleset"])
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().next().unwrap_or_default();
            return Err(io::Error::other(line.to_owned()));
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
