//! The protocol, under every order in which a few threads can run: loom runs the very source of
//! [`coherence`], with its own locks and atomics in the place of the real ones.
//!
//! What stands in for SQLite is a number under a lock: each commit writes its own revision to the one
//! key that there is, so that a read that gives less than what was acknowledged before it is stale.

use loom::thread;

use super::{shelf, word};
use crate::engine::Found;
use crate::entries::Facts;
use crate::{Event, EventKind, Revision};

#[path = "coherence.rs"]
#[allow(dead_code, reason = "the model has one key")]
mod coherence;

mod sync {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
    pub use loom::sync::{
        Mutex, MutexGuard, RwLock as Lock, RwLockReadGuard as ReadGuard, RwLockWriteGuard as WriteGuard,
    };
}

use self::coherence::{Cache, News};
use self::sync::{AtomicU64, Mutex, Ordering};
use self::word::{Mark, Word};
use loom::sync::Arc;

const GROUP: &str = "group";
const KEY: &str = "key";

/// A file, and the memory that its connections share.
struct File {
    write_lock: Mutex<()>,
    revision: Mutex<u64>,
    /// The number of commits in its lower half; in its upper half what tells a recovered log apart.
    word: AtomicU64,
    /// The last revision that anybody was told of.
    acknowledged: AtomicU64,
}

#[derive(Clone)]
struct FileWord(Arc<File>);

impl Word for FileWord {
    fn word(&self) -> u64 {
        self.0.word.load(Ordering::Acquire)
    }

    fn mark(&self) -> Option<Mark> {
        let word = self.word();
        Some(Mark { word, change: word as u32, ..Mark::default() })
    }

    fn committed(&self) {}
}

impl File {
    fn select(&self) -> u64 {
        *self.revision.lock().unwrap()
    }

    /// What SQLite does when it commits: the word moves with what is to be seen.
    fn commit(&self) -> u64 {
        let mut revision = self.revision.lock().unwrap();
        *revision += 1;
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(word + 1, Ordering::Release);
        *revision
    }

    fn acknowledge(&self, revision: u64) {
        self.acknowledged.fetch_max(revision, Ordering::AcqRel);
    }

    fn log(&self, after: Revision) -> Result<News, ()> {
        let latest = Revision(self.select());
        let keys = if latest > after { vec![(GROUP.to_owned(), Some(KEY.to_owned()))] } else { Vec::new() };
        Ok(News::Changed { latest, keys })
    }
}

fn found(revision: u64) -> Found {
    let facts = Facts { revision: Revision(revision), expires_at_ms: None };
    Found { value: "value".into(), facts }
}

/// One process: its cache, and what larder does with it.
struct Process {
    file: Arc<File>,
    cache: Cache<FileWord>,
}

impl Process {
    /// With what is stored in its cache.
    fn open() -> Arc<Self> {
        let file = Arc::new(File {
            write_lock: Mutex::new(()),
            revision: Mutex::new(1),
            word: AtomicU64::new(1),
            acknowledged: AtomicU64::new(1),
        });
        let revision = || Ok::<_, ()>(Revision(file.select()));
        let cache = Cache::open(1 << 10, Some(FileWord(Arc::clone(&file))), revision).unwrap();
        let process = Self { file, cache };
        process.read();
        Arc::new(process)
    }

    fn read(&self) -> u64 {
        let fetch = || Ok(Some(found(self.file.select())));
        let found = self.cache.read(GROUP, KEY, |after| self.file.log(after), fetch).unwrap().unwrap();
        found.facts.revision.0
    }

    /// Reads so many times: never less than was acknowledged, nor than was read before.
    fn check(&self, times: usize) {
        let mut last = 0;
        for _ in 0..times {
            let floor = self.file.acknowledged.load(Ordering::Acquire).max(last);
            last = self.read();
            assert!(last >= floor, "read {last} after {floor} was acknowledged");
        }
    }

    fn commit(&self) {
        let _write_lock = self.file.write_lock.lock().unwrap();
        self.cache.settle(|after| self.file.log(after)).unwrap();
        let committing = self.cache.committing();
        let revision = self.file.commit();
        let event = Event {
            revision: Revision(revision),
            kind: EventKind::Set,
            group: GROUP.to_owned(),
            key: Some(KEY.to_owned()),
            value: Some("value".into()),
            expires_at: None,
            at: std::time::SystemTime::UNIX_EPOCH,
        };
        committing.publish(Revision(revision), Some(&[std::sync::Arc::new(event)]));
        self.file.acknowledge(revision);
    }

    /// A commit that comes to nothing: the file is as it was.
    fn fail_to_commit(&self) {
        let _write_lock = self.file.write_lock.lock().unwrap();
        self.cache.settle(|after| self.file.log(after)).unwrap();
        drop(self.cache.committing());
    }

    /// What another process does.
    fn foreign_commit(&self) {
        let revision = {
            let _write_lock = self.file.write_lock.lock().unwrap();
            self.file.commit()
        };
        self.file.acknowledge(revision);
    }
}

/// Runs a process's threads in every order that takes at most three changes of thread by force.
fn model(threads: &'static [fn(&Process)]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let process = Process::open();
        let spawn = |act: &'static fn(&Process)| {
            let process = Arc::clone(&process);
            thread::spawn(move || act(&process))
        };
        let threads: Vec<_> = threads.iter().map(spawn).collect();
        process.check(2);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        process.check(1);
    });
}

#[test]
fn a_reader_beside_two_commits_of_its_own_process_never_reads_what_is_old() {
    model(&[|process| {
        process.commit();
        process.commit();
    }]);
}

#[test]
fn a_reader_beside_commits_of_another_process_never_reads_what_is_old() {
    model(&[|process| {
        process.foreign_commit();
        process.foreign_commit();
    }]);
}

#[test]
fn two_readers_beside_a_commit_never_read_what_is_old() {
    model(&[|process| process.check(2), Process::commit]);
}

#[test]
fn two_readers_beside_a_foreign_commit_never_read_what_is_old() {
    model(&[|process| process.check(2), Process::foreign_commit]);
}

#[test]
fn a_reader_beside_a_commit_and_a_foreign_one_never_reads_what_is_old() {
    model(&[Process::commit, Process::foreign_commit]);
}

#[test]
fn a_reader_beside_a_commit_that_fails_and_a_foreign_one_never_reads_what_is_old() {
    model(&[Process::fail_to_commit, Process::foreign_commit]);
}

#[test]
fn a_reader_beside_a_close_reads_on_without_the_cache() {
    model(&[|process| process.cache.close(), Process::foreign_commit]);
}
