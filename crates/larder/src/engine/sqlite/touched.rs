//! The keys for which an open SQLite transaction must not ask the cache.

use hashbrown::HashSet;

/// How many keys of capacity are kept from one transaction to the next.
const KEPT_MAX: usize = 64;

/// The keys that the transaction has written, rolled back or not. The cache has the committed values, so for
/// these keys only SQLite can answer.
#[derive(Default)]
pub(super) struct Touched {
    /// Their hashes. A collision costs a query and nothing else.
    keys: HashSet<u64>,
    everything: bool,
}

impl Touched {
    /// Starts a transaction. `trusted` is whether the cache has what is committed at its beginning.
    pub fn begin(&mut self, trusted: bool) {
        // Clearing a set costs as much as its capacity.
        if self.keys.capacity() > KEPT_MAX {
            self.keys = HashSet::default();
        }
        self.keys.clear();
        self.everything = !trusted;
    }

    /// A key was written.
    pub fn key(&mut self, hash: u64) {
        if !self.everything {
            self.keys.insert(hash);
        }
    }

    /// More keys were written than are worth listing.
    pub fn everything(&mut self) {
        self.everything = true;
    }

    /// Whether the cache may answer for a key.
    pub fn is_untouched(&self, hash: u64) -> bool {
        !self.everything && !self.keys.contains(&hash)
    }
}
