//! What one client may use up, so that something is left for the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Questions a second that one client may ask on and on: what it costs to answer them is not its
/// own time.
const QUESTIONS_PER_SEC: f64 = 30_000.0;

/// Questions that it may ask at once.
const BURST: f64 = 10_000.0;

/// Connections that it may have.
const CONNECTIONS: u32 = 16;

/// Questions of one client that others are asked at a time; Docker asks 1024 for all together.
const FORWARDS: u32 = 64;

/// Clients that are remembered while they ask nothing.
const CLIENTS: usize = 4096;

/// What clients use.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<HashMap<IpAddr, Use>>);

#[derive(Debug)]
struct Use {
    questions: f64,
    since: Instant,
    connections: u32,
    forwards: u32,
}

/// Of what a client uses one more, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Held {
    limits: Arc<Limits>,
    client: IpAddr,
    what: What,
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Connection,
    Forward,
}

impl Limits {
    /// Whether a client may ask one question more.
    pub(super) fn may_ask(&self, client: IpAddr, now: Instant) -> bool {
        self.with(client, now, |used| {
            let elapsed = now.saturating_duration_since(used.since).as_secs_f64();
            used.since = now;
            used.questions = (used.questions + elapsed * QUESTIONS_PER_SEC).min(BURST);
            let may = used.questions >= 1.0;
            if may {
                used.questions -= 1.0;
            }
            may
        })
    }

    /// Holds one more for a client, if it has not all that it may have.
    pub(super) fn hold(self: &Arc<Self>, client: IpAddr, what: What) -> Option<Held> {
        let held = self.with(client, Instant::now(), |used| {
            let (count, most) = used.count(what);
            let may = *count < most;
            *count += u32::from(may);
            may
        });
        held.then(|| Held {
            limits: Arc::clone(self),
            client,
            what,
        })
    }

    fn with<T>(&self, client: IpAddr, now: Instant, change: impl FnOnce(&mut Use) -> T) -> T {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= CLIENTS && !clients.contains_key(&client) {
            clients.retain(|_, used| used.connections + used.forwards > 0);
        }
        change(clients.entry(client).or_insert(Use {
            questions: BURST,
            since: now,
            connections: 0,
            forwards: 0,
        }))
    }
}

impl Use {
    fn count(&mut self, what: What) -> (&mut u32, u32) {
        match what {
            What::Connection => (&mut self.connections, CONNECTIONS),
            What::Forward => (&mut self.forwards, FORWARDS),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let less = |used: &mut Use| *used.count(self.what).0 -= 1;
        self.limits.with(self.client, Instant::now(), less);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3));

    #[test]
    fn who_asks_too_much_waits_and_others_do_not() {
        let limits = Limits::default();
        let start = Instant::now();
        let asked = (0..20_000).filter(|_| limits.may_ask(A, start)).count();
        assert_eq!(asked, 10_000);
        assert!(limits.may_ask(B, start));
        let later = start + Duration::from_millis(10);
        let asked = (0..10_000).filter(|_| limits.may_ask(A, later)).count();
        assert!((299..=301).contains(&asked), "{asked}");
    }

    #[test]
    fn what_is_held_is_given_back() {
        let limits = Arc::new(Limits::default());
        let held: Vec<_> = (0..20)
            .map_while(|_| limits.hold(A, What::Connection))
            .collect();
        assert_eq!(held.len(), 16);
        assert!(limits.hold(A, What::Connection).is_none());
        assert!(
            limits.hold(B, What::Connection).is_some() && limits.hold(A, What::Forward).is_some()
        );
        drop(held);
        assert!(limits.hold(A, What::Connection).is_some());
    }

    #[test]
    fn who_is_silent_is_forgotten_before_memory_runs_out() {
        let limits = Arc::new(Limits::default());
        let held = limits.hold(A, What::Forward);
        for n in 0..100_000_u32 {
            limits.may_ask(IpAddr::V4(n.into()), Instant::now());
        }
        assert!(limits.0.lock().unwrap().len() <= CLIENTS);
        drop(held);
    }
}
