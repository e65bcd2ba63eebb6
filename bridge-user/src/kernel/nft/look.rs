//! What the kernel has of the table, by two questions to it: every command looks, and starting nft to
//! look would take longer than all else.

use std::collections::BTreeSet;
use std::io;

use super::TABLE;
use crate::kernel::netlink::{Attributes, Netfilter, NetfilterMessage};

/// `NFT_MSG_GETSETELEM` (include/uapi/linux/netfilter/nf_tables.h, v6.18), as all numbers here.
const GET_SET_ELEMENTS: libc::c_int = 13;
/// `NFTA_RULE_TABLE`, `NFTA_SET_ELEM_LIST_TABLE`: the table has this number in every message.
pub(super) const TABLE_NAME: u16 = 1;
/// `NFTA_SET_ELEM_LIST_SET`.
const SET_NAME: u16 = 2;
/// `NFTA_SET_ELEM_LIST_ELEMENTS`, `NFTA_LIST_ELEM`, `NFTA_SET_ELEM_KEY`, `NFTA_DATA_VALUE`: the way to
/// an element's key.
const ELEMENTS: u16 = 3;
const ELEMENT: u16 = 1;
const KEY: u16 = 1;
const VALUE: u16 = 1;

/// What is there of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    rules: usize,
    bridges: BTreeSet<String>,
}

impl Seen {
    /// Asks the kernel. A table that is not there has nothing.
    pub fn look() -> io::Result<Self> {
        let mut netfilter = Netfilter::open()?;
        let of_table = [(TABLE_NAME, "bridge_user")];
        let rules = netfilter.dump(&message(libc::NFT_MSG_GETRULE, &of_table))?;
        let of_set = [(TABLE_NAME, "bridge_user"), (SET_NAME, "bridges")];
        let elements = match netfilter.dump(&message(GET_SET_ELEMENTS, &of_set)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            elements => elements?,
        };
        Ok(Self {
            rules: rules.len(),
            bridges: elements.iter().flat_map(keys).collect(),
        })
    }

    /// Whether all rules are there, and these networks in the sets: a ruleset that was saved before
    /// and loaded again has others.
    pub fn is_whole<'a>(&self, mut bridges: impl Iterator<Item = &'a str>) -> bool {
        self.rules == rules() && bridges.all(|bridge| self.bridges.contains(bridge))
    }
}

/// How many rules the table has.
fn rules() -> usize {
    let (mut in_chain, mut rules) = (false, 0);
    for line in TABLE.lines().map(str::trim) {
        match line {
            _ if line.starts_with("chain ") => in_chain = true,
            "}" => in_chain = false,
            _ if line.is_empty() || line.starts_with('#') || line.starts_with("type ") => {}
            _ => rules += usize::from(in_chain),
        }
    }
    rules
}

fn message(kind: libc::c_int, names: &[(u16, &str)]) -> NetfilterMessage {
    NetfilterMessage {
        kind: message_type(kind),
        family: u8::try_from(libc::NFPROTO_INET).expect("it is 1"),
        attributes: Attributes::of_text(names),
    }
}

/// Number of a message of nf_tables among those of netfilter.
pub(super) fn message_type(kind: libc::c_int) -> u16 {
    u16::try_from(libc::NFNL_SUBSYS_NFTABLES << 8 | kind).expect("both are bytes")
}

/// The keys of a message's elements, which are text.
fn keys(message: &NetfilterMessage) -> Vec<String> {
    let Some(elements) = message.attributes.first(ELEMENTS) else {
        return Vec::new();
    };
    let keys = elements.all(ELEMENT).filter_map(|element| {
        let value = element.first(KEY)?.first(VALUE)?;
        value.text().map(str::to_owned)
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_a_rule_or_a_network_is_not_whole() {
        let whole = Seen {
            rules: rules(),
            bridges: ["bu0".to_owned(), "bu-1".to_owned()].into(),
        };
        assert!(rules() > 3);
        assert!(whole.is_whole(["bu0"].into_iter()));
        assert!(!whole.is_whole(["bu0", "bu-2"].into_iter()));
        let flushed = Seen {
            rules: 0,
            ..whole.clone()
        };
        assert!(!flushed.is_whole(["bu0"].into_iter()));
        assert!(!Seen::default().is_whole(std::iter::empty()));
    }
}
