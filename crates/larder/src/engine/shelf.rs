//! What the cache keeps, and what it lets go when there is no more room.
//!
//! Places are let go of by the clock algorithm: a hand goes round over them, and takes the first that
//! nobody has read since the hand last came by. A new one begins as not read, so that one walk through
//! a large group does not push out what is read again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashTable;

use crate::data::Found;
#[cfg(feature = "etcd")]
use crate::data::Revision;

/// A bounded number of bytes of what was found under keys, and of keys under which nothing was.
pub struct Shelf {
    table: HashTable<Place>,
    /// The flag of each group that has places here. To drop a group is to set its flag and forget it:
    /// its places are let go of one by one, as the hand finds them.
    groups: HashMap<Box<str>, Arc<AtomicBool>>,
    /// The bucket of the table where the hand stands.
    hand: usize,
    bytes: usize,
    bytes_max: usize,
}

struct Place {
    hash: u64,
    found: Found,
    /// Relaxed suffices: it changes only under the shelf's exclusive lock.
    dropped: Arc<AtomicBool>,
}

impl Place {
    #[inline]
    fn is_of(&self, group: &str, key: &str) -> bool {
        self.found.is_of(group, key) && !self.is_dropped()
    }

    #[inline]
    fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> usize {
        bytes(self.found.len())
    }
}

/// What a place takes up, in a table that is half full at least.
const fn bytes(names_and_value: usize) -> usize {
    2 * (size_of::<Place>() + 1) + Found::memory(names_and_value)
}

impl Shelf {
    pub fn new(bytes_max: usize) -> Self {
        Self { table: HashTable::new(), groups: HashMap::new(), hand: 0, bytes: 0, bytes_max }
    }

    /// What is known of a key: `None` is nothing, `Some(None)` that nothing is stored there.
    #[inline]
    pub fn get(&self, hash: u64, group: &str, key: &str) -> Option<Option<Found>> {
        let place = self.table.find(hash, |place| place.is_of(group, key))?;
        place.found.mark_read();
        Some(place.found.is_stored().then(|| place.found.clone()))
    }

    /// The revision of what is known of a key. That does not count as reading it.
    #[cfg(feature = "etcd")]
    pub fn revision(&self, hash: u64, group: &str, key: &str) -> Option<Revision> {
        let place = self.table.find(hash, |place| place.is_of(group, key))?;
        Some(place.found.facts().revision)
    }

    /// Keeps what was found under a key, where there is room for it.
    pub fn put(&mut self, hash: u64, found: Found) {
        let old = self.take(hash, found.group(), found.key());
        if bytes(found.len()) > self.bytes_max {
            return;
        }
        // What was read again and again is as likely to be read with its new value.
        if old.is_some_and(|old| old.found.take_read()) {
            found.mark_read();
        }
        let dropped = self.group(found.group());
        let place = Place { hash, found, dropped };
        self.bytes += place.bytes();
        self.table.insert_unique(hash, place, |place| place.hash);
        while self.bytes > self.bytes_max {
            self.let_one_go();
        }
    }

