//! What was asked, by what became of it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::QuestionCounts;

/// The counters of a [`QuestionCounts`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) answered: AtomicU64,
    pub(super) forwarded: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) limited: AtomicU64,
}

impl Counts {
    /// The numbers of this moment.
    pub(super) fn read(&self) -> QuestionCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        QuestionCounts {
            answered: read(&self.answered),
            forwarded: read(&self.forwarded),
            malformed: read(&self.malformed),
            limited: read(&self.limited),
        }
    }
}
