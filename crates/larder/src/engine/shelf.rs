//! What a cache keeps, and what it evicts when it is full.
//!
//! Eviction follows the clock algorithm. A new slot begins as not read, so one walk through a large group does not evict
//! what is read again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashTable;

use super::clock_hand::ClockHand;
#[cfg(feature = "etcd")]
use crate::data::Revision;
use crate::data::{Found, Peeked, SmallValue};

/// An absence is kept only if its names are not longer, in bytes. Whoever asks for long names that nobody has, such as
/// the author of a template, pushes out little of what others read.
const ABSENCE_BYTES_MAX: usize = 1024;

/// A bounded number of bytes of entries, and of keys that are known to be absent.
pub struct Shelf {
    table: HashTable<Slot>,
    /// The flag of each group that has slots here. Dropping a group sets its flag and forgets it; the hand evicts
    /// its slots one by one.
    groups: HashMap<Box<str>, Arc<AtomicBool>>,
    hand: ClockHand,
    bytes: usize,
    bytes_max: usize,
}

struct Slot {
    hash: u64,
    found: Found,
    /// Relaxed: it changes only under the shelf's exclusive lock.
    dropped: Arc<AtomicBool>,
}

impl Slot {
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

/// The memory of a slot, in a table that is at least half full.
const fn bytes(names_and_value: usize) -> usize {
    2 * (size_of::<Slot>() + 1) + Found::memory(names_and_value)
}

/// The memory of a group's flag, in a map that is at least half full.
fn group_bytes(group: &str) -> usize {
    2 * (size_of::<(Box<str>, Arc<AtomicBool>)>() + 1) + 3 * size_of::<usize>() + group.len()
}

impl Shelf {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            table: HashTable::new(),
            groups: HashMap::new(),
            hand: ClockHand::default(),
            bytes: 0,
            bytes_max,
        }
    }

    /// What is known of a key: `None` is nothing, `Some(None)` that it is absent.
    #[inline]
    pub fn get(&self, hash: u64, group: &str, key: &str) -> Option<Option<Found>> {
        let slot = self.table.find(hash, |slot| slot.is_of(group, key))?;
        slot.found.mark_read();
        Some(slot.found.is_stored().then(|| slot.found.clone()))
    }

    /// Copies what is known of a key, if it is small.
    #[inline]
    pub fn peek(&self, hash: u64, group: &str, key: &str, into: &mut SmallValue) -> Peeked {
        match self.table.find(hash, |slot| slot.is_of(group, key)) {
            Some(slot) => {
                slot.found.mark_read();
                into.copy(&slot.found)
            }
            None => Peeked::Unknown,
        }
    }

    /// The revision of what is known of a key. This does not count as a read.
    #[cfg(feature = "etcd")]
    pub fn revision(&self, hash: u64, group: &str, key: &str) -> Option<Revision> {
        let slot = self.table.find(hash, |slot| slot.is_of(group, key))?;
        Some(slot.found.facts().revision)
    }

    /// Keeps what was found under a key, if there is room for it.
    pub fn put(&mut self, hash: u64, found: Found) {
        let old = self.take(hash, found.group(), found.key());
        let is_long_absence = !found.is_stored() && found.len() > ABSENCE_BYTES_MAX;
        if is_long_absence || bytes(found.len()) + group_bytes(found.group()) > self.bytes_max {
            return;
        }
        // A key that was read often will be read with its new value.
        if old.is_some_and(|old| old.found.take_read()) {
            found.mark_read();
        }
        let dropped = self.group(found.group());
        let slot = Slot { hash, found, dropped };
        self.bytes += slot.bytes();
        self.table.insert_unique(hash, slot, |slot| slot.hash);
        self.evict();
    }

    /// A key is absent now. That is kept only for a key that was looked up before.
    pub fn put_absence(&mut self, hash: u64, group: &str, key: &str) {
        if self.table.find(hash, |slot| slot.is_of(group, key)).is_some() {
            self.put(hash, Found::absence(group, key));
        }
    }

    /// Forgets a key.
    pub fn drop_key(&mut self, hash: u64, group: &str, key: &str) {
        self.take(hash, group, key);
    }

    /// Forgets all keys of a group, in one step for any number of keys.
    pub fn drop_group(&mut self, group: &str) {
        if let Some(dropped) = self.groups.remove(group) {
            dropped.store(true, Ordering::Relaxed);
            self.bytes -= group_bytes(group);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn group(&mut self, group: &str) -> Arc<AtomicBool> {
        if let Some(dropped) = self.groups.get(group) {
            return Arc::clone(dropped);
        }
        let dropped = Arc::default();
        self.groups.insert(group.into(), Arc::clone(&dropped));
        self.bytes += group_bytes(group);
        dropped
    }

    fn take(&mut self, hash: u64, group: &str, key: &str) -> Option<Slot> {
        let bucket = self.table.find_bucket_index(hash, |slot| slot.is_of(group, key))?;
        self.remove(bucket)
    }

    fn remove(&mut self, bucket: usize) -> Option<Slot> {
        let (slot, _) = self.table.get_bucket_entry(bucket).ok()?.remove();
        self.bytes -= slot.bytes();
        // The last slot of its group: besides it only the map holds the flag.
        if Arc::strong_count(&slot.dropped) == 2 && !slot.is_dropped() {
            self.groups.remove(slot.found.group());
            self.bytes -= group_bytes(slot.found.group());
        }
        Some(slot)
    }

    /// Changes how many bytes there may be. Nothing is evicted until [`evict`](Self::evict).
    pub fn limit(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Evicts what there is no room for.
    pub fn evict(&mut self) {
        while self.bytes > self.bytes_max {
            let may_stay = |slot: &Slot| !slot.is_dropped() && slot.found.take_read();
            let Some(bucket) = self.hand.next(&self.table, may_stay) else { return };
            self.remove(bucket);
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

    /// Hashes that collide for some names.
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
        let groups: usize = shelf.groups.keys().map(|group| group_bytes(group)).sum();
        assert_eq!(shelf.table.iter().map(Slot::bytes).sum::<usize>() + groups, shelf.bytes);
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
    fn long_names_that_nobody_has_are_not_kept_and_names_of_groups_count() {
        let mut shelf = Shelf::new(1 << 20);
        shelf.put(1, found("g", "k", "v"));
        let before = shelf.bytes;
        let long = "x".repeat(ABSENCE_BYTES_MAX + 1);
        shelf.put(2, Found::absence("g", &long));
        shelf.put(3, Found::absence(&long, "k"));
        assert_eq!(shelf.bytes, before);
        shelf.put(4, found(&long, "k", "v"));
        assert!(
            shelf.bytes > before + 2 * long.len(),
            "the name is there twice: {} bytes",
            shelf.bytes - before
        );
        shelf.drop_group(&long);
        assert!(shelf.bytes < before + 2 * long.len());
        shelf.put(2, found("g", &long, "v"));
        shelf.put(2, Found::absence("g", &long));
        assert_eq!(shelf.get(2, "g", &long).map(|found| found.is_some()), None, "what is gone is forgotten");
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
