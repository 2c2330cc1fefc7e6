//! Scans of groups that the cache may have as a whole.

use std::time::SystemTime;

use super::SqliteEngine;
use super::cache::{GroupLookup, GroupMiss, News, WholeGroup};
use super::change_log;
use super::queries::Queries;
use crate::data::{Clock, Entries, Result, Revision, clock};
use crate::engine::{Columns, Scan};

/// The memory of one entry of a group besides its key and value: about as much as [`Entries::memory`] says.
const ENTRY_BYTES: u64 = 40;

/// The time at which a group was read.
#[derive(Debug)]
pub(super) struct Then(SystemTime);

impl Then {
    pub fn at_ms(ms: i64) -> Self {
        Self(clock::time(ms))
    }
}

impl Clock for Then {
    fn now(&self) -> SystemTime {
        self.0
    }
}

/// What was read where the cache could not answer.
enum Found {
    /// The whole group, to keep it.
    Whole(Entries),
    /// What was asked for. With the number of entries from which on the group would be kept, if that is known.
    Page(Entries, Option<u64>),
}

impl SqliteEngine {
    /// A scan that the cache answers.
    pub(super) fn cached_scan(&self, scan: &Scan<'_>) -> Option<Entries> {
        match self.cache.look_at_group(scan.group, clock::now_ms(&*self.clock)) {
            GroupLookup::Hit(group) => Some(scan.page_of(&group)),
            GroupLookup::Miss(_) | GroupLookup::Unknown => None,
        }
    }

    /// A scan that the cache answers, or else SQLite. In the latter case the cache may keep the group.
    pub(super) fn scan_through(&self, scan: &Scan<'_>) -> Result<Entries> {
        let now_ms = clock::now_ms(&*self.clock);
        let missed = match self.cache.find_group(scan.group, now_ms, |after| self.news(after)) {
            GroupLookup::Hit(group) => return Ok(scan.page_of(&group)),
            GroupLookup::Unknown => return self.ask(|reading| reading.scan(scan)),
            GroupLookup::Miss(missed) => missed,
        };
        let then = Then::at_ms(now_ms);
        let found = self.ask(|reading| {
            let needed = self.entries_needed(reading, scan.group, &missed)?;
            if needed.is_some_and(|needed| missed.scans.read > needed) {
                let at_once = Queries { clock: &then, ..*reading };
                return Ok(Found::Whole(at_once.scan(&Scan::whole(scan.group, Columns::All))?));
            }
            Ok(Found::Page(reading.scan(scan)?, needed))
        })?;
        Ok(match found {
            Found::Whole(group) => {
                self.cache.keep_group(&missed, scan.group, WholeGroup::new(group.clone(), now_ms));
                scan.page_of(&group)
            }
            Found::Page(page, needed) => {
                // An empty group takes a scan as well.
                self.cache.note_scan(&missed, scan.group, page.len() as u64 + 1, needed);
                page
            }
        })
    }

    /// Counts entries that were read in a snapshot as read by a scan.
    pub(super) fn note_walk_of(&self, group: &str, entries: usize) {
        let now_ms = clock::now_ms(&*self.clock);
        if let GroupLookup::Miss(missed) = self.cache.look_at_group(group, now_ms) {
            self.cache.note_scan(&missed, group, entries as u64, missed.scans.needed);
        }
    }

    /// How many entries scans must have read of a group before it is kept. It is asked for at the second scan of one state,
    /// since most groups that are read once are not read again.
    fn entries_needed(
        &self,
        reading: &Queries<'_>,
        group: &str,
        missed: &GroupMiss,
    ) -> rusqlite::Result<Option<u64>> {
        if missed.scans.read == 0 || missed.scans.needed.is_some() {
            return Ok(missed.scans.needed);
        }
        let stored = reading.tally(group)?;
        let bytes = stored.bytes.saturating_add(stored.keys.saturating_mul(ENTRY_BYTES));
        let has_room = usize::try_from(bytes).is_ok_and(|bytes| self.cache.has_room_for_group(bytes));
        Ok(Some(if has_room { stored.keys } else { u64::MAX }))
    }

