//! Two stores on one file, as in two processes: what one is told and reads while the other commits, at the moments at
//! which it is hard to tell whose commit was the last.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;

use common::{WAIT_MAX, next_event};
use larder::{Durability, Error, Event, History, Pattern, Revision, Store};
use tempfile::TempDir;
use tokio::runtime::Builder;

fn new_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

fn open(path: &Path) -> Store {
    Store::options().durability(Durability::Relaxed).open(path).unwrap()
}

/// Copies the whole log into the file, so that the next commit starts it over.
fn checkpoint(path: &Path) {
    let busy = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let busy = outside::sqlite(path).query_row("PRAGMA wal_checkpoint(RESTART)", [], busy).unwrap();
    assert_eq!(busy, 0);
}

#[test]
fn when_a_write_returns_the_watchers_of_its_store_have_it_however_often_others_commit() {
    let (_folder, path) = new_path();
    let (ours, theirs) = (open(&path), open(&path));
    let watcher = ours.watch(Pattern::all()).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                theirs.set("theirs", "k", "v").unwrap();
            }
        });
        let mut last = Revision(0);
        let missed = (0..500).find_map(|number| {
            let written = ours.set("ours", "k", number.to_string()).unwrap();
            while last < written {
                match watcher.try_recv().unwrap() {
                    Some(event) if event.revision.0 == last.0 + 1 => last = event.revision,
                    other => return Some((written, last, other)),
                }
            }
            None
        });
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(missed, None);
    });
}

/// An own commit that starts the log over and makes it longer than it was looks as if others had committed too.
#[test]
fn a_commit_that_cannot_be_told_from_those_of_others_is_delivered_and_read_like_any_other() {
    let (_folder, path) = new_path();
    let (ours, theirs) = (open(&path), open(&path));
    let watcher = ours.watch(Pattern::all()).unwrap();
    let called: Arc<Mutex<Vec<Event>>> = Arc::default();
    let subscription = ours.on_change({
        let called = Arc::clone(&called);
        move |event| called.lock().unwrap().push(event.clone())
    });
    ours.set("g", "0", "0").unwrap();
    next_event(&watcher);
    for round in 1..=60 {
        called.lock().unwrap().clear();
        checkpoint(&path);
        let value = round.to_string().repeat(5000);
        let keys: Vec<String> = (0..2 * round).map(|key| key.to_string()).collect();
        let batch = keys.iter().fold(ours.batch(), |batch, key| batch.set("g", key, &value));
        let revision = batch.commit().unwrap();
        let received: Vec<Event> = std::iter::from_fn(|| watcher.try_recv().unwrap()).collect();
        let is_whole = |events: &[Event]| {
            events.iter().all(|event| event.revision == revision && event.value.as_ref().unwrap() == &value)
                && events.iter().filter_map(|event| event.key.as_ref()).eq(keys.iter())
        };
        assert!(is_whole(&received), "in round {round} the watcher got {} events", received.len());
        assert!(is_whole(&called.lock().unwrap()), "in round {round}");
        for key in &keys {
            assert!(ours.get("g", key).unwrap().unwrap() == value, "in round {round}");
        }
        // Others are seen as before.
        theirs.set("g", "0", "theirs").unwrap();
        assert_eq!(ours.get("g", "0").unwrap().unwrap(), "theirs");
        assert_eq!(next_event(&watcher).value.unwrap(), "theirs");
    }
    drop(subscription);
}

