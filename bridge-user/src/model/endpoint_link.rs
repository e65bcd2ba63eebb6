//! A link: a name for another endpoint of the network, that only the endpoint which has it resolves.

use std::str::FromStr;

use super::{Endpoint, EndpointName, Id, NameError};

/// `--link NAME[:ALIAS]`, as Docker's: one-way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointLink {
    /// What the user calls the other endpoint: its name, an alias, or its sandbox's short id.
    pub target: EndpointName,
    /// What the one that has the link calls it.
    pub alias: EndpointName,
    /// The sandbox that it is to, once that is settled: on the default network it is from the start,
    /// on user-defined ones it is whoever has the name.
    pub sandbox: Option<Id>,
}

impl EndpointLink {
    /// Whether it is to this endpoint of the same network.
    pub fn is_to(&self, other: &Endpoint) -> bool {
        match &self.sandbox {
            Some(sandbox) => other.sandbox == *sandbox,
            None => {
                other.name == self.target
                    || other.aliases.contains(&self.target)
                    || other.sandbox.short() == self.target.as_str()
            }
        }
    }
}

impl FromStr for EndpointLink {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (target, alias) = text.split_once(':').unwrap_or((text, text));
        Ok(Self {
            target: target.parse()?,
            alias: alias.parse()?,
            sandbox: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_the_name_where_none_is_given() {
        for (text, target, alias) in [("db", "db", "db"), ("db:store", "db", "store")] {
            let link: EndpointLink = text.parse().unwrap();
            assert_eq!((link.target.as_str(), link.alias.as_str()), (target, alias));
        }
        for bad in ["", ":", "db:", ":store", "db:a:b", "a b"] {
            assert!(bad.parse::<EndpointLink>().is_err(), "{bad}");
        }
    }
}
