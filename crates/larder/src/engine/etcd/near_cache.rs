//! Reads from memory of what the watch keeps fresh: `Consistency::Cached`.
//!
//! The cache holds what was read of single entries, and each of them stays as the watch says that it has
//! become since. The watch brings all changes in order, so what the cache shows is what the cluster held at
//! some moment; which moment that is at least, is found out by asking the cluster now and then how far it has
//! come: once the watch has brought all up to there, the cache is as fresh as that answer. Where no such
//! moment is near enough, because the connection is lost or the watch stands still, nothing is shown from
//! memory, and the cluster is asked.
//!
//! What is read and what the watch brings meet in any order. So each entry has the revision that it is of,
//! and only what is newer takes its place; and while a key is being read, the cache notes the changes that the
//! watch brings of it, so that a slow answer does not bury one of them.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::sync::{ShardedLock, ShardedLockWriteGuard};
use hashbrown::DefaultHashBuilder;

use crate::data::{Found, Revision};
use crate::engine::shelf::Shelf;

/// A room for every so many bytes, and how many at the most.
const ROOM_BYTES: usize = 1 << 20;
const ROOMS_MAX: usize = 16;

/// The time at which nothing is known to have been fresh.
const NEVER: u64 = 0;

/// What this process has read, as it is now or was a short while ago.
pub(super) struct NearCache {
    /// A power of two of them.
    rooms: Box<[ShardedLock<Room>]>,
    hashes: DefaultHashBuilder,
    /// How old what is shown may be.
    age_max: Duration,
    /// What times are counted from.
    epoch: Instant,
    /// The nanoseconds since the epoch at which all that the cache holds was the latest; `NEVER` where none of
    /// it ever was. Release and Acquire: who sees a time here sees the rooms as they were then, or later.
    fresh_at: AtomicU64,
    /// The last revision that the rooms have of all their keys, and the least that they must have: that of what
    /// this process was told has happened. Release and Acquire, as above.
    seen: AtomicU64,
    required: AtomicU64,
}

struct Room {
    shelf: Shelf,
    /// The keys that are being read, by their hash. Two with the same are taken for one, which costs a read.
    awaited: HashMap<u64, Awaited>,
}

/// A key that is being read.
#[derive(Default)]
struct Awaited {
    readers: usize,
    /// The latest change of it that the watch has brought meanwhile.
    changed_at: Revision,
}

/// The right to keep what is read of a key.
pub(super) struct Reading<'a> {
    cache: &'a NearCache,
    hash: u64,
    group: &'a str,
    key: &'a str,
}

impl NearCache {
    pub fn new(bytes_max: usize, age_max: Duration) -> Self {
        let rooms = 1 << (bytes_max / ROOM_BYTES).clamp(1, ROOMS_MAX).ilog2();
        let room =
            |_| ShardedLock::new(Room { shelf: Shelf::new(bytes_max / rooms), awaited: HashMap::new() });
        Self {
            rooms: (0..rooms).map(room).collect(),
            hashes: DefaultHashBuilder::default(),
            age_max,
            epoch: Instant::now(),
            fresh_at: AtomicU64::new(NEVER),
            seen: AtomicU64::new(0),
            required: AtomicU64::new(0),
        }
    }