    /// What was stored under a key is no longer: worth knowing only where somebody has asked before.
    pub fn put_absence(&mut self, hash: u64, group: &str, key: &str) {
        if self.table.find(hash, |place| place.is_of(group, key)).is_some() {
            self.put(hash, Found::absence(group, key));
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
        let dropped = Arc::default();
        self.groups.insert(group.into(), Arc::clone(&dropped));
        dropped
    }

    fn take(&mut self, hash: u64, group: &str, key: &str) -> Option<Place> {
        let bucket = self.table.find_bucket_index(hash, |place| place.is_of(group, key))?;
        self.remove(bucket)
    }

    fn remove(&mut self, bucket: usize) -> Option<Place> {
        let (place, _) = self.table.get_bucket_entry(bucket).ok()?.remove();
        self.bytes -= place.bytes();
        // The last of its group, beside the group's own mention of the flag.
        if Arc::strong_count(&place.dropped) == 2 && !place.is_dropped() {
            self.groups.remove(place.found.group());
        }
        Some(place)
    }

    /// Moves the hand to a place that can go, and lets it go.
    fn let_one_go(&mut self) {
        let buckets = self.table.num_buckets();
        // Twice round at the most: the first time may find everything read.
        for _ in 0..=2 * buckets {
            self.hand = if self.hand + 1 < buckets { self.hand + 1 } else { 0 };
            let Some(place) = self.table.get_bucket(self.hand) else { continue };
            if place.is_dropped() || !place.found.take_read() {
                self.remove(self.hand);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Facts, Revision, Value};

    fn found(group: &str, key: &str, value: &str) -> Found {
        let facts = Facts { revision: Revision(1), expires_at_ms: None };
        Found::new(group, key, value.as_bytes(), facts)
    }

    /// Names as their own hashes, and some that collide.
    fn hash(key: &str) -> u64 {
        key.len() as u64
    }

    fn value(shelf: &Shelf, group: &str, key: &str) -> Option<Option<Value>> {
        shelf.get(hash(key), group, key).map(|found| found.map(Value::from))
    }

    #[test]
    fn a_shelf_tells_groups_and_keys_apart_that_hash_alike() {
        let mut shelf = Shelf::new(1 << 20);
        for (group, key) in [("ab", "c"), ("a", "d"), ("", "e"), ("ab", "")] {
            shelf.put(hash(key), found(group, key, &format!("{group}/{key}")));
        }
        shelf.put(hash("n"), Found::absence("ab", "n"));
        assert_eq!(value(&shelf, "ab", "c"), Some(Some("ab/c".into())));
        assert_eq!(value(&shelf, "a", "d"), Some(Some("a/d".into())));
        assert_eq!(value(&shelf, "", "e"), Some(Some("/e".into())));
        assert_eq!(value(&shelf, "ab", ""), Some(Some("ab/".into())));
        assert_eq!(value(&shelf, "ab", "n"), Some(None));
        assert_eq!(value(&shelf, "a", "c"), None);
    }

    #[test]
    fn a_shelf_never_holds_more_than_its_bytes_and_forgets_what_nobody_reads_first() {
        let mut shelf = Shelf::new(20 * bytes(5));
        shelf.put(1, found("g", "hot", "x"));
        for number in 0..1000 {
            assert!(shelf.get(1, "g", "hot").is_some(), "pushed out by {number}");
            let key = number.to_string();
            shelf.put(number, found(&key, &key, &key));
            assert!(shelf.bytes <= shelf.bytes_max);
        }
        assert_eq!(shelf.table.iter().map(Place::bytes).sum::<usize>(), shelf.bytes);
        assert_eq!(shelf.groups.len(), shelf.table.len(), "groups without entries are forgotten");
    }

    #[test]
    fn what_does_not_fit_is_not_kept_and_leaves_no_older_value() {
        let mut shelf = Shelf::new(bytes(100));
        shelf.put(1, found("g", "k", "small"));
        shelf.put(1, found("g", "k", &"x".repeat(1000)));
        assert!(shelf.get(1, "g", "k").is_none());
        assert_eq!(shelf.bytes, 0);
    }

    #[test]
    fn a_dropped_group_is_gone_at_once_and_can_come_back() {
        let mut shelf = Shelf::new(1 << 20);
        for key in ["a", "bb", "ccc"] {
            shelf.put(hash(key), found("g", key, key));
            shelf.put(hash(key), found("h", key, key));
        }
        shelf.drop_group("g");
        assert_eq!(value(&shelf, "g", "a"), None);
        assert_eq!(value(&shelf, "h", "a"), Some(Some("a".into())));
        shelf.put(hash("a"), found("g", "a", "new"));
        assert_eq!(value(&shelf, "g", "a"), Some(Some("new".into())));
        assert_eq!(value(&shelf, "g", "bb"), None);
        shelf.put_absence(hash("bb"), "g", "bb");
        assert_eq!(value(&shelf, "g", "bb"), None, "nobody asked for it");
        shelf.put_absence(hash("a"), "g", "a");
        assert_eq!(value(&shelf, "g", "a"), Some(None));
    }
}
