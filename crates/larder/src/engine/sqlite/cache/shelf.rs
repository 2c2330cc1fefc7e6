//! What the cache keeps, and what it lets go when there is no more room.
//!
//! A shelf is let go of by the clock algorithm: a hand goes round over the slots, and takes the first
//! whose entry nobody has read since the hand last came by. An entry begins as not read, so that one
//! walk through a large group does not push out what is read again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashTable;

use crate::cached::Cached;
use crate::engine::Found;

/// What an entry takes in a table that is half full at least.
const PLACE_BYTES: usize = 2 * (size_of::<Cached>() + 1);

/// A bounded number of bytes of entries, and of keys of which it is known that they have none.
pub struct Shelf {
    table: HashTable<Cached>,
    /// The flag of each group that has entries here. To drop a group is to set its flag and forget it:
    /// its entries are let go of one by one, as the hand finds them.
    groups: HashMap<Box<str>, Arc<AtomicBool>>,
    /// The bucket of the table where the hand stands.
    hand: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Shelf {
    pub fn new(bytes_max: usize) -> Self {
        Self { table: HashTable::new(), groups: HashMap::new(), hand: 0, bytes: 0, bytes_max }
    }

    /// What is known of a key: `None` is nothing, `Some(None)` that nothing is stored there.
    #[inline]
    pub fn get(&self, hash: u64, group: &str, key: &str) -> Option<Option<Found>> {
        let entry = self.table.find(hash, |entry| entry.is(group, key))?;
        entry.mark_read();
        Some(entry.facts().map(|facts| Found { value: entry.clone().into(), facts }))
    }

    /// Keeps what is stored under a key, where there is room for it.
    pub fn put(&mut self, hash: u64, group: &str, key: &str, found: Option<&Found>) {
        // What was read again and again is as likely to be read with its new value.
        let read = self.take(hash, group, key).is_some_and(|old| old.take_read());
        let stored = found.map(|found| (found.value.as_bytes(), found.facts));
        let value_bytes = stored.map_or(0, |(value, _)| value.len());
        if PLACE_BYTES + Cached::bytes_of(group.len() + key.len() + value_bytes) > self.bytes_max {
            return;
        }
        let Some(entry) = Cached::new(hash, (group, key), stored, self.group(group), read) else { return };
        self.bytes += PLACE_BYTES + entry.bytes();
        self.table.insert_unique(hash, entry, Cached::hash);
        while self.bytes > self.bytes_max {
            self.let_one_go();
        }
    }

    /// What was stored under a key is no longer: worth knowing only where somebody has asked before.
    pub fn put_absence(&mut self, hash: u64, group: &str, key: &str) {
        if self.table.find(hash, |entry| entry.is(group, key)).is_some() {
            self.put(hash, group, key, None);
        }
    }

    /// Forgets a key.
    pub fn drop_key(&mut self, hash: u64, group: &str, key: &str) {
        self.take(hash, group, key);
    }

    /// Forgets all keys of a group, in one step however many there are.
    pub fn drop_group(&mut self, group: &str) {
        if let Some(dropped) = self.groups.remove(group) {
            dropped.store(true, Ordering::Relaxed);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }

    fn group(&mut self, group: &str) -> Arc<AtomicBool> {
        if let Some(dropped) = self.groups.get(group) {
            return Arc::clone(dropped);
        }
        if self.groups.len() > 2 * self.table.len() + 16 {
            // Those whose last entry was still shared when it was let go of.
            self.groups.retain(|_, dropped| Arc::strong_count(dropped) > 1);
        }
        let dropped = Arc::default();
        self.groups.insert(group.into(), Arc::clone(&dropped));
        dropped
    }

    fn take(&mut self, hash: u64, group: &str, key: &str) -> Option<Cached> {
        let bucket = self.table.find_bucket_index(hash, |entry| entry.is(group, key))?;
        self.remove(bucket)
    }

    fn remove(&mut self, bucket: usize) -> Option<Cached> {
        let (entry, _) = self.table.get_bucket_entry(bucket).ok()?.remove();
        self.bytes -= PLACE_BYTES + entry.bytes();
        // The last entry of its group, beside the group's own mention of the flag.
        if Arc::strong_count(entry.dropped()) == 2 && !entry.is_dropped() {
            self.groups.remove(entry.group());
        }
        Some(entry)
    }

    /// Moves the hand to an entry that can go, and lets it go.
    fn let_one_go(&mut self) {
        let buckets = self.table.num_buckets();
        // Twice round at the most: the first time may find everything read.
        for _ in 0..=2 * buckets {
            self.hand = if self.hand + 1 < buckets { self.hand + 1 } else { 0 };
            let Some(entry) = self.table.get_bucket(self.hand) else { continue };
            if entry.is_dropped() || !entry.take_read() {
                self.remove(self.hand);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entries::Facts;
    use crate::{Revision, Value};

    fn found(value: &str) -> Found {
        Found { value: value.into(), facts: Facts { revision: Revision(1), expires_at_ms: None } }
    }

    /// Names as their own hashes, and some that collide.
    fn hash(key: &str) -> u64 {
        key.len() as u64
    }

    fn value(shelf: &Shelf, group: &str, key: &str) -> Option<Option<Value>> {
        shelf.get(hash(key), group, key).map(|found| found.map(|found| found.value))
    }

    #[test]
    fn a_shelf_tells_groups_and_keys_apart_that_hash_alike() {
        let mut shelf = Shelf::new(1 << 20);
        for (group, key) in [("ab", "c"), ("a", "d"), ("", "e"), ("ab", "")] {
            shelf.put(hash(key), group, key, Some(&found(&format!("{group}/{key}"))));
        }
        shelf.put(hash("n"), "ab", "n", None);
        assert_eq!(value(&shelf, "ab", "c"), Some(Some("ab/c".into())));
        assert_eq!(value(&shelf, "a", "d"), Some(Some("a/d".into())));
        assert_eq!(value(&shelf, "", "e"), Some(Some("/e".into())));
        assert_eq!(value(&shelf, "ab", ""), Some(Some("ab/".into())));
        assert_eq!(value(&shelf, "ab", "n"), Some(None));
        assert_eq!(value(&shelf, "a", "c"), None);
    }

    #[test]
    fn a_shelf_never_holds_more_than_its_bytes_and_forgets_what_nobody_reads_first() {
        let mut shelf = Shelf::new(20 * (PLACE_BYTES + Cached::bytes_of(5)));
        shelf.put(1, "g", "hot", Some(&found("x")));
        for number in 0..1000 {
            assert!(shelf.get(1, "g", "hot").is_some(), "pushed out by {number}");
            let key = number.to_string();
            shelf.put(number, &key, &key, Some(&found(&key)));
            assert!(shelf.bytes <= shelf.bytes_max);
        }
        assert_eq!(shelf.table.iter().map(|entry| PLACE_BYTES + entry.bytes()).sum::<usize>(), shelf.bytes);
        assert_eq!(shelf.groups.len(), shelf.table.len(), "groups without entries are forgotten");
    }

    #[test]
    fn what_does_not_fit_is_not_kept_and_leaves_no_older_value() {
        let mut shelf = Shelf::new(PLACE_BYTES + Cached::bytes_of(100));
        shelf.put(1, "g", "k", Some(&found("small")));
        shelf.put(1, "g", "k", Some(&found(&"x".repeat(1000))));
        assert_eq!(shelf.get(1, "g", "k"), None);
        assert_eq!(shelf.bytes, 0);
    }

    #[test]
    fn a_dropped_group_is_gone_at_once_and_can_come_back() {
        let mut shelf = Shelf::new(1 << 20);
        for key in ["a", "bb", "ccc"] {
            shelf.put(hash(key), "g", key, Some(&found(key)));
            shelf.put(hash(key), "h", key, Some(&found(key)));
        }
        shelf.drop_group("g");
        assert_eq!(value(&shelf, "g", "a"), None);
        assert_eq!(value(&shelf, "h", "a"), Some(Some("a".into())));
        shelf.put(hash("a"), "g", "a", Some(&found("new")));
        assert_eq!(value(&shelf, "g", "a"), Some(Some("new".into())));
        assert_eq!(value(&shelf, "g", "bb"), None);
        shelf.put_absence(hash("bb"), "g", "bb");
        assert_eq!(value(&shelf, "g", "bb"), None, "nobody asked for it");
        shelf.put_absence(hash("a"), "g", "a");
        assert_eq!(value(&shelf, "g", "a"), Some(None));
    }
}
