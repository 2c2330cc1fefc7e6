//! The protocol under every order in which a few threads can run. Loom runs the source of [`coherence`] itself,
//! with its own locks and atomics instead of the real ones.
//!
//! Two keys under a lock stand in for SQLite. Each commit gives its key the next version, so a read that returns
//! less than was acknowledged before it is stale.

use loom::thread;

use super::figures::{Counted, Figures, Question};
use super::group_shelf::WholeGroup;
use super::{figures, group_shelf, groups, news, word};
use crate::data::{Entries, EntriesBuilder, Event, EventKind, Facts, Found, Revision, Usage};

#[path = "coherence.rs"]
#[allow(
    dead_code,
    clippy::duplicate_mod,
    reason = "the model is the protocol's own source, with loom's locks"
)]
mod coherence;

#[path = "group_lookups.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "as above")]
mod group_lookups;

mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
    pub use loom::sync::{
        Mutex, MutexGuard, RwLock as Lock, RwLockReadGuard as ReadGuard, RwLockWriteGuard as WriteGuard,
    };
}

use self::coherence::Cache;
use self::group_lookups::{FigureLookup, GroupLookup};
use self::news::{Commits, News};
use self::sync::{AtomicU64, Mutex, Ordering};
use self::word::{CommitMark, Word};
use loom::sync::Arc;

const GROUP: &str = "group";
const KEYS: [&str; 2] = ["a: of this process", "b: of others"];

/// Stands for both keys, read as a whole group.
const BOTH: usize = 2;

/// Stands for both keys, as an answer that is counted from them.
const COUNT: usize = 3;

/// A file, and the memory that its connections share.
struct File {
    write_lock: Mutex<()>,
    state: Mutex<State>,
    /// The number of commits.
    word: AtomicU64,
    /// The last acknowledged version of each key.
    acknowledged: [AtomicU64; 2],
}

struct State {
    versions: [u64; 2],
    revision: Revision,
    /// Which key each revision changed.
    log: Vec<usize>,
}

#[derive(Clone)]
struct FileWord(Arc<File>);

impl Word for FileWord {
    fn word(&self) -> u64 {
        self.0.word.load(Ordering::Acquire)
    }

    fn mark(&self) -> Option<CommitMark> {
        let word = self.word();
        Some(CommitMark { word, change: word as u32, ..CommitMark::default() })
    }

    fn committed(&self) {}
}

impl File {
    fn select(&self, key: usize) -> Found {
        let version = Revision(self.state.lock().unwrap().versions[key]);
        Found::new(GROUP, KEYS[key], b"value", Facts { revision: version, expires_at_ms: None })
    }

    fn select_all(&self) -> Entries {
        let state = self.state.lock().unwrap();
        let mut found = EntriesBuilder::default();
        for (key, version) in KEYS.into_iter().zip(state.versions) {
            found.push(key, b"value", Some(Facts { revision: Revision(version), expires_at_ms: None }));
        }
        found.finish()
    }

    /// What SQLite does when it commits: the word moves together with the data.
    fn commit(&self, key: usize, logged: bool) -> (u64, Revision) {
        let mut state = self.state.lock().unwrap();
        state.versions[key] += 1;
        if logged {
            state.log.push(key);
            state.revision = state.revision.next();
        }
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(word + 1, Ordering::Release);
        (state.versions[key], state.revision)
    }

    fn acknowledge(&self, key: usize, version: u64) {
        self.acknowledged[key].fetch_max(version, Ordering::AcqRel);
    }

    /// The log, for a reader. If a process was killed while it wrote the header, SQLite makes readers wait for the writer.
    fn log_for_reader(&self, after: Revision) -> Result<News, ()> {
        drop(self.write_lock.lock().unwrap());
        self.log(after)
    }

    fn log(&self, after: Revision) -> Result<News, ()> {
        let state = self.state.lock().unwrap();
        let changed = state.log.iter().skip(after.0 as usize);
        let keys = changed.map(|key| (GROUP.to_owned(), Some(KEYS[*key].to_owned()))).collect();
        Ok(News::Changed { latest: Commits { revision: state.revision, unlogged: 0 }, keys })
    }
}

/// Lets other threads run. Without it, loom does not try what happens just after a lock is released.
fn yield_now() {
    thread::yield_now();
}

/// One process: its cache, and what larder does with it.
struct Process {
    file: Arc<File>,
    cache: Cache<FileWord>,
}

impl Process {
    /// With an empty cache.
    fn open() -> Self {
        let file = Arc::new(File {
            write_lock: Mutex::new(()),
            state: Mutex::new(State { versions: [1; 2], revision: Revision(0), log: Vec::new() }),
            word: AtomicU64::new(1),
            acknowledged: [AtomicU64::new(1), AtomicU64::new(1)],
        });
        let cache =
            Cache::open(1 << 14, Some(FileWord(Arc::clone(&file))), || Ok::<_, ()>(Commits::default()));
        Self { file, cache: cache.unwrap() }
    }

