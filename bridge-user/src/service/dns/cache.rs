//! Answers of others, for as long as they allow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record};

/// Answers that are kept; each is some hundred bytes.
const ANSWERS: usize = 1000;

/// Records that an answer has at most that is kept.
const RECORDS: usize = 64;

/// Longest that an answer is kept (RFC 8767, section 4).
const POSITIVE_MAX: Duration = Duration::from_hours(24);

/// Longest that it is kept that there is none (RFC 2308, section 5).
const NEGATIVE_MAX: Duration = Duration::from_mins(5);

/// Answers, by what was asked.
#[derive(Debug)]
pub(super) struct Cache<K>(HashMap<K, Kept>);

#[derive(Debug)]
struct Kept {
    answer: Arc<Message>,
    since: Instant,
    until: Instant,
}

impl<K: Eq + std::hash::Hash + Clone> Cache<K> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// The answer, and its age in whole seconds.
    pub(super) fn get(&self, key: &K, now: Instant) -> Option<(Arc<Message>, u32)> {
        let kept = self.0.get(key).filter(|kept| now < kept.until)?;
        let age = now.duration_since(kept.since).as_secs();
        Some((Arc::clone(&kept.answer), age.try_into().unwrap_or(u32::MAX)))
    }

    /// Keeps an answer, if it allows that.
    pub(super) fn keep(&mut self, key: K, answer: Arc<Message>, now: Instant) {
        let lifetime = lifetime(&answer).filter(|lifetime| !lifetime.is_zero());
        let Some(lifetime) = lifetime else {
            return;
        };
        if self.0.len() >= ANSWERS {
            self.0.retain(|_, kept| now < kept.until);
        }
        if self.0.len() >= ANSWERS {
            let first = self.0.iter().min_by_key(|(_, kept)| kept.until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.0.remove(&first);
            }
        }
        let (since, until) = (now, now + lifetime);
        self.0.insert(
            key,
            Kept {
                answer,
                since,
                until,
            },
        );
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// How long an answer is good for: the shortest of its records, or what the zone says of names
/// that are not there (RFC 2308, section 5). Failures are not kept.
fn lifetime(answer: &Message) -> Option<Duration> {
    let code = answer.metadata.response_code;
    if answer.metadata.truncation || answer.all_sections().count() > RECORDS {
        return None;
    }
    let secs = |secs: u32| Duration::from_secs(secs.into());
    if code == ResponseCode::NoError && !answer.answers.is_empty() {
        let shortest = answer.all_sections().map(|record| record.ttl).min()?;
        return Some(secs(shortest).min(POSITIVE_MAX));
    }
    if ![ResponseCode::NoError, ResponseCode::NXDomain].contains(&code) {
        return None;
    }
    let soa = |record: &Record| match &record.data {
        RData::SOA(soa) => Some(soa.minimum.min(record.ttl)),
        _ => None,
    };
    let secs_at_most = answer.authorities.iter().find_map(soa)?;
    Some(secs(secs_at_most).min(NEGATIVE_MAX))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Name;
    use hickory_proto::rr::rdata::{A, SOA};

    use super::*;

    fn record(ttl: u32) -> Record {
        Record::from_rdata(Name::root(), ttl, RData::A(A(Ipv4Addr::LOCALHOST)))
    }

    /// An answer of records with these TTLs.
    fn answer(ttls: &[u32]) -> Message {
        let mut message = Message::response(0, OpCode::Query);
        message.answers = ttls.iter().map(|ttl| record(*ttl)).collect();
        message
    }

    /// That there is none, with a start of authority of this TTL and minimum.
    fn none(code: ResponseCode, ttl: u32, minimum: u32) -> Message {
        let mut message = Message::response(0, OpCode::Query);
        message.metadata.response_code = code;
        let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, minimum);
        let soa = Record::from_rdata(Name::root(), ttl, RData::SOA(soa));
        message.authorities.push(soa);
        message
    }

    #[test]
    fn answers_live_as_long_as_they_say_and_not_for_ever() {
        let secs = |secs| Some(Duration::from_secs(secs));
        let mut cut = answer(&[60]);
        cut.metadata.truncation = true;
        let mut failed = answer(&[60]);
        failed.metadata.response_code = ResponseCode::ServFail;
        for (message, expected) in [
            (answer(&[60]), secs(60)),
            (answer(&[60, 5, 90]), secs(5)),
            (answer(&[u32::MAX]), secs(24 * 3600)),
            (answer(&[60; RECORDS]), secs(60)),
            (answer(&[60; RECORDS + 1]), None),
            (answer(&[]), None),
            (cut, None),
            (failed, None),
            (none(ResponseCode::NXDomain, 60, 90), secs(60)),
            (none(ResponseCode::NXDomain, 90, 60), secs(60)),
            (none(ResponseCode::NoError, 9999, 9999), secs(300)),
            (none(ResponseCode::Refused, 60, 60), None),
        ] {
            assert_eq!(lifetime(&message), expected, "{message}");
        }
    }

    #[test]
    fn what_is_kept_ages_and_ends() {
        let mut cache = Cache::new();
        let now = Instant::now();
        let after = |millis| now + Duration::from_millis(millis);
        cache.keep(1, answer(&[10]).into(), now);
        cache.keep(2, answer(&[0]).into(), now);
        assert_eq!(cache.get(&1, after(9_900)).unwrap().1, 9);
        assert!(cache.get(&1, after(10_000)).is_none());
        assert!(cache.get(&2, now).is_none());
        cache.clear();
        assert!(cache.get(&1, now).is_none());
    }

    #[test]
    fn who_would_end_first_makes_room() {
        let mut cache = Cache::new();
        let now = Instant::now();
        cache.keep(0, answer(&[30]).into(), now);
        for key in 1..=ANSWERS {
            cache.keep(key, answer(&[60]).into(), now);
        }
        assert_eq!(cache.0.len(), ANSWERS);
        assert!(cache.get(&0, now).is_none() && cache.get(&ANSWERS, now).is_some());
        // Those that ended go first, all of them.
        let later = now + Duration::from_secs(61);
        cache.keep(0, answer(&[60]).into(), later);
        assert_eq!(cache.0.len(), 1);
    }
}
