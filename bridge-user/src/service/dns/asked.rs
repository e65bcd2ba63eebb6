//! Questions that are on their way to others, each once, and a share of the room for each client. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::OnceCell;

/// Questions on their way from which on a client gets no more than its share: as many as Docker has.
const QUESTIONS: usize = 1024;

/// Questions, by what tells them apart, and what will be found.
#[derive(Debug)]
pub(super) struct Asked<K, F> {
    questions: HashMap<K, Place<F>>,
    /// How many of them are of whom: of those who asked them first.
    held: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Place<F> {
    client: IpAddr,
    found: Arc<OnceCell<F>>,
}

impl<K: Eq + Hash, F> Asked<K, F> {
    pub(super) fn new() -> Self {
        Self {
            questions: HashMap::new(),
            held: HashMap::new(),
        }
    }

    /// The question's place, and whether it is new there. `None`: there are too many, and the client
    /// has its share of them. Who has none gets one, whatever others have.
    pub(super) fn join(&mut self, key: K, client: IpAddr) -> Option<(Arc<OnceCell<F>>, bool)> {
        if let Some(place) = self.questions.get(&key) {
            return Some((Arc::clone(&place.found), false));
        }
        let held = self.held.get(&client).copied().unwrap_or_default();
        let clients = self.held.len() + usize::from(held == 0);
        if self.questions.len() >= QUESTIONS && held > 0 && held >= QUESTIONS / clients {
            return None;
        }
        self.held.insert(client, held + 1);
        let found = Arc::new(OnceCell::new());
        let place = Place {
            client,
            found: Arc::clone(&found),
        };
        self.questions.insert(key, place);
        Some((found, true))
    }

    /// Gives the place back that a question had; another that came to it later keeps it.
    pub(super) fn leave(&mut self, key: &K, done: &Arc<OnceCell<F>>) {
        let is_it = |place: &Place<F>| Arc::ptr_eq(&place.found, done);
        if !self.questions.get(key).is_some_and(is_it) {
            return;
        }
        let Some(Place { client, .. }) = self.questions.remove(key) else {
            return;
        };
        if let Some(held) = self.held.get_mut(&client) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: usize) -> IpAddr {
        IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()])
    }

    /// How many of so many new questions of one client have a place.
    fn asks(asked: &mut Asked<(usize, usize), ()>, n: usize, count: usize) -> usize {
        let first = asked.questions.len();
        let keys = (first..first + count).map(|question| (n, question));
        keys.filter(|key| asked.join(*key, client(n)).is_some())
            .count()
    }

    #[test]
    fn whoever_comes_late_has_a_share() {
        let mut asked = Asked::new();
        for n in 0..16 {
            assert_eq!(asks(&mut asked, n, 64), 64);
        }
        // All have what they may, and more.
        for n in 0..16 {
            assert_eq!(asks(&mut asked, n, 64), 0);
        }
        for n in 16..32 {
            assert_eq!(asks(&mut asked, n, 64), QUESTIONS / (n + 1));
        }
        for n in 32..=255 {
            assert!(asks(&mut asked, n, 64) >= QUESTIONS / 256);
        }
        assert!(asked.questions.len() < 4 * QUESTIONS);
        let key = (3, usize::MAX);
        assert!(asked.join(key, client(3)).is_none());
    }

    #[test]
    fn who_asks_the_same_waits_for_the_same_and_leaves_once() {
        let mut asked: Asked<&str, ()> = Asked::new();
        let (first, is_new) = asked.join("a", client(1)).unwrap();
        let (second, is_new_too) = asked.join("a", client(2)).unwrap();
        assert!(is_new && !is_new_too && Arc::ptr_eq(&first, &second));
        asked.leave(&"a", &second);
        assert!(asked.questions.is_empty() && asked.held.is_empty());
        let (later, is_new) = asked.join("a", client(2)).unwrap();
        assert!(is_new && !Arc::ptr_eq(&first, &later));
        // Who waited for the first is late to leave.
        asked.leave(&"a", &first);
        assert_eq!(asked.held[&client(2)], 1);
    }
}
