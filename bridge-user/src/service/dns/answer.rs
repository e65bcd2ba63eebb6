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

#[cfg(test)]
mod tests {
    use super::super::names::Names;
    use super::super::names::tests::{endpoint, id, network, run};
    use super::*;

    /// What the sandbox at 10.1.0.2 is answered; 10.1.0.2 and .3 share the alias `www`.
    fn ask(names: &Names, name: &str, kind: RecordType, turn: usize) -> Answer {
        let client = "10.1.0.2".parse().unwrap();
        let asker = names.asker(Some(&id(1)), client).unwrap();
        let name = Name::from_ascii(name).unwrap();
        answer(&asker, &Query::query(name, kind), turn)
    }

    fn names(internal: bool, dns: &[&str]) -> Names {
        let mut one = network(1);
        one.internal = internal;
        let endpoints = [endpoint(1, 2, "a"), endpoint(1, 3, "b")];
        Names::new(&[one], &endpoints, vec![run(2, dns)])
    }

    fn data(answer: Answer) -> Vec<String> {
        match answer {
            Answer::Records(records) => records.iter().map(|r| r.data.to_string()).collect(),
            answer => panic!("{answer:?}"),
        }
    }

    #[test]
    fn ours_are_answered_in_turns_and_both_ways() {
        let names = names(false, &[]);
        let www = |turn| data(ask(&names, "WWW.", RecordType::A, turn));
        assert_eq!(www(0), ["10.1.0.2", "10.1.0.3"]);
        assert_eq!(www(1), ["10.1.0.3", "10.1.0.2"]);
        // It is there, and has no address of this family.
        assert_eq!(data(ask(&names, "b.", RecordType::AAAA, 0)), [""; 0]);
        let reverse = |name| ask(&names, name, RecordType::PTR, 0);
        assert_eq!(data(reverse("3.0.1.10.in-addr.arpa.")), ["b.net1."]);
        let nobody = Answer::Code(ResponseCode::NXDomain);
        assert_eq!(reverse("77.0.1.10.in-addr.arpa."), nobody);
        assert_eq!(
            reverse("7.100.51.198.in-addr.arpa."),
            Answer::Others(vec![])
        );
    }

    #[test]
    fn what_nobody_may_ask_is_refused() {
        let refused = Answer::Code(ResponseCode::Refused);
        let names = names(false, &[]);
        for kind in [RecordType::AXFR, RecordType::IXFR] {
            assert_eq!(ask(&names, "b.", kind, 0), refused);
        }
        let client = "10.1.0.2".parse().unwrap();
        let asker = names.asker(Some(&id(1)), client).unwrap();
        let mut chaos = Query::query(Name::from_ascii("b.").unwrap(), RecordType::A);
        chaos.set_query_class(DNSClass::CH);
        assert_eq!(answer(&asker, &chaos, 0), refused);
    }

    #[test]
    fn others_names_are_asked_where_the_sandbox_says() {
        let given = vec!["192.0.2.1".parse().unwrap()];
        let nobody = Answer::Code(ResponseCode::NXDomain);
        let itself = Answer::Code(ResponseCode::Refused);
        for (internal, dns, expected) in [
            (false, &[][..], Answer::Others(vec![])),
            (false, &["192.0.2.1"], Answer::Others(given)),
            (false, &["192.0.2.1", "127.0.0.1"], itself),
            (true, &["192.0.2.1"], nobody),
        ] {
            let names = names(internal, dns);
            let found = ask(&names, "site.example.", RecordType::A, 0);
            assert_eq!(found, expected, "{dns:?}");
            assert_eq!(data(ask(&names, "b.", RecordType::A, 0)), ["10.1.0.3"]);
        }
    }
}
