//! What a question is answered with, out of the names of the moment. Pure.

use std::net::IpAddr;

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use ipnet::IpNet;

use super::names::Asker;

/// How long others may keep an answer of ours, in seconds: a record is gone the moment that
/// `net disconnect` returns.
const TTL_SECS: u32 = 0;

/// What we know of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The records, none where the name has none of this type.
    Records(Vec<Record>),
    /// No answer but this code.
    Code(ResponseCode),
    /// It is not about our names: these may know, or the host's nameservers where there are none.
    Others(Vec<IpAddr>),
}

/// Answers a question. Of several addresses, another one is the first each `turn`.
pub(super) fn answer(asker: &Asker<'_>, query: &Query, turn: usize) -> Answer {
    if query.query_class() != DNSClass::IN {
        return Answer::Code(ResponseCode::Refused);
    }
    if matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR) {
        return Answer::Code(ResponseCode::Refused);
    }
    let name = text_of(query.name());
    if let Some(addresses) = name.and_then(|name| asker.addresses(&name)) {
        let mut records = address_records(addresses, query);
        if !records.is_empty() {
            let first = turn % records.len();
            records.rotate_left(first);
        }
        return Answer::Records(records);
    }
    if let Some(address) = address_asked_for(query.name()) {
        if let Some((name, network)) = asker.name_of(address) {
            return Answer::Records(name_record(name, network, query).into_iter().collect());
        }
        if asker.is_ours(address) {
            return Answer::Code(ResponseCode::NXDomain);
        }
    }
    if asker.is_internal() {
        return Answer::Code(ResponseCode::NXDomain);
    }
    let nameservers = asker.nameservers();
    // A server on its own loopback is nobody's to ask but its own: that is next in its resolv.conf.
    if nameservers.iter().any(IpAddr::is_loopback) {
        return Answer::Code(ResponseCode::Refused);
    }
    Answer::Others(nameservers.to_vec())
}

/// A name as we keep names; `None` if it can be none of ours.
fn text_of(name: &Name) -> Option<String> {
    let mut text = String::new();
    for label in name {
        if !text.is_empty() {
            text.push('.');
        }
        // A label may hold any byte, a dot too (RFC 2181, section 11).
        if !label.is_ascii() || label.contains(&b'.') {
            return None;
        }
        text.extend(
            label
                .iter()
                .map(|byte| char::from(byte.to_ascii_lowercase())),
        );
    }
    Some(text)
}

fn address_records(addresses: &[IpAddr], query: &Query) -> Vec<Record> {
    let wanted = |kind| [kind, RecordType::ANY].contains(&query.query_type());
    let data = addresses.iter().filter_map(|address| match *address {
        IpAddr::V4(v4) => wanted(RecordType::A).then_some(RData::A(A(v4))),
        IpAddr::V6(v6) => wanted(RecordType::AAAA).then_some(RData::AAAA(AAAA(v6))),
    });
    data.map(|data| Record::from_rdata(query.name().clone(), TTL_SECS, data))
        .collect()
}

/// The address of a reverse name (RFC 1035, 3.5; RFC 3596, 2.5), if it is a whole one.
fn address_asked_for(name: &Name) -> Option<IpAddr> {
    let net: IpNet = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

/// `name.network`, as Docker says.
fn name_record(name: &str, network: &str, query: &Query) -> Option<Record> {
    if ![RecordType::PTR, RecordType::ANY].contains(&query.query_type()) {
        return None;
    }
    let labels = name.split('.').chain(network.split('.'));
    // Names of 63 bytes each, of labels of their own, make a name; one with an empty label, none.
    let target = Name::from_labels(labels.map(str::as_bytes)).ok()?;
    let data = RData::PTR(PTR(target));
    Some(Record::from_rdata(query.name().clone(), TTL_SECS, data))
}
