//! What a cache evicts first: the clock algorithm.
//!
//! A hand goes round over the slots of a table and takes the first that was not read since it last passed.

use hashbrown::HashTable;

/// The bucket at which the hand stands.
#[derive(Default)]
pub struct ClockHand(usize);

impl ClockHand {
    /// Moves on to a slot that may be evicted, and returns its bucket. `take_read` returns whether a slot was read since it
    /// was last asked.
    pub fn next<T>(&mut self, table: &HashTable<T>, take_read: impl Fn(&T) -> bool) -> Option<usize> {
        let buckets = table.num_buckets();
        // Twice round at most: the first round may find every slot read.
        for _ in 0..=2 * buckets {
            self.0 = if self.0 + 1 < buckets { self.0 + 1 } else { 0 };
            if table.get_bucket(self.0).is_some_and(|slot| !take_read(slot)) {
                return Some(self.0);
            }
        }
        None
    }
}
