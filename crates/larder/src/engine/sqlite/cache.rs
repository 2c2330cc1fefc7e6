//! Reads from memory that are never stale, whichever thread or process wrote last.
//!
//! [`coherence`] is the protocol, and [`group_lookups`] what it is for whole groups and counts.
//! [`shelf`](crate::engine::shelf) keeps and evicts entries, [`group_shelf`] groups, and [`figures`] counts. [`word`] is how
//! the cache learns of a commit. `docs/architecture.md` explains why it is correct.

mod coherence;
mod figures;
mod group_lookups;
mod group_shelf;
mod groups;
mod news;
mod sync;
mod word;

#[cfg(test)]
mod model;

use std::sync::Arc;

use self::coherence::Cache;
pub(super) use self::figures::{Counted, Figure, Question};
pub(super) use self::group_lookups::{FigureLookup, GroupLookup, GroupMiss};
pub(super) use self::group_shelf::WholeGroup;
pub(super) use self::news::{Commits, News};
pub(super) use self::word::{CommitMark, Word};
use super::wal_index::WalIndex;

/// The cache of a store.
pub(super) type StoreCache = Cache<StoreWord>;

/// The word of a store, which other processes may write.
#[derive(Clone)]
pub(super) struct StoreWord(pub Arc<WalIndex>);

impl Word for StoreWord {
    #[inline]
    fn word(&self) -> u64 {
        self.0.word()
    }

    fn mark(&self) -> Option<CommitMark> {
        self.0.mark()
    }

    fn committed(&self) {
        // SQLite has changed it.
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sqlite::{InOwnFile, SqliteEngine};
    use crate::engine::{Commit, Engine, Mutation, Settings, Unheard};

    fn set(engine: &SqliteEngine, keys: usize) {
        let set = |key: usize| Mutation::Set {
            group: "g".into(),
            key: key.to_string(),
            value: vec![b'v'; 5000].into(),
            expires_at_ms: None,
        };
        engine.commit(Commit::from((0..keys).map(set).collect::<Vec<_>>())).wait().unwrap();
    }

    #[test]
    fn an_own_commit_is_known_for_the_last_one_whatever_becomes_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let open = || SqliteEngine::open(&path, &Settings::default(), Arc::new(Unheard)).unwrap().engine;
        let (ours, theirs) = (open(), open());
        // The first commit of a new log.
        set(&ours, 1);
        assert!(!ours.cache.others_have_committed());
        for keys in [1, 10, 20, 2] {
            let other = rusqlite::Connection::open(&path).unwrap();
            let checkpoint = if keys == 20 { "TRUNCATE" } else { "RESTART" };
            let checkpoint = format!("PRAGMA wal_checkpoint({checkpoint})");
            other.query_row(&checkpoint, [], |_| Ok(())).unwrap();
            // Starts the log over, and makes it longer than it was in some rounds.
            set(&ours, keys);
            assert!(!ours.cache.others_have_committed(), "{keys}");
            set(&ours, 1);
            assert!(!ours.cache.others_have_committed(), "{keys}");
            set(&theirs, 1);
            assert!(ours.cache.others_have_committed(), "{keys}");
            // Told once of what came between.
            set(&ours, 1);
            assert_eq!([(); 2].map(|()| ours.cache.others_have_committed()), [true, false], "{keys}");
        }
    }

    #[test]
    fn an_entry_that_was_removed_because_it_expired_takes_no_room_any_more() {
        let clock = crate::data::ManualClock::new();
        let settings = Settings { clock: Arc::new(clock.clone()), ..Settings::default() };
        let engine = InOwnFile::new(&settings, Arc::new(Unheard));
        let until = crate::data::clock::now_ms(&clock) + 1000;
        let session = Mutation::Set {
            group: "g".into(),
            key: "session".into(),
            value: "v".into(),
            expires_at_ms: Some(until),
        };
        engine.commit(session.into()).wait().unwrap();
        let known = || engine.cache.peek(engine.cache.hash("g", "session"), "g", "session");
        assert!(matches!(known(), Some(Some(_))));
        clock.advance(std::time::Duration::from_secs(2));
        engine.commit(Mutation::Purge { prefix: String::new(), max: 10 }.into()).wait().unwrap();
        assert!(known().is_none());
        // A read asks SQLite once, and then the cache knows that there is none.
        assert!(engine.stored("g", "session").unwrap().is_none());
        assert!(matches!(known(), Some(None)));
    }
}
