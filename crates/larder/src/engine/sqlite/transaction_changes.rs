//! What the open SQLite transaction has changed.

use std::sync::Arc;

use super::open_revision::EVENTS_MAX;
use super::touched::Touched;
use crate::data::Event;
use crate::engine::Interest;

/// The changes since `BEGIN`.
pub(super) struct TransactionChanges {
    /// For the cache; not all of them, where there are very many.
    pub fresh: Vec<Arc<Event>>,
    /// How many there are.
    pub added: u64,
    /// The soonest expiry that was set, in Unix milliseconds.
    pub soonest_ms: Option<i64>,
    /// Whether something was written that the log does not tell of: a quota, a cursor, a history.
    pub is_unlogged: bool,
    /// Whether the log may be pruned further in parts to which nothing was added.
    pub frees_log: bool,
    /// The keys for which the cache may not answer.
    pub touched: Touched,
    pub interest: Interest,
    /// Whether a caller's closure takes part.
    pub has_closure: bool,
    /// The bytes of names and values that were written to the log, also by what was rolled back.
    pub logged_bytes: u64,
}

impl Default for TransactionChanges {
    fn default() -> Self {
        Self {
            fresh: Vec::new(),
            added: 0,
            soonest_ms: None,
            is_unlogged: false,
            frees_log: false,
            touched: Touched::default(),
            interest: Interest::None,
            has_closure: false,
            logged_bytes: 0,
        }
    }
}

impl TransactionChanges {
    /// Starts anew. `trusted` is whether the cache holds what is committed now.
    pub fn begin(&mut self, interest: Interest, trusted: bool) {
        // Not replaced as a whole: the buffers keep their room from one transaction to the next.
        self.fresh.clear();
        self.touched.begin(trusted);
        self.added = 0;
        self.soonest_ms = None;
        self.is_unlogged = false;
        self.frees_log = false;
        self.interest = interest;
        self.has_closure = false;
    }

    /// An entry was set that expires then.
    pub fn expires(&mut self, at_ms: i64) {
        self.soonest_ms = Some(self.soonest_ms.map_or(at_ms, |soonest| soonest.min(at_ms)));
    }

    /// Whether one more change is kept for the cache.
    pub fn has_room(&self) -> bool {
        self.fresh.len() < EVENTS_MAX
    }

    /// Whether every change was kept for the cache.
    pub fn has_all_changes(&self) -> bool {
        self.fresh.len() as u64 == self.added
    }
}