    fn read(&self, key: usize) -> u64 {
        let fetch = || {
            let found = self.file.select(key);
            yield_now();
            Ok(Some(found))
        };
        let found = self.cache.read(GROUP, KEYS[key], |after| self.file.log_for_reader(after), fetch);
        found.unwrap().unwrap().facts().revision.0
    }

    /// Reads both keys as a group, which is kept at once.
    fn read_group(&self) -> [u64; 2] {
        let group = match self.cache.find_group(GROUP, 0, |after| self.file.log_for_reader(after)) {
            GroupLookup::Hit(group) => group,
            GroupLookup::Unknown => self.file.select_all(),
            GroupLookup::Miss(missed) => {
                let group = self.file.select_all();
                yield_now();
                self.cache.keep_group(&missed, GROUP, WholeGroup::new(group.clone(), 0));
                group
            }
        };
        [0, 1].map(|key| group.entry(key).revision.0)
    }

    /// Counts both keys: their versions stand for two counts.
    fn count(&self) -> [u64; 2] {
        let question = Question::UsageOfGroup(GROUP);
        let missed = match self.cache.find_figures(&question, 0) {
            FigureLookup::Hit(Figures::Usage(usage)) => return [usage.keys, usage.bytes],
            FigureLookup::Miss(missed) => Some(missed),
            _ => None,
        };
        let [keys, bytes] = self.file.state.lock().unwrap().versions;
        yield_now();
        if let Some(missed) = missed {
            let figures = Figures::Usage(Usage { keys, groups: 1, bytes });
            self.cache.keep_figures(&missed, &question, Counted { figures, from_ms: 0, until_ms: 1 });
        }
        [keys, bytes]
    }

    /// Reads both keys at once. Neither may be older than what was acknowledged, or read by any thread, before.
    fn check_both(&self, read: fn(&Self) -> [u64; 2]) {
        let floors = [0, 1].map(|key| self.file.acknowledged[key].load(Ordering::Acquire));
        let versions = read(self);
        for key in [0, 1] {
            let (version, floor) = (versions[key], floors[key]);
            assert!(version >= floor, "read version {version} of both after {floor} was acknowledged");
            self.file.acknowledge(key, version);
        }
    }

    /// Reads a key. The result must be at least what was acknowledged, or read by any thread, before.
    fn check(&self, key: usize) {
        match key {
            BOTH => return self.check_both(Self::read_group),
            COUNT => return self.check_both(Self::count),
            _ => {}
        }
        let floor = self.file.acknowledged[key].load(Ordering::Acquire);
        let version = self.read(key);
        assert!(version >= floor, "read version {version} after {floor} was acknowledged");
        self.file.acknowledge(key, version);
    }

    fn commit(&self) {
        let write_lock = self.file.write_lock.lock().unwrap();
        self.cache.catch_up_to_write(|after| self.file.log(after)).unwrap();
        let committing = self.cache.committing();
        let (version, revision) = self.file.commit(0, true);
        // SQLite's commit releases the lock before anything is published.
        drop(write_lock);
        yield_now();
        let event = Event {
            revision: Revision(version),
            kind: EventKind::Set,
            group: GROUP.to_owned(),
            key: Some(KEYS[0].to_owned()),
            value: Some("value".into()),
            expires_at: None,
            at: std::time::SystemTime::UNIX_EPOCH,
        };
        committing.publish(
            Commits { revision, unlogged: 0 },
            0,
            || false,
            Some(&[std::sync::Arc::new(event)]),
        );
        self.file.acknowledge(0, version);
    }

    /// A commit that fails: the file stays as it was.
    fn fail_to_commit(&self) {
        let _write_lock = self.file.write_lock.lock().unwrap();
        self.cache.catch_up_to_write(|after| self.file.log(after)).unwrap();
        drop(self.cache.committing());
    }

    /// What another process does.
    fn foreign_commit(&self) {
        self.commit_elsewhere(1, true);
    }

    /// A commit of a program that writes no change log.
    fn alien_commit(&self) {
        self.commit_elsewhere(1, false);
    }

    fn commit_elsewhere(&self, key: usize, logged: bool) {
        let write_lock = self.file.write_lock.lock().unwrap();
        let (version, _) = self.file.commit(key, logged);
        drop(write_lock);
        self.file.acknowledge(key, version);
    }
}

type Threads = &'static [fn(&Process)];

/// Runs the threads of a process that has both keys in its cache, beside one that reads these keys.
fn model(reads: &'static [usize], threads: Threads) {
    explore(&[0, 1], reads, threads);
}