#[test]
fn a_watcher_is_told_of_each_change_without_a_history_that_it_misses_since_others_have_committed() {
    let (_folder, path) = new_path();
    let (ours, theirs) = (open(&path), open(&path));
    ours.set_history("session:", History::NONE).unwrap();
    let watcher = ours.watch(Pattern::all()).unwrap();
    let mut known = ours.revision().unwrap();
    for number in 0..100 {
        theirs.set("order", "k", "theirs").unwrap();
        ours.set("session:1", "k", number.to_string()).unwrap();
        let last = ours.set("order", "k", "ours").unwrap();
        while known < last {
            match watcher.try_recv() {
                Ok(Some(event)) => {
                    assert_eq!(event.revision, Revision(known.0 + 1), "neither lost nor repeated");
                    known = event.revision;
                }
                // Of a session alone: orders are in the log.
                Err(Error::Compacted { oldest }) => {
                    assert_eq!(oldest, ours.entry("session:1", "k").unwrap().unwrap().revision);
                    let order = watcher.try_recv().unwrap().unwrap();
                    assert!(order.group == "order" && order.revision.0 == known.0 + 1);
                    known = oldest;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Holds up the thread that wakes a task.
struct Holding {
    held: Mutex<Sender<()>>,
    release: Mutex<Receiver<()>>,
}

impl Wake for Holding {
    fn wake(self: Arc<Self>) {
        // Nobody listens any more where the test has failed.
        let _ = self.held.lock().unwrap().send(());
        let _ = self.release.lock().unwrap().recv_timeout(WAIT_MAX);
    }
}

/// Runs something while a store's thread that notices the commits of others is busy.
fn while_nothing_is_noticed(ours: &Store, theirs: &Store, act: impl FnOnce()) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let awaited = ours.clone().into_async();
    let mut watcher = runtime.block_on(awaited.watch(Pattern::group("signal"))).unwrap();
    // Live from here on: the next event comes from that thread.
    assert_eq!(runtime.block_on(watcher.try_recv()).unwrap(), None);
    let ((held, is_held), (release, is_released)) = (mpsc::channel(), mpsc::channel());
    let holding = Holding { held: Mutex::new(held), release: Mutex::new(is_released) };
    let waker = Waker::from(Arc::new(holding));
    assert!(pin!(watcher.recv()).poll(&mut Context::from_waker(&waker)).is_pending());
    theirs.set("signal", "k", "v").unwrap();
    is_held.recv_timeout(WAIT_MAX).unwrap();
    act();
    release.send(()).unwrap();
}

#[test]
fn a_commit_of_another_process_is_received_although_an_acknowledgement_has_followed_it() {
    let (_folder, path) = new_path();
    let (ours, theirs) = (open(&path), open(&path));
    let (watcher, cursor) = (ours.watch(Pattern::group("g")).unwrap(), ours.cursor("mailer").unwrap());
    for key in ["1", "2"] {
        ours.set("g", key, "v").unwrap();
        next_event(&watcher);
    }
    let first = cursor.recv().unwrap();
    while_nothing_is_noticed(&ours, &theirs, || {
        assert_eq!(watcher.try_recv().unwrap(), None);
        theirs.set("g", "3", "v").unwrap();
        // A commit without a revision.
        cursor.ack(&first).unwrap();
    });
    assert_eq!(next_event(&watcher).key.unwrap(), "3");
}

/// Processes that are killed in the middle of a commit, so that others recover the log and count commits from 0.
#[cfg(unix)]
mod recoveries {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::outside::{Process, child_task, print_line, read_line, sqlite};

    fn index(path: &Path) -> PathBuf {
        path.with_extension("db-shm")
    }

    /// How many commits SQLite has counted, and how many pages the log has. Only for a process that has the store
    /// closed: reading the file takes away the locks of its process.
    fn counted(path: &Path) -> (u32, u32) {
        let bytes = fs::read(index(path)).unwrap();
        let number = |start: usize| u32::from_ne_bytes(bytes[start..start + 4].try_into().unwrap());
        (number(8), number(16))
    }

    /// Leaves the two copies of the header different, as a process does that is killed between them.
    fn tear_header(path: &Path) {
        let file = File::options().write(true).open(index(path)).unwrap();
        file.write_all_at(&[0xff; 4], 48 + 8).unwrap();
    }

    /// Commits, is killed in the middle of a commit, and commits again until SQLite has counted as many commits as
    /// `wanted`. Then it empties the log. Returns how many commits it made.
    fn commit_until(path: &Path, wanted: u32, mut commit: impl FnMut(u32)) -> u32 {
        commit(1);
        tear_header(path);
        let mut number = 1;
        while number == 1 || counted(path).0 != wanted {
            assert!(number == 1 || counted(path).0 < wanted, "the log was not recovered");
            number += 1;
            commit(number);
        }
        let busy = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        let busy = sqlite(path).query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], busy).unwrap();
        assert_eq!((busy, counted(path)), (0, (wanted, 0)));
        number
    }

    #[test]
    fn rows_written_by_another_program_are_visible_although_the_counts_of_commits_are_equal() {
        let test = "recoveries::rows_written_by_another_program_are_visible_although_the_counts_of_commits_are_equal";
        if let Some((path, _)) = child_task() {
            let update = |number: u32| {
                let changed =
                    sqlite(&path).execute("UPDATE entries SET entry_value = ?1", [number.to_string()]);
                assert_eq!(changed.unwrap(), 1);
            };
            return print_line(commit_until(&path, counted(&path).0, update));
        }
        let (_folder, path) = new_path();
        let store = open(&path);
        for number in 0..20 {
            store.set("g", "k", format!("old {number}")).unwrap();
        }
        assert!(store.get("g", "k").unwrap().is_some());
        let mut other = Process::start(test, &path, "");
        let last = other.next_line().unwrap();
        other.finish();
        assert_eq!(store.get("g", "k").unwrap().unwrap(), last.as_str());
    }

    #[test]
    fn commits_of_another_process_are_received_although_the_counts_of_commits_are_equal() {
        let test =
            "recoveries::commits_of_another_process_are_received_although_the_counts_of_commits_are_equal";
        if let Some((path, _)) = child_task() {
            // The last commit was the signal.
            let wanted = counted(&path).0 - 1;
            let set = |number: u32| {
                open(&path).set("g", number.to_string(), "v").unwrap();
            };
            print_line(commit_until(&path, wanted, set));
            assert_eq!(read_line(), "end");
            return;
        }
        let (_folder, path) = new_path();
        let (ours, theirs) = (open(&path), open(&path));
        let watcher = ours.watch(Pattern::group("g")).unwrap();
        for number in 0..20 {
            ours.set("g", "own", number.to_string()).unwrap();
            next_event(&watcher);
        }
        let mut other = None;
        while_nothing_is_noticed(&ours, &theirs, || {
            assert_eq!(watcher.try_recv().unwrap(), None);
            let mut process = Process::start(test, &path, "");
            let last: u32 = process.next_line().unwrap().parse().unwrap();
            other = Some((process, last));
        });
        let (mut process, last) = other.unwrap();
        for number in 1..=last {
            assert_eq!(next_event(&watcher).key.unwrap(), number.to_string());
        }
        process.send_line("end");
        process.finish();
    }
}
