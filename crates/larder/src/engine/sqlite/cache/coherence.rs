//! The protocol by which a hit is never stale.
//!
//! The cache has `valid`, the word at which all that it holds is true, and, behind one mutex, the last
//! commit that it knows of.
//!
//! 1. **A read** takes its shard's lock and looks at the word. Where it equals `valid`, a hit is
//!    current. Where it does not, the reader catches up first, or goes on without if somebody is at it.
//! 2. **A miss** reads from SQLite and puts what it found under the shard's lock, but only if the word
//!    is *still* the one it saw before it read. A commit moves the word before anybody touches the
//!    cache for it, so that a slow reader can never bury a newer value. To compare with `valid` here
//!    would let it.
//! 3. **A commit** of this process first catches up, with the write lock taken. It holds the mutex from
//!    just before SQLite's commit until the new values are put, so nobody catches up past it. It sets
//!    `valid` only if its own commit is all that has happened.
//! 4. **Catching up** reads the change log after the last known commit, drops the keys it names, and
//!    sets `valid`, provided that the word stood still meanwhile. Where the log does not reach back so
//!    far, or has nothing though the word moved (a writer that is not larder; a recovered log), it
//!    empties the cache.
//!
//! Why a hit is current: the word is looked at under the shard's lock, and every put and every drop
//! takes it, too. A commit's change to a key gets into the shard before `valid` becomes the commit's
//! word; so where word and `valid` are equal, the shard has the state of that word, and the word is what
//! SQLite itself would have begun to read at.
//!
//! The word is memory that is only there while the cache is open: each shard has its own handle to it,
//! so closing, which takes them all away, waits for those who look.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use super::sync::{AtomicU64, Lock, Mutex, MutexGuard, Ordering, ReadGuard, WriteGuard};
use super::word::{CommitMark, Word};
use crate::data::{Event, EventKind, Found, Revision};
use crate::engine::shelf::Shelf;

/// A shard for every so many bytes, and how many at the most. Readers do not hinder each other, so the
/// shards are for those who put.
const SHARD_BYTES: usize = 1 << 20;
const SHARDS_MAX: usize = 16;

/// How often catching up begins again because the word has moved meanwhile.
const ATTEMPTS: usize = 4;

/// The coherent cache.
pub struct Cache<W> {
    /// A power of two, or none where the cache is off.
    shards: Box<[Lock<Shard<W>>]>,
    hashes: DefaultHashBuilder,
    /// The word at which all that the shards hold is true. Written under `known`'s lock. Release and
    /// Acquire: who sees a word here sees the shards as they were made for it.
    valid: AtomicU64,
    known: Mutex<LastCommit<W>>,
}

struct Shard<W> {
    /// `None` where there is no such thing, and once the cache is closed.
    word: Option<W>,
    shelf: Shelf,
}

/// The last commit that the cache knows of.
struct LastCommit<W> {
    word: Option<W>,
    mark: CommitMark,
    commits: Commits,
    /// The last commit of this process; at first the one that it found.
    own: CommitMark,
}

/// What a look into the cache gives.
enum Lookup {
    /// What is stored under the key, expired or not.
    Hit(Option<Found>),
    /// Nothing is known of the key. With the word that was seen.
    Miss(u64),
    /// Somebody has committed since the cache was last true.
    Stale(u64),
    /// There is no cache, or no longer.
    Off,
}

/// How many commits a store has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commits {
    /// The last one that is in the change log.
    pub revision: Revision,
    /// Those of larder's that are not, since they changed no entry.
    pub unlogged: u64,
}

/// What the change log has after a revision.
#[derive(Debug)]
pub enum News {
    /// Groups and keys that changed, or whole groups, and the commits up to which this is all.
    Changed { latest: Commits, keys: Vec<(String, Option<String>)> },
    /// It does not reach back so far, or it is too much.
    Unknown { latest: Commits },
}

impl<W: Word> Cache<W> {
    /// An empty cache of so many bytes; 0 turns it off, and so does a missing word. `commits` reads how
    /// many the store has had.
    pub fn open<E>(
        bytes_max: usize,
        word: Option<W>,
        commits: impl FnOnce() -> Result<Commits, E>,
    ) -> Result<Self, E> {
        // In this order: what is committed in between only makes the word look old.
        let mark = word.as_ref().and_then(Word::mark);
        let commits = commits()?;
        let shards = match mark {
            Some(_) if bytes_max > 0 => (bytes_max / SHARD_BYTES).clamp(1, SHARDS_MAX),
            _ => 0,
        };
        let shards = if shards > 0 { 1 << shards.ilog2() } else { 0 };
        let shard = |_| Lock::new(Shard { word: word.clone(), shelf: Shelf::new(bytes_max / shards) });
        let mark = mark.unwrap_or_default();
        Ok(Self {
            shards: (0..shards).map(shard).collect(),
            hashes: DefaultHashBuilder::default(),
            valid: AtomicU64::new(mark.word),
            known: Mutex::new(LastCommit { word, mark, commits, own: mark }),
        })
    }

