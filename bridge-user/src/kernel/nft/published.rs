//! Published ports: elements of the table's maps, so that the last one costs what the first did.
//!
//! An address of the host, protocol and port lead to an endpoint's address and port; where all of the
//! host's addresses do, the key is without one. Who may use a publication that is limited is in sets
//! besides, where all addresses are a prefix of length 0.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::look::Stamp;
use super::{NftError, add_elements, apply, delete_elements};
use crate::model::Published;

/// Keys of sets and maps, and what is behind those of maps.
type Elements = BTreeMap<&'static str, BTreeSet<(String, Option<String>)>>;

/// Makes the table have these, in one transaction. A table that is not as we wrote it is refused.
pub fn ensure_published(published: &[Published]) -> Result<(), NftError> {
    let mut ruleset = String::new();
    add_published(&mut ruleset, published);
    apply_some(ruleset)
}

/// Makes the table have none of these, but for what `others` have too. As [`ensure_published`]. It is an
/// error to delete what is not there, and none to add what is.
pub fn ensure_published_absent(
    published: &[Published],
    others: &[Published],
) -> Result<(), NftError> {
    let mut ruleset = String::new();
    add_published(&mut ruleset, published);
    let kept = elements(others);
    for (set, elements) in elements(published) {
        let kept = kept.get(set).into_iter().flatten();
        let kept: BTreeSet<&str> = kept.map(|(key, _)| key.as_str()).collect();
        let keys = elements.into_iter().map(|(key, _)| key);
        let going = keys.filter(|key| !kept.contains(key.as_str()));
        delete_elements(&mut ruleset, set, going);
    }
    apply_some(ruleset)
}

/// Adds all of them to a table that is written.
pub(super) fn add_published(ruleset: &mut String, published: &[Published]) {
    for (set, elements) in elements(published) {
        let elements = elements.into_iter().map(|(key, value)| match value {
            Some(value) => format!("{key} : {value}"),
            None => key,
        });
        add_elements(ruleset, set, elements);
    }
}

/// Nothing leads from a loopback address: what comes for one from elsewhere is forged, and the host's
/// own packets for one do not leave it.
fn elements(published: &[Published]) -> Elements {
    let mut elements = Elements::new();
    for Published {
        publication,
        address,
    } in published
    {
        let host = publication.host;
        if host.is_loopback() {
            continue;
        }
        let port = format!("{} . {}", publication.protocol, publication.host_port);
        let to = format!("{address} . {}", publication.port);
        let (own, answering) = match address {
            IpAddr::V4(_) => ("own4", "answering4"),
            IpAddr::V6(_) => ("own6", "answering6"),
        };
        let service = format!(
            "{address} . {} . {}",
            publication.protocol, publication.port
        );
        // Several have these.
        for (set, key) in [
            (own, format!("{address} . {address}")),
            (answering, service),
            ("host_ports", port.clone()),
        ] {
            elements.entry(set).or_default().insert((key, None));
        }
        let (map, key) = match (host, host.is_unspecified()) {
            (IpAddr::V4(_), true) => ("published4_all", port.clone()),
            (IpAddr::V6(_), true) => ("published6_all", port.clone()),
            (IpAddr::V4(_), false) => ("published4", format!("{host} . {port}")),
            (IpAddr::V6(_), false) => ("published6", format!("{host} . {port}")),
        };
        elements.entry(map).or_default().insert((key, Some(to)));
        if publication.sources.is_empty() {
            continue;
        }
        let (limited, sources) = match host {
            IpAddr::V4(_) => ("limited4", "allowed4"),
            IpAddr::V6(_) => ("limited6", "allowed6"),
        };
        let all = if host.is_unspecified() { "/0" } else { "" };
        let key = format!("{host}{all} . {port}");
        let of_family = publication.sources.iter();
        let of_family = of_family.filter(|source| source.addr().is_ipv4() == host.is_ipv4());
        let from = of_family.map(|source| (format!("{key} . {source}"), None));
        elements.entry(sources).or_default().extend(from);
        elements.entry(limited).or_default().insert((key, None));
    }
    elements
}

/// nft need not run for publications on loopback addresses alone.
fn apply_some(mut ruleset: String) -> Result<(), NftError> {
    if ruleset.is_empty() {
        return Ok(());
    }
    let stamp = Stamp::next_if_whole().ok().flatten();
    stamp.ok_or(NftError::Changed)?.add_to(&mut ruleset);
    apply(&ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, Publication};

    #[test]
    fn elements_are_of_the_family_and_limited_by_sources() {
        let published = |host: &str, address: &str, sources: &[&str]| Published {
            publication: Publication {
                endpoint: Id::from_bytes([1; 32]),
                protocol: crate::model::Protocol::Tcp,
                host: host.parse().unwrap(),
                host_port: 8080,
                port: 80,
                sources: sources.iter().map(|s| s.parse().unwrap()).collect(),
            },
            address: address.parse().unwrap(),
        };
        let mut text = String::new();
        let both = ["10.0.0.0/8", "fd00::/8"];
        add_published(
            &mut text,
            &[
                published("0.0.0.0", "10.90.0.2", &both),
                published("::", "fd90::2", &[]),
                published("127.0.0.1", "10.90.0.2", &[]),
                published("192.0.2.1", "10.90.0.2", &["fd00::/8"]),
                published("2001:db8::1", "fd90::2", &both),
            ],
        );
        let expected = [
            "allowed4 { 0.0.0.0/0 . tcp . 8080 . 10.0.0.0/8 }",
            "allowed6 { 2001:db8::1 . tcp . 8080 . fd00::/8 }",
            "answering4 { 10.90.0.2 . tcp . 80 }",
            "answering6 { fd90::2 . tcp . 80 }",
            "host_ports { tcp . 8080 }",
            "limited4 { 0.0.0.0/0 . tcp . 8080, 192.0.2.1 . tcp . 8080 }",
            "limited6 { 2001:db8::1 . tcp . 8080 }",
            "own4 { 10.90.0.2 . 10.90.0.2 }",
            "own6 { fd90::2 . fd90::2 }",
            "published4 { 192.0.2.1 . tcp . 8080 : 10.90.0.2 . 80 }",
            "published4_all { tcp . 8080 : 10.90.0.2 . 80 }",
            "published6 { 2001:db8::1 . tcp . 8080 : fd90::2 . 80 }",
            "published6_all { tcp . 8080 : fd90::2 . 80 }",
        ];
        let expected = expected.map(|line| format!("add element inet bridge_user {line}\n"));
        assert_eq!(text, expected.concat());
    }
}
