//! The near cache: reads from memory, which the watch keeps fresh ([`Consistency::Cached`]).
//!
//! The cache holds entries that this process has read, and the watch updates them. Since the watch brings all
//! changes in order, the cache shows the cluster's state at some moment. To learn how old that moment is at
//! most, the follower polls the store's latest commit: once the watch has brought that commit, the cache is as
//! fresh as the poll. If no poll is recent enough, because the connection is lost or the watch stalls, the cache
//! shows nothing, and reads go to the cluster.
//!
//! The result of a read and the changes from the watch arrive in any order. So each cached entry has a
//! revision, and only a newer one replaces it. While a key is being read, the cache remembers the latest change
//! of that key, so that a slow read cannot overwrite it.
//!
//! [`Consistency::Cached`]: crate::data::Consistency::Cached

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_utils::sync::{ShardedLock, ShardedLockWriteGuard};
use hashbrown::DefaultHashBuilder;

use crate::data::{Found, Revision, unpoisoned};
use crate::engine::shelf::Shelf;

/// The cache has one shard for this many bytes, up to a maximum.
const SHARD_BYTES: usize = 1 << 20;
const SHARDS_MAX: usize = 16;

/// The value of `fresh_at` while the cache is not known to be fresh at any time.
const NEVER: u64 = 0;

pub struct NearCache {
    /// A power of two of them. Each lock keeps a shard's entries and the reads of its keys consistent with each
    /// other.
    shards: Box<[ShardedLock<Shard>]>,
    hashes: DefaultHashBuilder,
    /// How old what the cache shows may be.
    age_max: Duration,
    /// The time from which `fresh_at` counts.
    epoch: Instant,
    /// When all cached entries were the latest: in nanoseconds since `epoch`, or `NEVER`. Stored with Release
    /// and loaded with Acquire: a thread that sees a time also sees the shards as they were then, or newer.
    fresh_at: AtomicU64,
    /// The last revision whose changes are in the shards. Release and Acquire, as for `fresh_at`.
    seen: AtomicU64,
    /// A revision whose commit this process knows. Nothing is shown before it is `seen`. Release and Acquire, as for
    /// `fresh_at`.
    required: AtomicU64,
}

struct Shard {
    shelf: Shelf,
    /// The keys that are being read, by hash. Two keys with one hash count as one, which costs a read at most.
    reads: HashMap<u64, KeyReads>,
}

/// The reads of one key that are in progress.
#[derive(Default)]
struct KeyReads {
    readers: usize,
    /// The latest change of the key that the watch has brought in the meantime.
    changed_at: Revision,
}

/// A read in progress, whose result may be cached.
pub struct CacheableRead<'a> {
    cache: &'a NearCache,
    hash: u64,
    group: &'a str,
    key: &'a str,
}

impl NearCache {
    pub fn new(bytes_max: usize, age_max: Duration) -> Self {
        let shards = 1 << (bytes_max / SHARD_BYTES).clamp(1, SHARDS_MAX).ilog2();
        let shard =
            |_| ShardedLock::new(Shard { shelf: Shelf::new(bytes_max / shards), reads: HashMap::new() });
        Self {
            shards: (0..shards).map(shard).collect(),
            hashes: DefaultHashBuilder::default(),
            age_max,
            epoch: Instant::now(),
            fresh_at: AtomicU64::new(NEVER),
            seen: AtomicU64::new(0),
            required: AtomicU64::new(0),
        }
    }

    /// How often to poll the store's latest commit, so that the cache rarely becomes too old.
    pub fn poll_interval(&self) -> Duration {
        (self.age_max / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// How old what the cache shows may be; `None` while it shows nothing.
    pub fn age(&self) -> Option<Duration> {
        let fresh_at = self.fresh_at.load(Ordering::Acquire);
        if fresh_at == NEVER || self.seen.load(Ordering::Acquire) < self.required.load(Ordering::Acquire) {
            return None;
        }
        let age = self.epoch.elapsed().saturating_sub(Duration::from_nanos(fresh_at));
        (age <= self.age_max).then_some(age)
    }

    /// Returns what is stored under a key, expired or not, or `Some(None)` if nothing is; `None` if the cache
    /// does not know, or is too old.
    #[inline]
    pub fn get(&self, group: &str, key: &str) -> Option<Option<Found>> {
        self.age()?;
        let hash = self.hash(group, key);
        unpoisoned(self.shard(hash).read()).shelf.get(hash, group, key)
    }

    /// Begins a read of a key. The cluster must be asked only after this.
    pub fn begin_read<'a>(&'a self, group: &'a str, key: &'a str) -> CacheableRead<'a> {
        let hash = self.hash(group, key);
        self.write(hash).reads.entry(hash).or_default().readers += 1;
        CacheableRead { cache: self, hash, group, key }
    }

