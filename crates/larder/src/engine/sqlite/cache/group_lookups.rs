//! Whole groups in the cache: the same protocol as for single entries.
//!
//! The groups are behind a lock of their own, which has a handle to the word, as each shard has one. A lookup compares
//! the word with `valid` under it, a scan is kept only if the word is still what it was before the scan, and each change
//! of a group drops it before `valid` moves.
//!
//! What was counted is behind the same lock, and simpler: it holds at one word, and is used only while that is the word.

use super::coherence::{Cache, read, write};
use super::figures::{Counted, FigureShelf, Figures, Question};
use super::group_shelf::{GroupShelf, Scans, WholeGroup};
use super::groups::Groups;
use super::news::News;
use super::sync::{Ordering, WriteGuard};
use super::word::Word;
use crate::data::{Entries, Revision};
use crate::engine::sabotage::{Sabotage, is_planted};

/// The result of a lookup.
pub enum GroupLookup {
    /// All live entries.
    Hit(Entries),
    /// The cache does not have the group.
    Miss(GroupMiss),
    /// The cache is off or closed, or another thread is catching up.
    Unknown,
}

/// What is known of a group that the cache does not have.
pub struct GroupMiss {
    /// The word, before the group is read.
    seen: u64,
    pub scans: Scans,
}

/// The result of a question.
pub enum FigureLookup {
    Hit(Figures),
    /// The cache does not know.
    Miss(FigureMiss),
    /// The cache is off or closed.
    Unknown,
}

/// What is known of a question that the cache cannot answer.
pub struct FigureMiss {
    /// The word, before anything is counted.
    seen: u64,
    /// Whether something was asked at this word before.
    pub is_second: bool,
}

impl<W: Word> Cache<W> {
    /// Looks for a group. `now_ms` is the time by which its entries are live.
    #[inline]
    pub fn look_at_group(&self, group: &str, now_ms: i64) -> GroupLookup {
        let hash = self.hash_of(group);
        let groups = read(&self.groups);
        let Some(word) = &groups.word else { return GroupLookup::Unknown };
        let seen = word.word();
        if seen != self.valid.load(Ordering::Acquire) {
            return GroupLookup::Unknown;
        }
        match groups.shelf.get(hash, group, now_ms) {
            Ok(entries) => GroupLookup::Hit(entries),
            Err(scans) => GroupLookup::Miss(GroupMiss { seen, scans }),
        }
    }

    /// Looks for a group, and catches up first where another process has committed. `log` reads the change log.
    pub fn find_group<E>(
        &self,
        group: &str,
        now_ms: i64,
        log: impl FnMut(Revision) -> Result<News, E>,
    ) -> GroupLookup {
        match self.look_at_group(group, now_ms) {
            GroupLookup::Unknown if self.is_on() && self.catch_up(log) => self.look_at_group(group, now_ms),
            found => found,
        }
    }

    /// Whether a group of so many bytes may be kept.
    pub fn has_room_for_group(&self, bytes: usize) -> bool {
        read(&self.groups).shelf.has_room_for(bytes)
    }

    /// Keeps a group that was read after that miss, if there was no commit since.
    pub fn keep_group(&self, missed: &GroupMiss, group: &str, whole: WholeGroup) {
        self.fill_groups(missed, |shelf, hash| shelf.put(hash, group, whole), group);
    }

    /// Notes that a scan has read `entries` more of a group that is not kept.
    pub fn note_scan(&self, missed: &GroupMiss, group: &str, entries: u64, needed: Option<u64>) {
        let scans = Scans { read: missed.scans.read.saturating_add(entries), needed };
        self.fill_groups(missed, |shelf, hash| shelf.note(hash, group, scans), group);
    }

    fn fill_groups(&self, missed: &GroupMiss, fill: impl FnOnce(&mut GroupShelf, u64), group: &str) {
        let hash = self.hash_of(group);
        let mut groups = write(&self.groups);
        let is_same = |word: &W| word.word() == missed.seen || is_planted(Sabotage::CacheFillUnchecked);
        if groups.word.as_ref().is_some_and(is_same) {
            fill(&mut groups.shelf, hash);
            self.make_room(groups);
        }
    }

    /// Evicts entries for what was kept.
    fn make_room(&self, mut groups: WriteGuard<'_, Groups<W>>) {
        let is_less = self.share_room(&mut groups);
        drop(groups);
        if is_less {
            // Without the lock of the groups: a large group may push out many entries.
            self.shards.iter().for_each(|shard| write(shard).shelf.evict());
        }
    }

    /// Looks for the answer to a question. It is right only at the word at which it was counted, so catching up is no help.
    #[inline]
    pub fn find_figures(&self, question: &Question<'_>, now_ms: i64) -> FigureLookup {
        let hash = self.hash_of(question);
        let groups = read(&self.groups);
        let Some(word) = &groups.word else { return FigureLookup::Unknown };
        let seen = word.word();
        let is_second = groups.figures.is_at(seen);
        match groups.figures.get(hash, question, now_ms) {
            Some(figures) if is_second => FigureLookup::Hit(figures),
            _ => FigureLookup::Miss(FigureMiss { seen, is_second }),
        }
    }

    /// Keeps an answer that was counted after that miss, if there was no commit since.
    pub fn keep_figures(&self, missed: &FigureMiss, question: &Question<'_>, counted: Counted) {
        let hash = self.hash_of(question);
        self.fill_figures(missed, |figures| figures.put(hash, question, counted));
    }

    /// Notes that something was asked.
    pub fn note_question(&self, missed: &FigureMiss) {
        self.fill_figures(missed, |_| ());
    }

    fn fill_figures(&self, missed: &FigureMiss, fill: impl FnOnce(&mut FigureShelf)) {
        let mut groups = write(&self.groups);
        let is_same = |word: &W| word.word() == missed.seen || is_planted(Sabotage::CacheFillUnchecked);
        if groups.word.as_ref().is_some_and(is_same) {
            if !groups.figures.is_at(missed.seen) {
                groups.figures.begin(missed.seen);
            }
            fill(&mut groups.figures);
            self.make_room(groups);
        }
    }

    /// Forgets groups that have changed.
    pub(super) fn drop_groups<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut groups = write(&self.groups);
        if groups.shelf.is_empty() || is_planted(Sabotage::GroupsNotDropped) {
            return;
        }
        let mut last = None;
        for name in names {
            if last.replace(name) != Some(name) {
                groups.shelf.drop_group(self.hash_of(name), name);
            }
        }
        self.share_room(&mut groups);
    }

    /// Forgets all groups.
    pub(super) fn clear_groups(&self) {
        let mut groups = write(&self.groups);
        groups.shelf.clear();
        self.share_room(&mut groups);
    }

    /// Forgets all groups and gives the word back.
    pub(super) fn close_groups(&self) {
        let mut groups = write(&self.groups);
        *groups = Groups::new(None, 0);
    }

    /// How many bytes everything takes.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let entries = self.shards.iter().map(|shard| read(shard).shelf.bytes()).sum::<usize>();
        let groups = read(&self.groups);
        entries + groups.shelf.bytes() + groups.figures.bytes()
    }

    /// Leaves to the entries what the groups do not take. Returns whether that is less than before.
    fn share_room(&self, groups: &mut Groups<W>) -> bool {
        let before = std::mem::replace(&mut groups.room, groups.shelf.room(groups.figures.bytes()));
        if groups.room != before {
            let rest = self.bytes_max.saturating_sub(groups.room) / self.shards.len().max(1);
            self.shards.iter().for_each(|shard| write(shard).shelf.limit(rest));
        }
        groups.room > before
    }
}
