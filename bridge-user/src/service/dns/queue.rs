//! Questions that wait, in turns by client: who asks a lot waits for itself, and nobody else does.
//! Pure.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Questions of one client that wait; more are lost, as in a full socket.
const OF_ONE: usize = 8192;

/// Questions of all.
const OF_ALL: usize = 32_768;

/// Questions of one client that are answered before it is another's turn.
const TURN: usize = 64;

/// Waiting questions of one socket.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: HashMap<IpAddr, VecDeque<Waiting>>,
    /// Whose turn it is, and who is next.
    turns: VecDeque<IpAddr>,
    length: usize,
}

/// A question as it came.
pub(super) type Waiting = (SocketAddr, Box<[u8]>);

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Lets a question wait, if there is room for it.
    pub(super) fn push(&mut self, client: SocketAddr, bytes: &[u8]) {
        let of_one = self.waiting.entry(client.ip()).or_default();
        if of_one.is_empty() {
            self.turns.push_back(client.ip());
        }
        // One at least of each client: others cannot take all the room.
        if of_one.is_empty() || (of_one.len() < OF_ONE && self.length < OF_ALL) {
            of_one.push_back((client, bytes.into()));
            self.length += 1;
        }
    }

    /// The questions of the next client whose turn it is.
    pub(super) fn take_turn(&mut self) -> Vec<Waiting> {
        let Some(client) = self.turns.pop_front() else {
            return Vec::new();
        };
        let Some(of_one) = self.waiting.get_mut(&client) else {
            return Vec::new();
        };
        let taken: Vec<Waiting> = of_one.drain(..of_one.len().min(TURN)).collect();
        self.length -= taken.len();
        if of_one.is_empty() {
            self.waiting.remove(&client);
        } else {
            self.turns.push_back(client);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 1000))
    }

    #[test]
    fn clients_take_turns_and_none_is_lost() {
        let mut queue = Queue::default();
        for n in 0..1000_u16 {
            queue.push(client(1), &n.to_be_bytes());
        }
        queue.push(client(2), b"y");
        let first = queue.take_turn();
        assert_eq!(first.len(), TURN);
        assert_eq!(&*first[1].1, 1_u16.to_be_bytes());
        let second = queue.take_turn();
        assert!(second.len() == 1 && second[0].0 == client(2));
        let mut rest = 0;
        while !queue.is_empty() {
            rest += queue.take_turn().len();
        }
        assert_eq!((rest, queue.length), (1000 - TURN, 0));
        assert!(queue.waiting.is_empty(), "who has asked all is forgotten");
    }

    #[test]
    fn nobody_takes_all_the_room() {
        let mut queue = Queue::default();
        for n in 1..=10 {
            for _ in 0..100_000 {
                queue.push(client(n), b"x");
            }
        }
        queue.push(client(11), b"y");
        assert!(queue.length <= OF_ALL + 11, "{}", queue.length);
        let turns = std::iter::from_fn(|| Some(queue.take_turn()));
        assert!(turns.take(11).any(|turn| turn[0].0 == client(11)));
    }
}