    /// How often to ask the cluster how far it has come, so that the cache hardly ever gets too old.
    pub fn pulse(&self) -> Duration {
        (self.age_max / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// How old what it shows may be; `None` where it shows nothing.
    pub fn age(&self) -> Option<Duration> {
        let fresh_at = self.fresh_at.load(Ordering::Acquire);
        if fresh_at == NEVER || self.seen.load(Ordering::Acquire) < self.required.load(Ordering::Acquire) {
            return None;
        }
        let age = self.epoch.elapsed().saturating_sub(Duration::from_nanos(fresh_at));
        (age <= self.age_max).then_some(age)
    }

    /// What is stored under a key, where that is known and not too old: expired or not, or nothing.
    #[inline]
    pub fn look(&self, group: &str, key: &str) -> Option<Option<Found>> {
        self.age()?;
        let hash = self.hash(group, key);
        self.room(hash).read().unwrap_or_else(PoisonError::into_inner).shelf.get(hash, group, key)
    }

    /// To be called before the cluster is asked for a key.
    pub fn begin<'a>(&'a self, group: &'a str, key: &'a str) -> Reading<'a> {
        let hash = self.hash(group, key);
        self.write(hash).awaited.entry(hash).or_default().readers += 1;
        Reading { cache: self, hash, group, key }
    }

    /// Takes over what the watch has brought of a key: what is stored there since a revision, if anything is.
    pub fn change(&self, group: &str, key: &str, revision: Revision, stored: impl FnOnce() -> Option<Found>) {
        let hash = self.hash(group, key);
        let mut room = self.write(hash);
        if let Some(awaited) = room.awaited.get_mut(&hash) {
            awaited.changed_at = awaited.changed_at.max(revision);
        }
        if room.shelf.revision(hash, group, key).is_some_and(|kept| kept < revision) {
            let found = stored().unwrap_or_else(|| Found::absence_at(group, key, revision));
            room.shelf.put(hash, found);
        }
    }

    /// All changes up to a revision were taken over.
    pub fn has_seen(&self, revision: Revision) {
        self.seen.fetch_max(revision.0, Ordering::Release);
    }

    /// The cluster had nothing at a time that the cache has not seen.
    pub fn was_fresh_at(&self, time: Instant) {
        let since = u64::try_from((time - self.epoch).as_nanos()).unwrap_or(u64::MAX);
        self.fresh_at.fetch_max(since, Ordering::Release);
    }

    /// This process was told of a commit: nothing is shown before the cache has seen it.
    pub fn require(&self, revision: Revision) {
        self.required.fetch_max(revision.0, Ordering::Release);
    }

    /// Changes were missed: nothing that is known counts any more, nor what is just being read.
    pub fn clear(&self) {
        // In this order: what is put after a room was cleared was read after the changes that were missed, or
        // has lost its right to be put.
        self.fresh_at.store(NEVER, Ordering::Release);
        for room in &self.rooms {
            let mut room = room.write().unwrap_or_else(PoisonError::into_inner);
            room.shelf.clear();
            room.awaited.values_mut().for_each(|awaited| awaited.changed_at = Revision(u64::MAX));
        }
    }

    fn hash(&self, group: &str, key: &str) -> u64 {
        self.hashes.hash_one((group, key))
    }

    /// The table on a shelf uses the hash's lowest and highest bits; these are some in the middle.
    fn room(&self, hash: u64) -> &ShardedLock<Room> {
        &self.rooms[(hash >> 32) as usize & (self.rooms.len() - 1)]
    }

    fn write(&self, hash: u64) -> ShardedLockWriteGuard<'_, Room> {
        self.room(hash).write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading<'_> {
    /// Keeps what the cluster had under the key at a revision, unless it has changed since.
    pub fn keep(self, found: Option<&Found>, revision: Revision) {
        let mut room = self.cache.write(self.hash);
        if room.awaited.get(&self.hash).is_some_and(|awaited| awaited.changed_at > revision) {
            return;
        }
        let newer = room.shelf.revision(self.hash, self.group, self.key);
        let found = found.cloned().unwrap_or_else(|| Found::absence_at(self.group, self.key, revision));
        if newer.is_none_or(|kept| kept < found.facts().revision) {
            room.shelf.put(self.hash, found);
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut room = self.cache.write(self.hash);
        if let Some(awaited) = room.awaited.get_mut(&self.hash) {
            awaited.readers -= 1;
            if awaited.readers == 0 {
                room.awaited.remove(&self.hash);
            }
        }
    }
}
