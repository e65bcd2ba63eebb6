//! Statements that single elements of a set have, as `{ 192.0.2.1 limit rate 5/second }`. nft tells of them
//! with all elements, of which there may be very many, and slowly; the kernel is asked itself. Sets that
//! are not dynamic have none.

use std::collections::BTreeSet;
use std::io;

use super::look::{GET_SET_ELEMENTS, SET_NAME, TABLE_NAME, elements_of, message};
use crate::kernel::netlink::{Attributes, Netfilter, NetfilterMessage};

/// `NFT_MSG_GETSET` (include/uapi/linux/netfilter/nf_tables.h, v6.18), as all numbers here.
const GET_SET: libc::c_int = 10;
/// `NFTA_SET_FLAGS`, `NFT_SET_EVAL`.
const FLAGS: u16 = 3;
const DYNAMIC: u32 = 0x20;
/// `NFTA_SET_ELEM_EXPR`, and where there are several `NFTA_SET_ELEM_EXPRESSIONS`, a list.
const EXPRESSION: u16 = 7;
const EXPRESSIONS: u16 = 11;
const LISTED: u16 = 1;
/// `NFTA_EXPR_NAME`.
const EXPRESSION_NAME: u16 = 1;

/// The statements of elements of a set, as nft calls them, by the set's family, table and name.
pub(super) type OfElements = ([String; 3], BTreeSet<String>);

/// Those of the dynamic sets that are wanted.
pub(super) fn statements(is_wanted: impl Fn(&[String; 3]) -> bool) -> io::Result<Vec<OfElements>> {
    let mut netfilter = Netfilter::open()?;
    let sets = netfilter.dump(&message(GET_SET, 0, &[]))?;
    let mut all = Vec::new();
    for set in sets.iter().filter(|set| is_dynamic(set)) {
        let [table, name] = [TABLE_NAME, SET_NAME].map(|kind| text(&set.attributes, kind));
        let named = [family(set.family).to_owned(), table, name];
        if !is_wanted(&named) {
            continue;
        }
        let [_, table, name] = &named;
        let of_set = [(TABLE_NAME, table.as_str()), (SET_NAME, name)];
        let of_set = message(GET_SET_ELEMENTS, set.family, &of_set);
        let elements = match netfilter.dump(&of_set) {
            // It went meanwhile, which somebody's next transaction says.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            elements => elements?,
        };
        let statements = elements
            .iter()
            .flat_map(elements_of)
            .flat_map(statements_of);
        all.push((named, statements.collect()));
    }
    Ok(all)
}

fn is_dynamic(set: &NetfilterMessage) -> bool {
    let flags = set.attributes.first(FLAGS);
    let flags = flags.and_then(|flags| flags.bytes().try_into().ok());
    flags.map_or(0, u32::from_be_bytes) & DYNAMIC != 0
}

fn statements_of(element: Attributes) -> Vec<String> {
    let several = element.first(EXPRESSIONS);
    let several = several.iter().flat_map(|list| list.all(LISTED));
    let statements = element.all(EXPRESSION).chain(several);
    let named = statements.map(|one| text(&one, EXPRESSION_NAME));
    named
        .map(|name| match name.as_str() {
            "connlimit" => "ct count".into(),
            _ => name,
        })
        .collect()
}

fn text(attributes: &Attributes, kind: u16) -> String {
    let value = attributes.first(kind);
    let text = value.as_ref().and_then(Attributes::text);
    text.unwrap_or_default().to_owned()
}

/// As nft calls it.
fn family(family: u8) -> &'static str {
    match libc::c_int::from(family) {
        libc::NFPROTO_INET => "inet",
        libc::NFPROTO_IPV4 => "ip",
        libc::NFPROTO_IPV6 => "ip6",
        libc::NFPROTO_ARP => "arp",
        libc::NFPROTO_NETDEV => "netdev",
        libc::NFPROTO_BRIDGE => "bridge",
        _ => "",
    }
}
