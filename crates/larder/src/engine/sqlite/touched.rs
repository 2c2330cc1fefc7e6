//! What of the cache an open SQLite transaction may still believe.

use hashbrown::HashSet;

/// Room for how many keys is kept from one transaction to the next.
const KEPT_MAX: usize = 64;

/// The keys that the transaction has written, rolled back or not: the cache has what was committed, so
/// for these only SQLite can answer.
#[derive(Default)]
pub(super) struct Touched {
    /// By their hashes: two that hash alike cost a query, and no more.
    keys: HashSet<u64>,
    everything: bool,
}

impl Touched {
    /// A new transaction; `trusted` is whether the cache has what is committed at its beginning.
    pub fn begin(&mut self, trusted: bool) {
        // To clear a set costs as much as it has room for.
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

    /// More was written than is worth counting.
    pub fn everything(&mut self) {
        self.everything = true;
    }

    /// Whether the cache's word on a key counts.
    pub fn is_untouched(&self, hash: u64) -> bool {
        !self.everything && !self.keys.contains(&hash)
    }
}