    /// A handle to the word, unless there is none or the cache is closed.
    pub fn word(&self) -> Option<W> {
        lock(&self.known).word.clone()
    }

    /// Whether others have committed since the last commit of this process. It waits for a commit that
    /// is just being made, which else would be taken for another's.
    pub fn others_have_committed(&self) -> bool {
        let known = lock(&self.known);
        let mark = known.word.as_ref().and_then(Word::mark);
        mark.is_none_or(|mark| mark.word != known.own.word && !mark.is_restart_of(&known.own))
    }

    /// Whether there is anything to keep values in.
    pub fn is_on(&self) -> bool {
        !self.shards.is_empty()
    }

    /// What is stored under a key: from memory, or else from SQLite by `fetch`. `log` reads the change
    /// log, where others have committed; its error is no more than a reason to ask SQLite.
    #[inline]
    pub fn read<E>(
        &self,
        group: &str,
        key: &str,
        log: impl FnMut(Revision) -> Result<News, E>,
        fetch: impl FnOnce() -> Result<Option<Found>, E>,
    ) -> Result<Option<Found>, E> {
        match self.get(group, key) {
            Lookup::Hit(found) => Ok(found),
            missed => self.read_missed(missed, group, key, log, fetch),
        }
    }

    /// What is stored under a key, where the cache has it and is true.
    #[cfg(feature = "tokio")]
    pub fn look(&self, group: &str, key: &str) -> Option<Option<Found>> {
        match self.get(group, key) {
            Lookup::Hit(found) => Some(found),
            Lookup::Miss(_) | Lookup::Stale(_) | Lookup::Off => None,
        }
    }

    /// What is left to do when the first look was in vain.
    #[cold]
    fn read_missed<E>(
        &self,
        mut lookup: Lookup,
        group: &str,
        key: &str,
        log: impl FnMut(Revision) -> Result<News, E>,
        fetch: impl FnOnce() -> Result<Option<Found>, E>,
    ) -> Result<Option<Found>, E> {
        if let Lookup::Stale(_) = lookup
            && self.catch_up(log)
        {
            lookup = self.get(group, key);
        }
        match lookup {
            Lookup::Hit(found) => Ok(found),
            Lookup::Miss(seen) | Lookup::Stale(seen) => {
                let found = fetch()?;
                self.fill(seen, group, key, found.as_ref());
                Ok(found)
            }
            Lookup::Off => fetch(),
        }
    }

    /// Looks for a key. Step 1.
    #[inline]
    fn get(&self, group: &str, key: &str) -> Lookup {
        let hash = self.hash(group, key);
        let Some(shard) = self.shard(hash) else { return Lookup::Off };
        let shard = read(shard);
        let Some(word) = &shard.word else { return Lookup::Off };
        let word = word.word();
        if word != self.valid.load(Ordering::Acquire) {
            return Lookup::Stale(word);
        }
        match shard.shelf.get(hash, group, key) {
            Some(found) => Lookup::Hit(found),
            None => Lookup::Miss(word),
        }
    }

    /// Keeps what SQLite had for a key, if nobody has committed since the word was `seen`, which was
    /// before SQLite was asked. Step 2.
    fn fill(&self, seen: u64, group: &str, key: &str, found: Option<&Found>) {
        let hash = self.hash(group, key);
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = write(shard);
        if shard.word.as_ref().is_some_and(|word| word.word() == seen) {
            shard.shelf.put(hash, found.cloned().unwrap_or_else(|| Found::absence(group, key)));
        }
    }

    /// What the cache has for a key, for the writer: between [`catch_up_to_write`](Self::catch_up_to_write), where that has
    /// returned a word, and its commit, nobody else can have changed it.
    pub fn peek(&self, hash: u64, group: &str, key: &str) -> Option<Option<Found>> {
        read(self.shard(hash)?).shelf.get(hash, group, key)
    }

    /// Makes the cache true again after others have committed, unless somebody is at it. Whether it is
    /// true now. Step 4.
    fn catch_up<E>(&self, log: impl FnMut(Revision) -> Result<News, E>) -> bool {
        match self.known.try_lock() {
            Ok(mut known) => self.bring_up(&mut known, log).unwrap_or(false),
            Err(_) => false,
        }
    }

