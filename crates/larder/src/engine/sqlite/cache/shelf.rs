//! What the cache keeps, and what it lets go when there is no more room.
//!
//! A shelf is let go of by the clock algorithm: a hand goes round over the slots, and takes the first
//! whose entry nobody has read since the hand last came by. An entry begins as not read, so that one
//! walk through a large group does not push out what is read again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashTable;

use crate::Value;
use crate::engine::Found;

/// What an entry takes beside its names and value: its slot, its place in the table, and what the
/// allocator adds to three pieces of memory.
const SLOT_BYTES: usize = size_of::<Slot>() + 64;

/// A bounded number of bytes of entries, and of keys of which it is known that they have none.
pub struct Shelf {
    /// Indices of `slots`, by the hash of group and key.
    table: HashTable<u32>,
    slots: Vec<Option<Slot>>,
    /// Indices of empty slots.
    free: Vec<u32>,
    /// Whether a group's entries are still true. To drop a group is to set its flag and forget it:
    /// its entries are let go of one by one, as the hand finds them.
    groups: HashMap<Box<str>, Arc<AtomicBool>>,
    hand: usize,
    bytes: usize,
    bytes_max: usize,
}

struct Slot {
    hash: u64,
    /// The group and the key, one after the other.
    names: Box<str>,
    group_bytes: usize,
    /// Relaxed suffices: it changes only under the shelf's exclusive lock.
    dropped: Arc<AtomicBool>,
    /// What is stored, expired or not; `None` where nothing is.
    found: Option<Found>,
    /// Whether it was read since the hand came by. Relaxed: it guards nothing.
    read: AtomicBool,
}

impl Slot {
    fn is(&self, hash: u64, group: &str, key: &str) -> bool {
        let names = self.names.as_bytes();
        self.hash == hash
            && self.group_bytes == group.len()
            && &names[self.group_bytes..] == key.as_bytes()
            && &names[..self.group_bytes] == group.as_bytes()
            && !self.dropped.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> usize {
        weight(self.names.len(), self.found.as_ref())
    }
}

fn weight(names: usize, found: Option<&Found>) -> usize {
    SLOT_BYTES + names + found.map_or(0, |found| found.value.len())
}

impl Shelf {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            groups: HashMap::new(),
            hand: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// What is known of a key: `None` is nothing, `Some(None)` that nothing is stored there.
    pub fn get(&self, hash: u64, group: &str, key: &str) -> Option<Option<&Found>> {
        let slot = self.slot(*self.table.find(hash, |&index| self.is(index, hash, group, key))?)?;
        // Only written where it changes, so that readers on several cores share the line.
        if !slot.read.load(Ordering::Relaxed) {
            slot.read.store(true, Ordering::Relaxed);
        }
        Some(slot.found.as_ref())
    }

    /// Keeps what is stored under a key, where there is room for it.
    pub fn put(&mut self, hash: u64, group: &str, key: &str, found: Option<&Found>) {
        let bytes = weight(group.len() + key.len(), found);
        if bytes > self.bytes_max {
            self.drop_key(hash, group, key);
            return;
        }
        // A copy: a value that is part of a larger piece of memory must not keep all of that.
        let found = found.map(|found| Found { value: Value::from(found.value.as_bytes()), ..*found });
        if let Some(index) = self.table.find(hash, |&index| self.is(index, hash, group, key)).copied() {
            if let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::as_mut) {
                self.bytes = self.bytes - slot.bytes() + bytes;
                slot.found = found;
            }
        } else {
            let slot = Slot {
                hash,
                names: [group, key].concat().into(),
                group_bytes: group.len(),
                dropped: self.group(group),
                found,
                read: AtomicBool::new(false),
            };
            self.insert(slot);
        }
        while self.bytes > self.bytes_max {
            self.let_one_go();
        }
    }

    /// What was stored under a key is no longer: worth knowing only where somebody has asked before.
    pub fn put_absence(&mut self, hash: u64, group: &str, key: &str) {
        if self.table.find(hash, |&index| self.is(index, hash, group, key)).is_some() {
            self.put(hash, group, key, None);
        }
    }

