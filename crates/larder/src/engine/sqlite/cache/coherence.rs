//! The protocol by which a hit is never stale.
//!
//! Each commit of any process moves the *word*. The cache has `valid`, the word for which all its entries are
//! correct, and, behind one mutex, the last commit that it knows.
//!
//! 1. **A read** takes the lock of its shard and compares the word with `valid`. If they are equal, a hit is
//!    current. If not, the reader catches up first. If another reader is catching up already, or a commit is under
//!    way, the reader does not wait and asks SQLite.
//! 2. **A miss** reads from SQLite and puts the result under the shard's lock, but only if the word *still* is
//!    the one that it saw before it read. A commit moves the word before it touches the cache, so a slow reader
//!    cannot overwrite a newer value. (A comparison with `valid` at this point could not prevent that.)
//! 3. **A commit** of this process first catches up while it holds the write lock. It holds the mutex from just
//!    before SQLite's commit until the new values are in the cache, so no reader can catch up past it. It sets
//!    `valid` only if its own commit is the only one that happened. If it could not catch up, because a process was
//!    killed while it wrote the header, it empties the cache.
//! 4. **Catching up** reads the change log after the last known commit, drops the keys that it names, and sets
//!    `valid`, if the word did not move meanwhile. If the log does not reach back so far, or has no change
//!    although the word moved (a writer other than larder, a recovered log), it empties the cache. A reader reads the
//!    log first and takes the mutex afterwards. If a process was killed while it wrote the header, SQLite makes
//!    readers wait for the writer, and the writer needs the mutex.
//!
//! Why a hit is current: the word is read under the shard's lock, and every put and every drop takes that lock.
//! A commit changes the shard before `valid` becomes the commit's word. So when word and `valid` are equal, the
//! shard has the state of that word, and the word is the one at which SQLite itself would begin to read.
//!
//! The word is memory that is mapped only while the cache is open. Each shard has a handle to it. Closing takes
//! the handles away under each shard's lock, and so waits for the readers.

use std::hash::{BuildHasher, Hash};

use hashbrown::DefaultHashBuilder;

use super::groups::Groups;
use super::news::{Commits, News};
use super::sync::{AtomicU64, Lock, Mutex, MutexGuard, Ordering, ReadGuard, WriteGuard};
use super::word::{CommitMark, Word};
use crate::data::{Event, EventKind, Found, Peeked, Revision, SmallValue, unpoisoned};
use crate::engine::sabotage::{Sabotage, is_planted};
use crate::engine::shelf::Shelf;

/// There is one shard for so many bytes, and at most so many shards. Readers do not block each other; shards
/// keep writers apart.
const SHARD_BYTES: usize = 1 << 20;
const SHARDS_MAX: usize = 16;

/// How often catching up starts over because the word has moved meanwhile.
const ATTEMPTS: usize = 4;

/// The coherent cache.
pub struct Cache<W> {
    /// A power of two, or none where the cache is off.
    pub(super) shards: Box<[Lock<Shard<W>>]>,
    /// The lock of a shard may be taken while this one is held, not the other way round.
    pub(super) groups: Lock<Groups<W>>,
    hashes: DefaultHashBuilder,
    /// The word for which the shards and the groups are correct. Written under the lock of `known`. Release and Acquire: a
    /// reader that sees a word here sees what was put for it.
    pub(super) valid: AtomicU64,
    known: Mutex<LastCommit<W>>,
    /// Held by the reader that catches up. `known` may be taken while it is held, not the other way round. It guards no
    /// data.
    catching_up: Mutex<()>,
    pub(super) bytes_max: usize,
}

pub(super) struct Shard<W> {
    /// `None` where the store has no word, and once the cache is closed.
    word: Option<W>,
    pub(super) shelf: Shelf,
}

/// The last commit that the cache knows.
struct LastCommit<W> {
    word: Option<W>,
    mark: CommitMark,
    commits: Commits,
    /// The last commit of this process; at first the one that it found when it opened.
    own: CommitMark,
    /// Whether others committed between the last two commits of this process.
    others_came_between: bool,
}

/// How the last known commit compares with the present.
enum Present {
    /// It is the last one.
    Known,
    /// There was another, with this mark.
    Later(CommitMark),
    /// A process writes the header, or the cache is closed.
    Unknown,
}