    /// What the change log has after a revision.
    pub(super) fn news(&self, after: Revision) -> Result<News> {
        self.readers.with(|connection| {
            let news = || change_log::news(connection, after);
            self.file.wait_for_lock(news).map_err(|error| self.file.failure(error))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::sqlite::InOwnFile;
    use crate::engine::{Commit, Engine, Mutation, Settings, Unheard};

    fn set(group: &str, key: &str, value: &str) -> Mutation {
        Mutation::Set { group: group.into(), key: key.into(), value: value.into(), expires_at_ms: None }
    }

    fn all(group: &str) -> Scan<'_> {
        Scan::whole(group, Columns::Values)
    }

    fn page(group: &str, limit: usize) -> Scan<'_> {
        Scan { limit, ..Scan::whole(group, Columns::All) }
    }

    fn is_kept(engine: &SqliteEngine, group: &str) -> bool {
        engine.cached_scan(&all(group)).is_some()
    }

    fn read(engine: &SqliteEngine, scan: &Scan<'_>, times: usize) {
        (0..times).for_each(|_| drop(engine.scan_through(scan).unwrap()));
    }

    fn filled(settings: &Settings, groups: &[&str], keys: usize) -> InOwnFile {
        let engine = InOwnFile::new(settings, Arc::new(Unheard));
        let of = |group| (0..keys).map(move |key| set(group, &format!("{key:05}"), "value"));
        engine
            .commit(Commit::from(groups.iter().flat_map(|group| of(*group)).collect::<Vec<_>>()))
            .wait()
            .unwrap();
        engine
    }

    #[test]
    fn a_group_is_kept_from_its_second_scan_on_and_until_it_changes() {
        let engine = filled(&Settings::default(), &["g", "h"], 10);
        read(&engine, &all("g"), 1);
        assert!(!is_kept(&engine, "g"));
        read(&engine, &all("g"), 1);
        assert!(is_kept(&engine, "g") && !is_kept(&engine, "h"));
        read(&engine, &all("h"), 2);
        read(&engine, &all("nothing"), 2);
        assert!(is_kept(&engine, "nothing"), "that it is empty");
        engine.commit(set("g", "new", "value").into()).wait().unwrap();
        assert!(!is_kept(&engine, "g") && is_kept(&engine, "h") && is_kept(&engine, "nothing"));
        // A scan before the change and one after it are not two of one state.
        read(&engine, &all("g"), 1);
        engine.commit(set("g", "new", "again").into()).wait().unwrap();
        read(&engine, &all("g"), 1);
        assert!(!is_kept(&engine, "g"));
    }

    #[test]
    fn a_group_of_which_pages_are_read_is_kept_once_they_have_read_as_much_as_it_has() {
        let engine = filled(&Settings::default(), &["g"], 1000);
        read(&engine, &page("g", 99), 10);
        assert!(!is_kept(&engine, "g"));
        read(&engine, &page("g", 99), 2);
        assert!(is_kept(&engine, "g"));
        assert_eq!(engine.cached_scan(&page("g", 99)).unwrap().len(), 99);
    }

    #[test]
    fn what_is_too_large_for_its_share_of_the_cache_is_not_kept_and_a_cache_of_no_bytes_keeps_nothing() {
        let small = Settings { cache_bytes: 64 << 10, ..Settings::default() };
        let engine = filled(&small, &["large"], 1000);
        engine.commit(set("small", "key", "value").into()).wait().unwrap();
        for group in ["large", "small"] {
            read(&engine, &all(group), 5);
        }
        assert!(!is_kept(&engine, "large") && is_kept(&engine, "small"));
        let engine = filled(&Settings { cache_bytes: 0, ..Settings::default() }, &["g"], 10);
        read(&engine, &all("g"), 5);
        assert!(!is_kept(&engine, "g"));
    }

    #[test]
    fn a_commit_of_another_process_drops_the_groups_that_it_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let open = || SqliteEngine::open(&path, &Settings::default(), Arc::new(Unheard)).unwrap().engine;
        let (ours, theirs) = (open(), open());
        for group in ["g", "h"] {
            theirs.commit(set(group, "key", "value").into()).wait().unwrap();
            read(&ours, &all(group), 2);
        }
        theirs.commit(set("g", "key", "new").into()).wait().unwrap();
        assert!(!is_kept(&ours, "g") && !is_kept(&ours, "h"), "before it has caught up");
        read(&ours, &all("h"), 1);
        assert!(!is_kept(&ours, "g") && is_kept(&ours, "h"));
        assert_eq!(ours.scan_through(&all("g")).unwrap().get("key").unwrap(), "new");
        ours.close().unwrap();
        assert!(!is_kept(&ours, "h"));
        theirs.close().unwrap();
    }

    #[test]
    fn entries_and_groups_together_take_no_more_than_the_cache_may() {
        let bytes = 1 << 20;
        let engine = filled(&Settings { cache_bytes: bytes, ..Settings::default() }, &[], 0);
        for number in 0..100 {
            let group = format!("{number:03}");
            let some = (0..100).map(|key| set(&group, &format!("{key:03}"), &"v".repeat(100)));
            engine.commit(Commit::from(some.collect::<Vec<_>>())).wait().unwrap();
            read(&engine, &all(&group), 2);
            assert!(engine.cache.bytes() <= bytes as usize, "{}", engine.cache.bytes());
        }
        assert!(is_kept(&engine, "099"));
        assert!(engine.cache.bytes() > bytes as usize / 2, "{}", engine.cache.bytes());
        // What the groups leave again, entries may have.
        let before = engine.cache.bytes();
        (0..100).for_each(|number| {
            engine.commit(set(&format!("{number:03}"), "new", "value").into()).wait().unwrap();
        });
        assert!(engine.cache.bytes() < before);
        for key in 0..10_000 {
            engine.stored("none", &format!("{key:0100}")).unwrap();
        }
        assert!(engine.cache.bytes() > bytes as usize * 9 / 10, "{}", engine.cache.bytes());
    }
}