    /// Forgets a key.
    pub fn drop_key(&mut self, hash: u64, group: &str, key: &str) {
        if let Some(index) = self.table.find(hash, |&index| self.is(index, hash, group, key)).copied() {
            self.remove(index);
        }
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

    fn slot(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)?.as_ref()
    }

    fn is(&self, index: u32, hash: u64, group: &str, key: &str) -> bool {
        self.slot(index).is_some_and(|slot| slot.is(hash, group, key))
    }

    fn group(&mut self, group: &str) -> Arc<AtomicBool> {
        if let Some(dropped) = self.groups.get(group) {
            return Arc::clone(dropped);
        }
        let dropped = Arc::default();
        self.groups.insert(group.into(), Arc::clone(&dropped));
        dropped
    }

    fn insert(&mut self, slot: Slot) {
        // Past 4 billion slots there would be no more numbers; 64 MiB make some 300,000.
        let Ok(end) = u32::try_from(self.slots.len()) else { return };
        let hash = slot.hash;
        self.bytes += slot.bytes();
        let index = match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = Some(slot);
                index
            }
            None => {
                self.slots.push(Some(slot));
                end
            }
        };
        let slots = &self.slots;
        let rehash = |&index: &u32| slots[index as usize].as_ref().map_or(0, |slot| slot.hash);
        self.table.insert_unique(hash, index, rehash);
    }

    fn remove(&mut self, index: u32) {
        let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::take) else { return };
        self.bytes -= slot.bytes();
        self.free.push(index);
        if let Ok(place) = self.table.find_entry(slot.hash, |&found| found == index) {
            place.remove();
        }
        // The last entry of its group, beside the group's own mention of the flag.
        if Arc::strong_count(&slot.dropped) == 2 && !slot.dropped.load(Ordering::Relaxed) {
            self.groups.remove(&slot.names[..slot.group_bytes]);
        }
    }

    /// Moves the hand to an entry that can go, and lets it go.
    fn let_one_go(&mut self) {
        // Twice round at the most: the first time may find everything read.
        for _ in 0..=2 * self.slots.len() {
            self.hand = if self.hand + 1 < self.slots.len() { self.hand + 1 } else { 0 };
            let Some(slot) = self.slots.get_mut(self.hand).and_then(Option::as_mut) else { continue };
            if slot.dropped.load(Ordering::Relaxed) || !std::mem::take(slot.read.get_mut()) {
                self.remove(self.hand as u32);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Revision;
    use crate::entries::Facts;

    fn found(value: &str) -> Found {
        Found { value: value.into(), facts: Facts { revision: Revision(1), expires_at_ms: None } }
    }

    /// Names as their own hashes, and some that collide.
    fn hash(key: &str) -> u64 {
        key.len() as u64
    }

    fn value(shelf: &Shelf, group: &str, key: &str) -> Option<Option<Value>> {
        shelf.get(hash(key), group, key).map(|found| found.map(|found| found.value.clone()))
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
        let mut shelf = Shelf::new(20 * (SLOT_BYTES + 10));
        shelf.put(1, "g", "hot", Some(&found("x")));
        for number in 0..1000 {
            assert!(shelf.get(1, "g", "hot").is_some(), "pushed out by {number}");
            let key = number.to_string();
            shelf.put(number, &key, &key, Some(&found(&key)));
            assert!(shelf.bytes <= shelf.bytes_max);
        }
        let counted: usize = shelf.slots.iter().flatten().map(Slot::bytes).sum();
        assert_eq!(counted, shelf.bytes);
        assert_eq!(shelf.table.len(), shelf.slots.iter().flatten().count());
        assert!(shelf.slots.len() <= 21, "slots are used again");
        assert_eq!(shelf.groups.len(), shelf.table.len(), "groups without entries are forgotten");
    }

    #[test]
    fn what_does_not_fit_is_not_kept_and_leaves_no_older_value() {
        let mut shelf = Shelf::new(SLOT_BYTES + 100);
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