    /// Catches up for the writer, with the write lock taken. Returns the word, which then nobody else can
    /// move.
    pub fn catch_up_to_write<E>(
        &self,
        log: impl FnMut(Revision) -> Result<News, E>,
    ) -> Result<Option<u64>, E> {
        let mut known = lock(&self.known);
        Ok(self.bring_up(&mut known, log)?.then_some(known.mark.word))
    }

    fn bring_up<E>(
        &self,
        known: &mut LastCommit<W>,
        mut log: impl FnMut(Revision) -> Result<News, E>,
    ) -> Result<bool, E> {
        let Some(word) = &known.word else { return Ok(false) };
        for _ in 0..ATTEMPTS {
            let Some(mark) = word.mark() else { return Ok(false) };
            if mark.word == known.mark.word {
                return Ok(true);
            }
            if self.is_on() {
                let news = log(known.commits.revision)?;
                if word.mark() != Some(mark) {
                    continue;
                }
                known.commits = match news {
                    News::Changed { latest, keys } if latest != known.commits => {
                        keys.iter().for_each(|(group, key)| self.drop_from_shards(group, key.as_deref()));
                        latest
                    }
                    News::Changed { latest, .. } if mark.is_restart_of(&known.mark) => latest,
                    News::Changed { latest, .. } | News::Unknown { latest } => {
                        self.clear();
                        latest
                    }
                };
            }
            known.mark = mark;
            self.valid.store(mark.word, Ordering::Release);
            return Ok(true);
        }
        Ok(false)
    }

    /// To be called just before SQLite's commit, with the write lock taken. Step 3.
    pub fn committing(&self) -> Committing<'_, W> {
        Committing { cache: self, known: lock(&self.known) }
    }

    /// Lets go of the word, once nobody looks at it any more.
    pub fn close(&self) {
        lock(&self.known).word = None;
        for shard in &self.shards {
            let mut shard = write(shard);
            shard.word = None;
            shard.shelf.clear();
        }
    }

    fn clear(&self) {
        self.shards.iter().for_each(|shard| write(shard).shelf.clear());
    }

    fn drop_from_shards(&self, group: &str, key: Option<&str>) {
        match key {
            Some(key) => {
                let hash = self.hash(group, key);
                if let Some(shard) = self.shard(hash) {
                    write(shard).shelf.drop_key(hash, group, key);
                }
            }
            None => self.shards.iter().for_each(|shard| write(shard).shelf.drop_group(group)),
        }
    }

    fn put_change(&self, event: &Event) {
        let Event { group, key: Some(key), .. } = event else {
            return self.drop_from_shards(&event.group, None);
        };
        let hash = self.hash(group, key);
        let Some(shard) = self.shard(hash) else { return };
        match event.kind {
            EventKind::Set => {
                if let Some(found) = Event::found(event) {
                    write(shard).shelf.put(hash, found);
                }
            }
            _ => write(shard).shelf.put_absence(hash, group, key),
        }
    }

    /// How the cache sorts a key.
    #[inline]
    pub fn hash(&self, group: &str, key: &str) -> u64 {
        self.hashes.hash_one((group, key))
    }

    /// The table in a shard uses the hash's lowest and highest bits; these are some in the middle.
    #[inline]
    fn shard(&self, hash: u64) -> Option<&Lock<Shard<W>>> {
        self.shards.get((hash >> 32) as usize & self.shards.len().wrapping_sub(1))
    }
}

/// The right to be the only one who learns of a commit, while it is made.
pub struct Committing<'a, W> {
    cache: &'a Cache<W>,
    known: MutexGuard<'a, LastCommit<W>>,
}

impl<W: Word> Committing<'_, W> {
    /// Puts what the commit has changed. `None` is too much to know, and empties the cache. Returns the
    /// word where nothing but this commit has moved it. Dropped instead, where the commit has failed, it
    /// leaves the cache as it was.
    pub fn publish(mut self, latest: Commits, changes: Option<&[impl AsRef<Event>]>) -> Option<u64> {
        let known = &mut *self.known;
        let word = known.word.as_ref()?;
        word.committed();
        let mark = word.mark()?;
        if mark.word == known.mark.word {
            // Nothing was written.
            return Some(mark.word);
        }
        match changes {
            Some(changes) => changes.iter().for_each(|change| self.cache.put_change(change.as_ref())),
            None => self.cache.clear(),
        }
        known.commits = latest;
        if !mark.is_next_after(&known.mark) {
            return None;
        }
        known.mark = mark;
        known.own = mark;
        self.cache.valid.store(mark.word, Ordering::Release);
        Some(mark.word)
    }
}

#[inline]
fn read<T>(shard: &Lock<T>) -> ReadGuard<'_, T> {
    shard.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(shard: &Lock<T>) -> WriteGuard<'_, T> {
    shard.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