impl<W: Word> LastCommit<W> {
    fn present(&self) -> Present {
        match self.word.as_ref().and_then(Word::mark) {
            None => Present::Unknown,
            Some(mark) if mark.word == self.mark.word => Present::Known,
            Some(mark) => Present::Later(mark),
        }
    }
}

impl<W> LastCommit<W> {
    /// Whether others have committed between the last commit of this process and one.
    fn others_came_before(&self, mark: &CommitMark) -> bool {
        mark.word != self.own.word && !mark.is_restart_of(&self.own)
    }
}

/// The result of a lookup.
enum Lookup {
    /// What is stored under the key, expired or not.
    Hit(Option<Found>),
    /// The cache knows nothing of the key. With the word that was seen.
    Miss(u64),
    /// There was a commit since the cache was last correct. With the word that was seen.
    Stale(u64),
    /// The cache is off or closed.
    Off,
}

impl<W: Word> Cache<W> {
    /// An empty cache of at most `bytes_max` bytes. It is off with 0 bytes, or without a word. `commits` reads
    /// how many commits the store has had.
    pub fn open<E>(
        bytes_max: usize,
        word: Option<W>,
        commits: impl FnOnce() -> Result<Commits, E>,
    ) -> Result<Self, E> {
        // In this order: a commit in between only makes the word look old.
        let mark = word.as_ref().and_then(Word::mark);
        let commits = commits()?;
        let shards = match mark {
            Some(_) if bytes_max > 0 => (bytes_max / SHARD_BYTES).clamp(1, SHARDS_MAX),
            _ => 0,
        };
        let shards = if shards > 0 { 1 << shards.ilog2() } else { 0 };
        let shard = |_| Lock::new(Shard { word: word.clone(), shelf: Shelf::new(bytes_max / shards) });
        let mark = mark.unwrap_or_default();
        let groups = Groups::new(word.clone().filter(|_| shards > 0), bytes_max);
        Ok(Self {
            shards: (0..shards).map(shard).collect(),
            groups: Lock::new(groups),
            hashes: DefaultHashBuilder::default(),
            valid: AtomicU64::new(mark.word),
            known: Mutex::new(LastCommit { word, mark, commits, own: mark, others_came_between: false }),
            catching_up: Mutex::new(()),
            bytes_max,
        })
    }

    /// A handle to the word; `None` where there is none, or once the cache is closed.
    pub fn word(&self) -> Option<W> {
        lock(&self.known).word.clone()
    }

    /// The last commit that the cache knows. Just after opening, one up to which the store had got.
    pub fn opened_at(&self) -> Revision {
        lock(&self.known).commits.revision
    }

    /// Whether another process has committed since this was last asked. It may answer yes although none has. It waits for
    /// a commit of this process that is under way, which would look like a foreign one.
    pub fn others_have_committed(&self) -> bool {
        let mut known = lock(&self.known);
        // An own commit may have followed before this was asked, and has no revision that would show the gap if it only
        // moved a cursor.
        let came_between = std::mem::take(&mut known.others_came_between);
        let mark = known.word.as_ref().and_then(Word::mark);
        came_between || mark.is_none_or(|mark| known.others_came_before(&mark))
    }

    /// Whether the cache keeps anything.
    pub fn is_on(&self) -> bool {
        !self.shards.is_empty()
    }

    /// What is stored under a key: from memory, or else from SQLite by `fetch`. `log` reads the change log when
    /// another process has committed; if that fails, SQLite is asked.
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
    #[inline]
    pub fn look(&self, group: &str, key: &str) -> Option<Option<Found>> {
        match self.get(group, key) {
            Lookup::Hit(found) => Some(found),
            Lookup::Miss(_) | Lookup::Stale(_) | Lookup::Off => None,
        }
    }

    /// The rest of a read whose first lookup missed.
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

