//! Which groups the cache has as a whole, and what it evicts of them.
//!
//! A group is kept once scans of one state of it have read as many entries as it has: what keeping it costs was then
//! spent already. So a group that is read once, or of which a page is, costs nothing more.

use std::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashTable;

use crate::data::Entries;
use crate::engine::clock_hand::ClockHand;

/// A longer name of a group is not kept: nobody can push out what others read with names alone.
const NAME_BYTES_MAX: usize = 1024;

/// All groups together take at most half of the cache.
const SHARE_OF_ALL: usize = 2;

/// One group takes at most an eighth of the cache.
const SHARE_OF_ONE: usize = 8;

/// In how many steps room is taken from the cached entries.
const STEPS: usize = 64;

/// A whole group at one state.
#[derive(Clone)]
pub struct WholeGroup {
    entries: Entries,
    /// The times, in Unix milliseconds, at which exactly these entries are live.
    live_from_ms: i64,
    live_until_ms: i64,
}

impl WholeGroup {
    /// All entries of a group that are live at a time.
    pub fn new(entries: Entries, at_ms: i64) -> Self {
        let live_until_ms = entries.first_expiry_ms().unwrap_or(i64::MAX);
        Self { entries, live_from_ms: at_ms, live_until_ms }
    }

    /// The entries, if they are all that are live at a time. A clock that was set back may bring entries back to life.
    #[inline]
    fn at(&self, now_ms: i64) -> Option<&Entries> {
        (self.live_from_ms <= now_ms && now_ms < self.live_until_ms).then_some(&self.entries)
    }
}

/// What scans have read of a group that is not kept, all at one state of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scans {
    /// How many entries.
    pub read: u64,
    /// From how many entries on the group is kept; `None` where nobody has looked yet.
    pub needed: Option<u64>,
}

/// Groups, up to a share of the cache.
pub struct GroupShelf {
    table: HashTable<Slot>,
    hand: ClockHand,
    bytes: usize,
    /// The bytes of the whole cache.
    cache_bytes: usize,
}

struct Slot {
    hash: u64,
    group: Box<str>,
    state: State,
    /// Relaxed: it guards nothing.
    was_read: AtomicBool,
}

enum State {
    Scanned(Scans),
    Whole(WholeGroup),
}

impl Slot {
    fn bytes(&self) -> usize {
        let whole = match &self.state {
            State::Scanned(_) => 0,
            State::Whole(whole) => whole.entries.memory(),
        };
        2 * (size_of::<Self>() + 1) + self.group.len() + whole
    }
}

impl GroupShelf {
    pub fn new(cache_bytes: usize) -> Self {
        Self { table: HashTable::new(), hand: ClockHand::default(), bytes: 0, cache_bytes }
    }

    /// The entries of a group that are live at a time, or what scans have read of it.
    #[inline]
    pub fn get(&self, hash: u64, group: &str, now_ms: i64) -> Result<Entries, Scans> {
        let Some(slot) = self.table.find(hash, |slot| *slot.group == *group) else {
            return Err(Scans::default());
        };
        match &slot.state {
            State::Scanned(scans) => Err(*scans),
            State::Whole(whole) => {
                let entries = whole.at(now_ms).ok_or_else(Scans::default)?;
                // Written only if it changes, so that readers on several cores can share the cache line.
                if !slot.was_read.load(Ordering::Relaxed) {
                    slot.was_read.store(true, Ordering::Relaxed);
                }
                Ok(entries.clone())
            }
        }
    }

    /// Whether a group of so many bytes is kept.
    pub fn has_room_for(&self, bytes: usize) -> bool {
        bytes <= self.cache_bytes / SHARE_OF_ONE
    }

    /// Keeps a group, or notes that it is too large.
    pub fn put(&mut self, hash: u64, group: &str, whole: WholeGroup) {
        let state = if self.has_room_for(whole.entries.memory()) {
            State::Whole(whole)
        } else {
            State::Scanned(Scans { read: 0, needed: Some(u64::MAX) })
        };
        self.insert(hash, group, state);
    }

    /// Notes that a scan has read a group that is not kept.
    pub fn note(&mut self, hash: u64, group: &str, scans: Scans) {
        self.insert(hash, group, State::Scanned(scans));
    }

    fn insert(&mut self, hash: u64, group: &str, state: State) {
        self.drop_group(hash, group);
        if group.len() > NAME_BYTES_MAX {
            return;
        }
        let slot = Slot { hash, group: group.into(), state, was_read: AtomicBool::new(false) };
        self.bytes += slot.bytes();
        self.table.insert_unique(hash, slot, |slot| slot.hash);
        while self.bytes > self.cache_bytes / SHARE_OF_ALL {
            let take_read = |slot: &Slot| slot.was_read.swap(false, Ordering::Relaxed);
            let Some(bucket) = self.hand.next(&self.table, take_read) else { return };
            self.remove(bucket);
        }
    }

