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