    /// Applies a change from the watch. `stored` returns what is stored under the key since `revision`.
    pub fn apply_change(
        &self,
        group: &str,
        key: &str,
        revision: Revision,
        stored: impl FnOnce() -> Option<Found>,
    ) {
        let hash = self.hash(group, key);
        let mut shard = self.write(hash);
        if let Some(reads) = shard.reads.get_mut(&hash) {
            reads.changed_at = reads.changed_at.max(revision);
        }
        if shard.shelf.revision(hash, group, key).is_some_and(|cached| cached < revision) {
            let found = stored().unwrap_or_else(|| Found::absence_at(group, key, revision));
            shard.shelf.put(hash, found);
        }
    }

    /// Notes that all changes up to a revision were applied.
    pub fn note_seen(&self, revision: Revision) {
        self.seen.fetch_max(revision.0, Ordering::Release);
    }

    /// Notes that the cache has every commit that existed at a time.
    pub fn note_fresh(&self, time: Instant) {
        let since = u64::try_from((time - self.epoch).as_nanos()).unwrap_or(u64::MAX);
        self.fresh_at.fetch_max(since, Ordering::Release);
    }

    /// Shows nothing until the changes up to a revision were applied.
    pub fn require_seen(&self, revision: Revision) {
        self.required.fetch_max(revision.0, Ordering::Release);
    }

    /// Drops everything after changes were missed, also what is being read.
    pub fn clear(&self) {
        // The order matters: a result that is put into a shard after it was cleared belongs to a read that began
        // after the missed changes, since the reads before have lost the right to be cached.
        self.fresh_at.store(NEVER, Ordering::Release);
        for shard in &self.shards {
            let mut shard = unpoisoned(shard.write());
            shard.shelf.clear();
            shard.reads.values_mut().for_each(|reads| reads.changed_at = Revision(u64::MAX));
        }
    }

    /// Begins anew after the cluster was restored to an earlier revision. Shows nothing until it is known to be fresh.
    pub fn start_over(&self, seen: Revision) {
        // Nothing is shown while the cache requires more than it can have seen.
        self.required.store(u64::MAX, Ordering::Release);
        self.clear();
        self.seen.store(seen.0, Ordering::Release);
        self.fresh_at.store(NEVER, Ordering::Release);
        self.required.store(0, Ordering::Release);
    }

    fn hash(&self, group: &str, key: &str) -> u64 {
        self.hashes.hash_one((group, key))
    }

    /// The shard of a hash, by bits in the middle: the table of a shelf uses the lowest and the highest ones.
    fn shard(&self, hash: u64) -> &ShardedLock<Shard> {
        &self.shards[(hash >> 32) as usize & (self.shards.len() - 1)]
    }

    fn write(&self, hash: u64) -> ShardedLockWriteGuard<'_, Shard> {
        unpoisoned(self.shard(hash).write())
    }
}

impl CacheableRead<'_> {
    /// Caches what the cluster had under the key at a revision, unless the key has changed since.
    pub fn cache(self, found: Option<&Found>, revision: Revision) {
        let mut shard = self.cache.write(self.hash);
        if shard.reads.get(&self.hash).is_some_and(|reads| reads.changed_at > revision) {
            return;
        }
        let cached = shard.shelf.revision(self.hash, self.group, self.key);
        let found = found.cloned().unwrap_or_else(|| Found::absence_at(self.group, self.key, revision));
        if cached.is_none_or(|cached| cached < found.facts().revision) {
            shard.shelf.put(self.hash, found);
        }
    }
}

impl Drop for CacheableRead<'_> {
    fn drop(&mut self) {
        let mut shard = self.cache.write(self.hash);
        if let Some(reads) = shard.reads.get_mut(&self.hash) {
            reads.readers -= 1;
            if reads.readers == 0 {
                shard.reads.remove(&self.hash);
            }
        }
    }
}
