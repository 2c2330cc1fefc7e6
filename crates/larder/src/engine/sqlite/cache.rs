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
    use std::sync::Mutex;

    use super::*;
    use crate::data::{Event, Facts, Found, Revision};
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

    /// A header that another process may have left half written.
    #[derive(Clone, Default)]
    struct Header(Arc<Mutex<(CommitMark, bool)>>);

    impl Word for Header {
        fn word(&self) -> u64 {
            self.0.lock().unwrap().0.word
        }

        fn mark(&self) -> Option<CommitMark> {
            let (mark, is_torn) = *self.0.lock().unwrap();
            (!is_torn).then_some(mark)
        }

        fn committed(&self) {}
    }

    #[test]
    fn a_commit_over_a_header_that_a_killed_process_left_half_written_leaves_nothing_stale() {
        let mark = |number: u32| CommitMark {
            word: number.into(),
            change: number,
            frames: number,
            restarts: 7,
            last_frame: number.into(),
        };
        let commits = |revision| Commits { revision: Revision(revision), unlogged: 0 };
        let header = Header::default();
        header.0.lock().unwrap().0 = mark(1);
        let cache = Cache::open(1 << 20, Some(header.clone()), || Ok::<_, ()>(commits(1))).unwrap();
        let old = Found::new("g", "k", b"old", Facts { revision: Revision(1), expires_at_ms: None });
        let news = |_| Err(());
        cache.read("g", "k", news, || Ok(Some(old))).unwrap();
        assert!(cache.look("g", "k").is_some());
        // Another process deletes the key. A third is killed while it writes the header of a commit, which then counts for
        // nothing: the next writer that has read the first half before writes over it.
        *header.0.lock().unwrap() = (mark(2), true);
        assert_eq!(cache.catch_up_to_write(news), Ok(None));
        let committing = cache.committing();
        *header.0.lock().unwrap() = (mark(3), false);
        let changes: &[Arc<Event>] = &[];
        assert_eq!(committing.publish(commits(3), 3, || true, Some(changes)), Some(3));
        assert!(cache.look("g", "k").is_none());
        assert!(cache.others_have_committed());
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
