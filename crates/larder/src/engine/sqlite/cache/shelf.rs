//! What the cache keeps, and what it lets go when there is no more room.
//!
//! A shelf is let go of by the clock algorithm: a hand goes round over the slots, and takes the first
//! whose entry nobody has read since the hand last came by. An entry begins as not read, so that one
//! walk through a large group does not push out what is read again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hashbrown::HashTable;

use crate::Value;
use crate::engine::Found;
use crate::entries::Facts;

/// What an entry takes beside its names and value: its slot in a table that is at least half full, and
/// what the allocator and the count of references add to the block.
const SLOT_BYTES: usize = 2 * size_of::<Slot>() + 40;

/// A bounded number of bytes of entries, and of keys of which it is known that they have none.
pub struct Shelf {
    table: HashTable<Slot>,
    /// Whether a group's entries are still true. To drop a group is to set its flag and forget it:
    /// its entries are let go of one by one, as the hand finds them.
    groups: HashMap<Box<str>, Arc<AtomicBool>>,
    /// The bucket of the table where the hand stands.
    hand: usize,
    bytes: usize,
    bytes_max: usize,
}

struct Slot {
    hash: u64,
    /// Group, key and value one after the other, in one piece of memory where they are small, so that
    /// a hit looks at as few places as it can.
    block: Bytes,
    group_bytes: u32,
    names_bytes: u32,
    /// Relaxed suffices: it changes only under the shelf's exclusive lock.
    dropped: Arc<AtomicBool>,
    /// What is stored beside the value, expired or not; `None` where nothing is stored.
    facts: Option<Facts>,
    /// Whether it was read since the hand came by. Relaxed: it guards nothing.
    read: AtomicBool,
}

impl Slot {
    #[inline]
    fn is(&self, hash: u64, group: &str, key: &str) -> bool {
        let (group_bytes, names_bytes) = (self.group_bytes as usize, self.names_bytes as usize);
        self.hash == hash
            && group_bytes == group.len()
            && names_bytes == group.len() + key.len()
            && self.block[group_bytes..names_bytes] == *key.as_bytes()
            && self.block[..group_bytes] == *group.as_bytes()
            && !self.dropped.load(Ordering::Relaxed)
    }

    #[inline]
    fn found(&self) -> Option<Found> {
        let value = Value::from(self.block.slice(self.names_bytes as usize..));
        self.facts.map(|facts| Found { value, facts })
    }

    fn bytes(&self) -> usize {
        SLOT_BYTES + self.block.len()
    }
}

/// A small block together with the count of those who hold it.
struct Inline<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> AsRef<[u8]> for Inline<N> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Copies the parts of a block together. It is a copy in any case: a value that is part of a larger
/// piece of memory must not keep all of that.
fn block(parts: [&[u8]; 3]) -> Bytes {
    fn inline<const N: usize>(parts: [&[u8]; 3]) -> Bytes {
        let (mut bytes, mut len) = ([0; N], 0);
        for part in parts {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
        Bytes::from_owner(Inline { bytes, len })
    }
    match parts.iter().map(|part| part.len()).sum() {
        0..=48 => inline::<48>(parts),
        49..=112 => inline::<112>(parts),
        113..=176 => inline::<176>(parts),
        177..=304 => inline::<304>(parts),
        _ => Bytes::from_owner(parts.concat()),
    }
}

impl Shelf {
    pub fn new(bytes_max: usize) -> Self {
        Self { table: HashTable::new(), groups: HashMap::new(), hand: 0, bytes: 0, bytes_max }
    }

    /// What is known of a key: `None` is nothing, `Some(None)` that nothing is stored there.
    #[inline]
    pub fn get(&self, hash: u64, group: &str, key: &str) -> Option<Option<Found>> {
        let slot = self.table.find(hash, |slot| slot.is(hash, group, key))?;
        // Only written where it changes, so that readers on several cores share the line.
        if !slot.read.load(Ordering::Relaxed) {
            slot.read.store(true, Ordering::Relaxed);
        }
        Some(slot.found())
    }

    /// Keeps what is stored under a key, where there is room for it.
    pub fn put(&mut self, hash: u64, group: &str, key: &str, found: Option<&Found>) {
        let old = self.take(hash, group, key);
        let value = found.map_or(&[][..], |found| found.value.as_bytes());
        if SLOT_BYTES + group.len() + key.len() + value.len() > self.bytes_max {
            return;
        }
        let (Ok(group_bytes), Ok(names_bytes)) =
            (u32::try_from(group.len()), u32::try_from(group.len() + key.len()))
        else {
            return;
        };
        let slot = Slot {
            hash,
            block: block([group.as_bytes(), key.as_bytes(), value]),
            group_bytes,
            names_bytes,
            dropped: self.group(group),
            facts: found.map(|found| found.facts),
            // What was read again and again is as likely to be read with its new value.
            read: old.map_or_else(AtomicBool::default, |old| old.read),
        };
        self.bytes += slot.bytes();
        self.table.insert_unique(hash, slot, |slot| slot.hash);
        while self.bytes > self.bytes_max {
            self.let_one_go();
        }
    }

    /// What was stored under a key is no longer: worth knowing only where somebody has asked before.
    pub fn put_absence(&mut self, hash: u64, group: &str, key: &str) {
        if self.table.find(hash, |slot| slot.is(hash, group, key)).is_some() {
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
        let dropped = Arc::default();
        self.groups.insert(group.into(), Arc::clone(&dropped));
        dropped
    }

    fn take(&mut self, hash: u64, group: &str, key: &str) -> Option<Slot> {
        let bucket = self.table.find_bucket_index(hash, |slot| slot.is(hash, group, key))?;
        self.remove(bucket)
    }

    fn remove(&mut self, bucket: usize) -> Option<Slot> {
        let (slot, _) = self.table.get_bucket_entry(bucket).ok()?.remove();
        self.bytes -= slot.bytes();
        // The last entry of its group, beside the group's own mention of the flag.
        if Arc::strong_count(&slot.dropped) == 2
            && !slot.dropped.load(Ordering::Relaxed)
            && let Ok(group) = std::str::from_utf8(&slot.block[..slot.group_bytes as usize])
        {
            self.groups.remove(group);
        }
        Some(slot)
    }

    /// Moves the hand to an entry that can go, and lets it go.
    fn let_one_go(&mut self) {
        let buckets = self.table.num_buckets();
        // Twice round at the most: the first time may find everything read.
        for _ in 0..=2 * buckets {
            self.hand = if self.hand + 1 < buckets { self.hand + 1 } else { 0 };
            let Some(slot) = self.table.get_bucket_mut(self.hand) else { continue };
            if slot.dropped.load(Ordering::Relaxed) || !std::mem::take(slot.read.get_mut()) {
                self.remove(self.hand);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Revision;

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
        let mut shelf = Shelf::new(20 * (SLOT_BYTES + 10));
        shelf.put(1, "g", "hot", Some(&found("x")));
        for number in 0..1000 {
            assert!(shelf.get(1, "g", "hot").is_some(), "pushed out by {number}");
            let key = number.to_string();
            shelf.put(number, &key, &key, Some(&found(&key)));
            assert!(shelf.bytes <= shelf.bytes_max);
        }
        assert_eq!(shelf.table.iter().map(Slot::bytes).sum::<usize>(), shelf.bytes);
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