    /// Forgets a group, since it has changed.
    pub fn drop_group(&mut self, hash: u64, group: &str) {
        if let Some(bucket) = self.table.find_bucket_index(hash, |slot| *slot.group == *group) {
            self.remove(bucket);
        }
    }

    fn remove(&mut self, bucket: usize) {
        if let Ok(slot) = self.table.get_bucket_entry(bucket) {
            self.bytes -= slot.remove().0.bytes();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::new(self.cache_bytes);
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many bytes of the cache the groups and `more` take, rounded up, so that it seldom changes.
    pub fn room(&self, more: usize) -> usize {
        let step = (self.cache_bytes / STEPS).max(1);
        (self.bytes + more).next_multiple_of(step).min(self.cache_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{EntriesBuilder, Facts, Revision};

    fn whole(value_bytes: usize, expires_at_ms: Option<i64>, at_ms: i64) -> WholeGroup {
        let mut builder = EntriesBuilder::default().with_facts();
        let facts = Facts { revision: Revision(1), expires_at_ms };
        builder.push("key", &vec![b'v'; value_bytes], Some(facts));
        WholeGroup::new(builder.finish(), at_ms)
    }

    /// Hashes that collide for some names.
    fn hash(group: &str) -> u64 {
        group.len() as u64
    }

    fn put(shelf: &mut GroupShelf, group: &str, value_bytes: usize) {
        shelf.put(hash(group), group, whole(value_bytes, None, 0));
    }

    fn has(shelf: &GroupShelf, group: &str) -> bool {
        shelf.get(hash(group), group, 0).is_ok()
    }

    #[test]
    fn a_kept_group_is_returned_only_at_the_times_at_which_its_entries_are_live() {
        let mut shelf = GroupShelf::new(1 << 20);
        shelf.put(1, "g", whole(10, Some(200), 100));
        let is_there = [99, 100, 199, 200].map(|now_ms| shelf.get(1, "g", now_ms).is_ok());
        assert_eq!(is_there, [false, true, true, false]);
        assert_eq!(shelf.get(1, "g", 200).unwrap_err(), Scans::default(), "it has to be read often again");
    }

    #[test]
    fn a_change_of_a_group_drops_it_and_what_was_noted_of_it_and_no_other() {
        let mut shelf = GroupShelf::new(1 << 20);
        ["a", "b"].iter().for_each(|group| put(&mut shelf, group, 10));
        let scans = Scans { read: 7, needed: Some(9) };
        shelf.note(hash("cc"), "cc", scans);
        shelf.drop_group(hash("a"), "a");
        assert!(!has(&shelf, "a") && has(&shelf, "b"));
        assert_eq!(shelf.get(hash("cc"), "cc", 0).unwrap_err(), scans);
        shelf.drop_group(hash("cc"), "cc");
        assert_eq!(shelf.get(hash("cc"), "cc", 0).unwrap_err(), Scans::default());
        shelf.clear();
        assert!(shelf.is_empty() && shelf.room(0) == 0);
    }

    #[test]
    fn groups_never_take_more_than_their_share_and_those_that_are_read_stay() {
        let mut shelf = GroupShelf::new(64 << 10);
        put(&mut shelf, "hot", 1000);
        for number in 0..1000 {
            assert!(has(&shelf, "hot"), "pushed out by {number}");
            put(&mut shelf, &format!("group {number}"), 1000);
            shelf.note(number, &format!("scanned {number}"), Scans { read: 1, needed: None });
            assert_eq!(shelf.table.iter().map(Slot::bytes).sum::<usize>(), shelf.bytes);
            assert!(shelf.bytes <= shelf.cache_bytes / 2);
            assert!(shelf.room(0) >= shelf.bytes && shelf.room(0) <= shelf.bytes + shelf.cache_bytes / 64);
        }
    }

    #[test]
    fn a_group_that_is_too_large_or_has_too_long_a_name_is_not_kept() {
        let mut shelf = GroupShelf::new(64 << 10);
        put(&mut shelf, "g", 10);
        put(&mut shelf, "g", 8 << 10);
        let noted = Scans { read: 0, needed: Some(u64::MAX) };
        assert_eq!(shelf.get(hash("g"), "g", 0).unwrap_err(), noted, "nobody tries again");
        let before = shelf.bytes;
        put(&mut shelf, &"g".repeat(NAME_BYTES_MAX + 1), 10);
        assert_eq!(shelf.bytes, before);
        // A cache of a few bytes keeps nothing.
        let mut tiny = GroupShelf::new(10);
        put(&mut tiny, "g", 10);
        assert!(tiny.is_empty() && tiny.room(0) == 0);
    }
}
