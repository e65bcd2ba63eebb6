//! Links that flows to published ports come and go by.

use std::collections::BTreeSet;
use std::fmt;

use super::Endpoint;

/// Names of uplinks and bridges. Host legs are such links, too, whichever there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowLinks(BTreeSet<String>);

impl FlowLinks {
    /// Whether one of them has this name, or one that begins as it says before a `*`.
    pub fn match_name(&self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(prefix) => {
                self.0.iter().any(|name| name.starts_with(prefix))
                    || Endpoint::may_be_host_leg(prefix)
            }
            None => self.0.contains(pattern) || Endpoint::is_host_leg(pattern),
        }
    }
}

impl<S: Into<String>> FromIterator<S> for FlowLinks {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// As the state has them: a name has no space (`dev_valid_name`, net/core/dev.c, v6.18).
impl fmt::Display for FlowLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(String::as_str).collect();
        f.write_str(&names.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_beginnings_of_names_match() {
        let links: FlowLinks = ["eth0", "bu-0123456789ab"].into_iter().collect();
        for (pattern, matches) in [
            ("eth0", true),
            ("eth", false),
            ("eth*", true),
            ("eth1", false),
            ("eth1*", false),
            ("bu-*", true),
            ("wg0", false),
            ("wg*", false),
            ("bv-0123456789ab", true),
            ("bv*", true),
            ("bv-01*", true),
            ("*", true),
        ] {
            assert_eq!(links.match_name(pattern), matches, "{pattern}");
        }
        assert_eq!(links.to_string(), "bu-0123456789ab eth0");
    }
}
