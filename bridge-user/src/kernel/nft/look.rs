//! Whether the table is as we wrote it, by two questions to the kernel: every command asks, and starting
//! nft to look would take longer than all else.
//!
//! The kernel counts the transactions that change a ruleset, whosever they are (`nf_tables_commit`,
//! net/netfilter/nf_tables_api.c, v6.18). Each of ours writes into the set `written` which one it is, and
//! in which boot: as long as it was the last, nothing is otherwise than we wrote it, neither a rule nor
//! one element. Whether a later one changed this table or another's is not told so: then it is written
//! again.

use std::fmt::Write as _;
use std::io;

use super::add_elements;
use crate::kernel::netlink::{Attributes, Netfilter, NetfilterMessage};
use crate::kernel::netns::boot_id;

/// `NFT_MSG_GETSETELEM` (include/uapi/linux/netfilter/nf_tables.h, v6.18), as all numbers here.
pub(super) const GET_SET_ELEMENTS: libc::c_int = 13;
/// `NFTA_SET_ELEM_LIST_TABLE`: the table has this number in every message.
pub(super) const TABLE_NAME: u16 = 1;
/// `NFTA_SET_ELEM_LIST_SET`, `NFTA_SET_NAME`.
pub(super) const SET_NAME: u16 = 2;
/// `NFTA_SET_ELEM_LIST_ELEMENTS`, `NFTA_LIST_ELEM`, `NFTA_SET_ELEM_KEY`, `NFTA_DATA_VALUE`: the way to
/// an element's key.
const ELEMENTS: u16 = 3;
const ELEMENT: u16 = 1;
const KEY: u16 = 1;
const VALUE: u16 = 1;
/// `NFTA_GEN_ID`.
const GENERATION: u16 = 1;

/// `NFPROTO_INET`, our table's family.
const INET: u8 = 1;

/// The set of stamps, which has one.
const WRITTEN: &str = "written";

/// Bytes of a link's name, in keys of sets (`IFNAMSIZ`, include/uapi/linux/if.h).
const NAME_BYTES: usize = 16;

/// Which transaction wrote a table, and as much of the boot's identity as a name takes. Sets have no text
/// but names of links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([String; 2]);

impl Stamp {
    fn new(generation: u32, boot_id: &str) -> Self {
        let digits = boot_id.chars().filter(char::is_ascii_hexdigit);
        let boot = digits.take(NAME_BYTES - 1).collect();
        Self([format!("{generation:08x}"), boot])
    }

    /// That of the next transaction. Where another one comes before it, it is no transaction's.
    pub(super) fn next() -> io::Result<Self> {
        Self::after(generation(&mut Netfilter::open()?)?)
    }

    /// The same, where the table is as we wrote it; else `None`.
    pub(super) fn next_if_whole() -> io::Result<Option<Self>> {
        let mut netfilter = Netfilter::open()?;
        let last = generation(&mut netfilter)?;
        let own = Self::new(last, &boot()?);
        if found(&mut netfilter)? == [own.key()] {
            Self::after(last).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The kernel leaves out 0.
    fn after(generation: u32) -> io::Result<Self> {
        Ok(Self::new(generation.wrapping_add(1).max(1), &boot()?))
    }

    /// Adds it to a ruleset, in the place of the one that is there.
    pub(super) fn add_to(&self, ruleset: &mut String) {
        let Self([generation, boot]) = self;
        writeln!(ruleset, "flush set inet bridge_user {WRITTEN}")
            .expect("a string takes what is written");
        let element = format!("\"{generation}\" . \"{boot}\"");
        add_elements(ruleset, WRITTEN, [element].iter());
    }

    /// As the kernel has it.
    fn key(&self) -> Vec<u8> {
        let names = self.0.iter().map(|name| {
            let mut bytes = name.clone().into_bytes();
            bytes.resize(NAME_BYTES, 0);
            bytes
        });
        names.collect::<Vec<_>>().concat()
    }
}

/// Whether the table is there, and nobody changed anything since we did. In the `Err` case nobody knows.
pub fn is_whole() -> io::Result<bool> {
    Ok(Stamp::next_if_whole()?.is_some())
}

fn boot() -> io::Result<String> {
    boot_id().map_err(io::Error::other)
}

/// Number of the last transaction.
fn generation(netfilter: &mut Netfilter) -> io::Result<u32> {
    let answer = netfilter.read(&message(libc::NFT_MSG_GETGEN, INET, &[]))?;
    let number = answer.first().and_then(|m| m.attributes.first(GENERATION));
    let number = number.and_then(|value| value.bytes().try_into().ok());
    number.map(u32::from_be_bytes).ok_or_else(|| {
        let words = "nf_tables did not tell its generation";
        io::Error::new(io::ErrorKind::InvalidData, words)
    })
}

/// Keys of the stamps that are there; none without a table.
fn found(netfilter: &mut Netfilter) -> io::Result<Vec<Vec<u8>>> {
    let of_set = [(TABLE_NAME, "bridge_user"), (SET_NAME, WRITTEN)];
    let elements = match netfilter.dump(&message(GET_SET_ELEMENTS, INET, &of_set)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        elements => elements?,
    };
    Ok(elements.iter().flat_map(keys).collect())
}

/// A question about what is called so; of the family 0, about all there are.
pub(super) fn message(kind: libc::c_int, family: u8, names: &[(u16, &str)]) -> NetfilterMessage {
    NetfilterMessage {
        kind: message_type(kind),
        family,
        attributes: Attributes::of_text(names),
    }
}

/// Number of a message of nf_tables among those of netfilter.
pub(super) fn message_type(kind: libc::c_int) -> u16 {
    u16::try_from(libc::NFNL_SUBSYS_NFTABLES << 8 | kind).expect("both are bytes")
}

/// The keys of a message's elements.
fn keys(message: &NetfilterMessage) -> Vec<Vec<u8>> {
    let keys = elements_of(message).into_iter().filter_map(|element| {
        let value = element.first(KEY)?.first(VALUE)?;
        Some(value.bytes().to_vec())
    });
    keys.collect()
}

/// The elements of a set that a message tells of.
pub(super) fn elements_of(message: &NetfilterMessage) -> Vec<Attributes> {
    let elements = message.attributes.first(ELEMENTS);
    elements.iter().flat_map(|list| list.all(ELEMENT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_two_names() {
        let stamp = Stamp::new(0x12ab, "3f2c9a1b-0d2e-4f56-8a9b-0c1d2e3f4a5b");
        let mut ruleset = String::new();
        stamp.add_to(&mut ruleset);
        let expected = "flush set inet bridge_user written\nadd element inet bridge_user written \
                        { \"000012ab\" . \"3f2c9a1b0d2e4f5\" }\n";
        assert_eq!(ruleset, expected);
        let key = b"000012ab\0\0\0\0\0\0\0\x003f2c9a1b0d2e4f5\0";
        assert_eq!(stamp.key(), key);
    }
}