    /// Copies what is stored under a key, where the cache has it, is true, and it is small.
    #[inline]
    pub fn copy_small(&self, group: &str, key: &str, into: &mut SmallValue) -> Peeked {
        let hash = self.hash(group, key);
        let Some(shard) = self.shard(hash) else { return Peeked::Unknown };
        let shard = read(shard);
        let Some(word) = &shard.word else { return Peeked::Unknown };
        if word.word() != self.valid.load(Ordering::Acquire) {
            return Peeked::Unknown;
        }
        shard.shelf.peek(hash, group, key, into)
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

    /// Keeps what SQLite returned for a key, if there was no commit since the word was `seen`, which was before
    /// SQLite was asked. Step 2.
    fn fill(&self, seen: u64, group: &str, key: &str, found: Option<&Found>) {
        let hash = self.hash(group, key);
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = write(shard);
        if shard
            .word
            .as_ref()
            .is_some_and(|word| word.word() == seen || is_planted(Sabotage::CacheFillUnchecked))
        {
            shard.shelf.put(hash, found.cloned().unwrap_or_else(|| Found::absence(group, key)));
        }
    }

    /// What the cache has for a key, for the writer: between [`catch_up_to_write`](Self::catch_up_to_write), where that has
    /// returned a word, and its commit, nobody else can have changed it.
    pub fn peek(&self, hash: u64, group: &str, key: &str) -> Option<Option<Found>> {
        read(self.shard(hash)?).shelf.get(hash, group, key)
    }

    /// Makes the cache correct again after foreign commits, unless another reader is doing that, or a commit is under
    /// way. Returns whether it is correct now. Step 4.
    pub(super) fn catch_up<E>(&self, mut log: impl FnMut(Revision) -> Result<News, E>) -> bool {
        let Ok(_catching_up) = self.catching_up.try_lock() else { return false };
        for _ in 0..ATTEMPTS {
            let (mark, before, after) = {
                let Ok(known) = self.known.try_lock() else { return false };
                match known.present() {
                    Present::Known => return true,
                    Present::Unknown => return false,
                    Present::Later(mark) => (mark, known.mark.word, known.commits.revision),
                }
            };
            // Without the mutex: this may wait for a writer, who needs it.
            let news = if self.is_on() { log(after).map(Some) } else { Ok(None) };
            let (Ok(news), Ok(mut known)) = (news, self.known.try_lock()) else { return false };
            let is_present = known.word.as_ref().and_then(Word::mark) == Some(mark);
            if is_present && known.mark.word == before {
                self.take_in(&mut known, mark, news);
                return true;
            }
        }
        false
    }

    /// Catches up for the writer, which holds the write lock, so that `log` waits for nobody. Returns the word, which no
    /// other process can move then.
    pub fn catch_up_to_write<E>(
        &self,
        mut log: impl FnMut(Revision) -> Result<News, E>,
    ) -> Result<Option<u64>, E> {
        let mut known = lock(&self.known);
        for _ in 0..ATTEMPTS {
            let mark = match known.present() {
                Present::Known => return Ok(Some(known.mark.word)),
                Present::Unknown => return Ok(None),
                Present::Later(mark) => mark,
            };
            let news = if self.is_on() { Some(log(known.commits.revision)?) } else { None };
            if known.word.as_ref().and_then(Word::mark) == Some(mark) {
                self.take_in(&mut known, mark, news);
                return Ok(Some(mark.word));
            }
        }
        Ok(None)
    }

    /// Makes the cache correct for the commit with this mark. `news` is what the change log had after the last known one;
    /// `None` where the cache is off.
    fn take_in(&self, known: &mut LastCommit<W>, mark: CommitMark, news: Option<News>) {
        known.commits = match news {
            None => known.commits,
            Some(News::Changed { latest, keys }) if latest != known.commits => {
                let keys = if is_planted(Sabotage::CacheNotCaughtUp) { Vec::new() } else { keys };
                keys.iter().for_each(|(group, key)| self.drop_from_shards(group, key.as_deref()));
                self.drop_groups(keys.iter().map(|(group, _)| group.as_str()));
                latest
            }
            Some(News::Changed { latest, .. }) if mark.is_restart_of(&known.mark) => latest,
            Some(News::Changed { latest, .. } | News::Unknown { latest }) => {
                self.clear();
                latest
            }
        };
        known.mark = mark;
        self.valid.store(mark.word, Ordering::Release);
    }

    /// Call this just before SQLite's commit, with the write lock held. Step 3.
    pub fn committing(&self) -> Committing<'_, W> {
        let known = lock(&self.known);
        let mark = known.word.as_ref().and_then(Word::mark);
        let is_caught_up = mark.is_some_and(|mark| mark.word == known.mark.word);
        Committing { cache: self, known, is_caught_up }
    }