/// Runs threads in every order with at most three preemptions.
fn explore(cached: &'static [usize], reads: &'static [usize], threads: Threads) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let process = Arc::new(Process::open());
        cached.iter().for_each(|key| process.check(*key));
        let spawn = |act: &'static fn(&Process)| {
            let process = Arc::clone(&process);
            thread::spawn(move || act(&process))
        };
        let threads: Vec<_> = threads.iter().map(spawn).collect();
        reads.iter().for_each(|key| process.check(*key));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        process.check(0);
        process.check(1);
        process.check(BOTH);
        process.check(COUNT);
    });
}

#[test]
fn a_reader_who_fills_the_cache_never_buries_what_was_committed_meanwhile() {
    explore(&[], &[0], &[Process::commit]);
    explore(&[], &[1], &[Process::foreign_commit]);
    explore(
        &[],
        &[0],
        &[|process| {
            process.commit();
            process.commit();
        }],
    );
}

#[test]
fn a_commit_between_those_of_others_leaves_nothing_old_in_the_cache() {
    model(
        &[],
        &[Process::commit, |process| {
            process.commit_elsewhere(1, true);
            process.commit_elsewhere(0, true);
        }],
    );
}

#[test]
fn a_reader_beside_two_commits_of_its_own_process_never_reads_what_is_old() {
    model(
        &[0, 0],
        &[|process| {
            process.commit();
            process.commit();
        }],
    );
}

#[test]
fn a_reader_beside_commits_of_another_process_never_reads_what_is_old() {
    model(
        &[1, 1],
        &[|process| {
            process.foreign_commit();
            process.foreign_commit();
        }],
    );
}

#[test]
fn a_reader_beside_commits_of_another_program_never_reads_what_is_old() {
    model(
        &[1, 1],
        &[|process| {
            process.alien_commit();
            process.alien_commit();
        }],
    );
}

#[test]
fn two_readers_beside_a_commit_never_read_what_is_old() {
    model(&[0], &[|process| process.check(0), Process::commit]);
}

#[test]
fn two_readers_beside_a_foreign_commit_never_read_what_is_old() {
    model(&[1], &[|process| process.check(1), Process::foreign_commit]);
}

#[test]
fn a_reader_beside_a_commit_and_a_foreign_one_never_reads_what_is_old() {
    model(&[1, 0], &[Process::commit, Process::foreign_commit]);
}

#[test]
fn a_reader_beside_a_commit_that_fails_and_a_foreign_one_never_reads_what_is_old() {
    model(&[1], &[Process::fail_to_commit, Process::foreign_commit]);
}

#[test]
fn a_reader_beside_a_close_reads_on_without_the_cache() {
    model(&[1, 0], &[|process| process.cache.close(), Process::foreign_commit]);
}

#[test]
fn a_reader_who_keeps_a_group_never_buries_what_was_committed_meanwhile() {
    explore(&[], &[BOTH], &[Process::commit]);
    explore(&[], &[BOTH], &[Process::foreign_commit]);
    explore(
        &[],
        &[BOTH],
        &[|process| {
            process.commit();
            process.commit();
        }],
    );
}

#[test]
fn a_reader_of_a_kept_group_beside_commits_of_its_own_process_never_reads_what_is_old() {
    explore(
        &[BOTH],
        &[BOTH, BOTH],
        &[|process| {
            process.commit();
            process.commit();
        }],
    );
}

#[test]
fn a_reader_of_a_kept_group_beside_commits_of_others_never_reads_what_is_old() {
    explore(
        &[BOTH],
        &[BOTH, BOTH],
        &[|process| {
            process.foreign_commit();
            process.alien_commit();
        }],
    );
}

#[test]
fn a_group_is_never_older_than_the_entries_that_were_read_before_it() {
    explore(&[BOTH, 0, 1], &[0, BOTH], &[Process::commit]);
    explore(&[BOTH, 0, 1], &[1, BOTH], &[Process::foreign_commit]);
}

#[test]
fn two_readers_of_a_kept_group_beside_a_commit_and_a_foreign_one_never_read_what_is_old() {
    explore(&[BOTH], &[BOTH], &[|process| process.check(BOTH), Process::commit]);
    explore(&[BOTH], &[BOTH], &[Process::commit, Process::foreign_commit]);
}

#[test]
fn a_reader_of_a_kept_group_beside_a_close_reads_on_without_the_cache() {
    explore(&[BOTH], &[BOTH, BOTH], &[|process| process.cache.close(), Process::foreign_commit]);
}

#[test]
fn what_was_counted_is_never_older_than_what_was_committed_in_any_process() {
    explore(&[COUNT], &[COUNT, COUNT], &[Process::commit]);
    explore(&[COUNT, BOTH], &[BOTH, COUNT], &[Process::commit]);
    explore(
        &[],
        &[COUNT, COUNT],
        &[|process| {
            process.foreign_commit();
            process.alien_commit();
        }],
    );
    explore(
        &[COUNT],
        &[COUNT, COUNT],
        &[|process| {
            process.cache.close();
            process.foreign_commit();
        }],
    );
}