    /// Releases the word, once no reader uses it any more.
    pub fn close(&self) {
        lock(&self.known).word = None;
        for shard in &self.shards {
            let mut shard = write(shard);
            shard.word = None;
            shard.shelf.clear();
        }
        self.close_groups();
    }

    fn clear(&self) {
        self.shards.iter().for_each(|shard| write(shard).shelf.clear());
        self.clear_groups();
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

    fn put_changes(&self, changes: &[impl AsRef<Event>]) {
        changes.iter().for_each(|change| self.put_change(change.as_ref()));
        self.drop_groups(changes.iter().map(|change| change.as_ref().group.as_str()));
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
            // Nobody asks for what has expired: names of sessions that have ended would fill the cache.
            EventKind::Expire => write(shard).shelf.drop_key(hash, group, key),
            EventKind::Delete | EventKind::DeleteGroup => {
                write(shard).shelf.put_absence(hash, group, key);
            }
        }
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, group: &str, key: &str) -> u64 {
        self.hashes.hash_one((group, key))
    }

    /// The hash of a group, or of a question.
    #[inline]
    pub(super) fn hash_of(&self, what: impl Hash) -> u64 {
        self.hashes.hash_one(what)
    }

    /// Picks the shard by bits in the middle of the hash: the table in a shard uses the lowest and the highest.
    #[inline]
    fn shard(&self, hash: u64) -> Option<&Lock<Shard<W>>> {
        self.shards.get((hash >> 32) as usize & self.shards.len().wrapping_sub(1))
    }
}

/// Held while a commit is made: no other thread can catch up past it.
pub struct Committing<'a, W> {
    cache: &'a Cache<W>,
    known: MutexGuard<'a, LastCommit<W>>,
    /// Whether the cache knows every commit before this one.
    is_caught_up: bool,
}

impl<W: Word> Committing<'_, W> {
    /// Puts the changes of the commit before it is one, where that fault is planted.
    #[inline]
    pub fn publish_too_early(&self, changes: &[impl AsRef<Event>]) {
        if is_planted(Sabotage::PublishedBeforeCommit) {
            self.cache.put_changes(changes);
        }
    }

    /// Puts the changes of the commit; `None` means too many, and empties the cache. `frames` is how many pages the log
    /// had after it, as SQLite told. Where that proves nothing, `is_last` asks SQLite whether nobody has committed since.
    /// Returns the word, if only this commit has moved it. If the commit failed, drop this instead: the cache stays as it
    /// was.
    pub fn publish(
        mut self,
        latest: Commits,
        frames: u32,
        is_last: impl FnOnce() -> bool,
        changes: Option<&[impl AsRef<Event>]>,
    ) -> Option<u64> {
        let known = &mut *self.known;
        let word = known.word.as_ref()?;
        word.committed();
        let mark = word.mark()?;
        if mark.word == known.mark.word {
            // Nothing was written.
            return Some(mark.word);
        }
        if !self.is_caught_up {
            self.cache.clear();
        }
        match changes {
            Some(changes) => self.cache.put_changes(changes),
            None => self.cache.clear(),
        }
        known.commits = latest;
        // In this order: if nobody has committed by now, the mark is of the own commit.
        if !mark.is_own_commit_after(&known.mark, frames) && !is_last() {
            return None;
        }
        known.others_came_between |= !self.is_caught_up || known.others_came_before(&known.mark);
        known.mark = mark;
        known.own = mark;
        self.cache.valid.store(mark.word, Ordering::Release);
        Some(mark.word)
    }
}

#[inline]
pub(super) fn read<T>(shard: &Lock<T>) -> ReadGuard<'_, T> {
    unpoisoned(shard.read())
}

pub(super) fn write<T>(shard: &Lock<T>) -> WriteGuard<'_, T> {
    unpoisoned(shard.write())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    unpoisoned(mutex.lock())
}
