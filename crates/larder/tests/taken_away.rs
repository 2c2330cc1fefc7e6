//! A store whose file is read, deleted, renamed or replaced while it is open: no write is acknowledged that others do not
//! find, and nothing of it harms the file that has its name then.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod outside;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use larder::{Error, Pattern, Store};
use outside::{Process, child_task, names, print_line};
use tempfile::TempDir;

fn new_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

/// Opens a store with one entry, in the cache.
fn filled(path: &Path) -> Store {
    let store = Store::open(path).unwrap();
    store.set("g", "first", "v").unwrap();
    store
}

/// What a process of its own finds at a path: it opens the file, reads, and closes it, as the last one if it may.
fn count_from_outside(test: &str, path: &Path) -> u32 {
    let mut process = Process::start(test, path, "");
    let count = process.next_line().unwrap().parse().unwrap();
    process.finish();
    count
}

/// The other side of `count_from_outside`, through plain SQLite.
fn count_by_sqlite(path: &Path) {
    let connection = outside::sqlite(path);
    print_line(connection.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, u32>(0)).unwrap());
}

#[track_caller]
fn assert_replaced<T: std::fmt::Debug>(result: larder::Result<T>) {
    assert!(matches!(result, Err(Error::Replaced { .. })), "{result:?}");
}

/// Fails unless a write was not acknowledged. If it had begun before the files were taken away, its outcome is unknown.
#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: larder::Result<T>) {
    assert!(matches!(result, Err(Error::Replaced { .. } | Error::Unknown { .. })), "{result:?}");
}

/// Fails unless every call says that the files were taken away, and closing works.
fn assert_stopped(store: &Store) {
    assert_replaced(store.set("g", "again", "v"));
    assert_replaced(store.get("g", "first"));
    assert_replaced(store.get("g", "not there"));
    assert_replaced(store.transaction(|tx| tx.set("g", "again", "v")));
    assert_replaced(store.snapshot());
    assert_replaced(store.stats());
    store.close().unwrap();
}

#[test]
fn a_program_that_reads_its_own_file_loses_no_acknowledged_write() {
    let test = "a_program_that_reads_its_own_file_loses_no_acknowledged_write";
    if let Some((path, _)) = child_task() {
        return count_by_sqlite(&path);
    }
    let (folder, path) = new_path();
    let store = filled(&path);
    for number in 0..3 {
        for file in [&path, &path.with_extension("db-shm"), &path.with_extension("db-wal")] {
            // Closing it drops every POSIX lock that this process has on it.
            fs::read(file).unwrap();
        }
        assert_eq!(count_from_outside(test, &path), number + 1);
        store.set("g", number.to_string(), "v").unwrap();
        assert_eq!(count_from_outside(test, &path), number + 2);
    }
    assert_eq!(names(folder.path()), ["store.db", "store.db-shm", "store.db-wal"]);
    store.close().unwrap();
    // Its own last close still takes the log away.
    assert_eq!(names(folder.path()), ["store.db"]);
    common::verify(&Store::open(&path).unwrap());
}

#[test]
fn stores_on_one_file_in_one_process_guard_it_until_the_last_is_closed() {
    let test = "stores_on_one_file_in_one_process_guard_it_until_the_last_is_closed";
    if let Some((path, _)) = child_task() {
        return count_by_sqlite(&path);
    }
    let (folder, path) = new_path();
    let (first, second) = (filled(&path), Store::open(&path).unwrap());
    let snapshot = first.snapshot().unwrap();
    first.close().unwrap();
    fs::read(&path).unwrap();
    fs::read(path.with_extension("db-shm")).unwrap();
    assert_eq!(count_from_outside(test, &path), 1);
    second.set("g", "second", "v").unwrap();
    assert_eq!(count_from_outside(test, &path), 2);
    drop(second);
    // A snapshot of a closed store still has a connection.
    assert_eq!(names(folder.path()).len(), 3);
    drop((snapshot, first));
    assert_eq!(names(folder.path()), ["store.db"]);
    let third = Store::open(&path).unwrap();
    assert_eq!(third.count("g").unwrap(), 2);
}

#[test]
fn a_connection_of_another_library_keeps_its_locks_when_a_store_is_closed() {
    let test = "a_connection_of_another_library_keeps_its_locks_when_a_store_is_closed";
    if let Some((path, _)) = child_task() {
        return count_by_sqlite(&path);
    }
    let (folder, path) = new_path();
    let store = filled(&path);
    let other = outside::sqlite(&path);
    let count = || other.query_row("SELECT count(*) FROM entries", [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(count(), 1);
    store.close().unwrap();
    drop(store);
    // The process outside does not take the log away from under the connection that is still open.
    assert_eq!(count_from_outside(test, &path), 1);
    other.execute_batch("DELETE FROM entries").unwrap();
    assert_eq!(count_from_outside(test, &path), 0);
    drop(other);
    assert_eq!(names(folder.path()), ["store.db"]);
}

#[test]
fn a_write_whose_lock_was_lost_is_rolled_back() {
    let (_folder, path) = new_path();
    let store = filled(&path);
    let lost = store.transaction(|tx| {
        tx.set("g", "second", "v")?;
        fs::read(path.with_extension("db-shm")).unwrap();
        Ok(())
    });
    assert!(matches!(lost, Err(Error::LockLost { .. })), "{lost:?}");
    assert!(lost.unwrap_err().is_retryable());
    assert_eq!(store.count("g").unwrap(), 1);
    store.transaction(|tx| tx.set("g", "second", "v").map(drop)).unwrap();
    common::verify(&store);
}

#[test]
fn a_deleted_store_acknowledges_nothing_and_leaves_no_log_behind() {
    let (folder, path) = new_path();
    let store = filled(&path);
    fs::remove_file(&path).unwrap();
    assert_refused(store.set("g", "second", "v"));
    assert_stopped(&store);
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_file_put_in_the_place_of_an_open_store_keeps_what_is_in_it() {
    let (folder, path) = new_path();
    let store = filled(&path);
    for number in 0..100 {
        store.set("g", number.to_string(), "v").unwrap();
    }
    let other = folder.path().join("other.db");
    Store::open(&other).unwrap().set("g", "theirs", "v").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_refused(store.set("g", "second", "v"));
    assert_stopped(&store);
    assert_eq!(names(folder.path()), ["store.db"]);
    let theirs = Store::open(&path).unwrap();
    assert_eq!((theirs.count("g").unwrap(), theirs.exists("g", "theirs").unwrap()), (1, true));
    common::verify(&theirs);
}

#[test]
fn a_store_that_is_closed_without_another_write_harms_no_file_that_was_put_in_its_place() {
    let (folder, path) = new_path();
    let store = filled(&path);
    let other = folder.path().join("other.db");
    Store::open(&other).unwrap().set("g", "theirs", "v").unwrap();
    fs::rename(&other, &path).unwrap();
    drop(store);
    assert_eq!(names(folder.path()), ["store.db"]);
    assert!(Store::open(&path).unwrap().exists("g", "theirs").unwrap());
}

#[test]
fn a_store_that_was_moved_has_everything_that_was_acknowledged() {
    let (folder, path) = new_path();
    let store = filled(&path);
    let moved = folder.path().join("moved.db");
    fs::rename(&path, &moved).unwrap();
    assert_refused(store.set("g", "second", "v"));
    assert_stopped(&store);
    assert_eq!(names(folder.path()), ["moved.db"]);
    let moved = Store::open(&moved).unwrap();
    assert!(moved.exists("g", "first").unwrap());
    common::verify(&moved);
}

#[test]
fn a_store_whose_log_was_deleted_acknowledges_nothing_more_and_loses_nothing_when_closed() {
    for suffix in ["db-wal", "db-shm"] {
        let (folder, path) = new_path();
        let store = filled(&path);
        fs::remove_file(path.with_extension(suffix)).unwrap();
        assert_refused(store.set("g", "second", "v"));
        assert_stopped(&store);
        assert_eq!(names(folder.path()), ["store.db"], "{suffix}");
        let store = Store::open(&path).unwrap();
        // Perhaps with the write that was refused, if it had begun before.
        assert!(store.exists("g", "first").unwrap(), "{suffix}");
        common::verify(&store);
    }
}

/// SQLite makes an empty log for whoever reads next.
#[test]
fn a_store_whose_log_was_deleted_and_made_anew_loses_nothing_when_closed() {
    for suffix in ["db-wal", "db-shm"] {
        let (folder, path) = new_path();
        let store = filled(&path);
        let file = path.with_extension(suffix);
        // The old one keeps its inode: the new one gets another.
        let kept = fs::File::open(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, "").unwrap();
        assert_refused(store.set("g", "second", "v"));
        assert_stopped(&store);
        assert_eq!(names(folder.path()), ["store.db"], "{suffix}");
        drop(kept);
        let store = Store::open(&path).unwrap();
        assert!(store.exists("g", "first").unwrap(), "{suffix}");
        common::verify(&store);
    }
}

#[test]
fn a_store_whose_log_was_replaced_touches_neither_log() {
    let (folder, path) = new_path();
    let store = filled(&path);
    let log = path.with_extension("db-wal");
    fs::write(folder.path().join("new"), "not a log").unwrap();
    fs::rename(folder.path().join("new"), &log).unwrap();
    assert_refused(store.set("g", "second", "v"));
    assert_stopped(&store);
    assert_eq!(fs::read(&log).unwrap(), b"not a log");
}

#[test]
fn a_path_that_leads_to_another_folder_now_stops_the_store_and_harms_neither() {
    let folder = tempfile::tempdir().unwrap();
    let [data, old] = ["data", "old"].map(|name| folder.path().join(name));
    fs::create_dir(&data).unwrap();
    let path = data.join("store.db");
    let store = filled(&path);
    fs::rename(&data, &old).unwrap();
    fs::create_dir(&data).unwrap();
    let other = filled(&path);
    other.set("g", "theirs", "v").unwrap();
    // The system does not report that a folder above was renamed, so it is looked for ten times a second.
    let deadline = Instant::now() + common::WAIT_MAX;
    let refused = loop {
        match store.set("g", "second", "v") {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < deadline, "it is never noticed"),
        }
    };
    assert_refused::<()>(Err(refused));
    assert_stopped(&store);
    assert_eq!(names(&data), ["store.db", "store.db-shm", "store.db-wal"]);
    assert_eq!(other.count("g").unwrap(), 2);
    common::verify(&other);
    let moved = Store::open(old.join("store.db")).unwrap();
    assert!(moved.exists("g", "first").unwrap());
    common::verify(&moved);
}

#[test]
fn every_reader_and_watcher_learns_that_the_store_was_taken_away() {
    let (_folder, path) = new_path();
    let store = filled(&path);
    let reader = Store::options().read_only(true).cache_bytes(0).open(&path).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let watcher = reader.watch(Pattern::all()).unwrap();
    fs::remove_file(&path).unwrap();
    let deadline = Instant::now() + common::WAIT_MAX;
    while let Ok(found) = reader.get("g", "first") {
        assert!(found.is_some());
        assert!(Instant::now() < deadline, "it is never noticed");
    }
    assert_replaced(reader.get("g", "first"));
    assert_replaced(snapshot.get("g", "first"));
    // Nothing wakes it but the follower.
    let received = watcher.recv_timeout(Duration::from_secs(10));
    assert_replaced(received);
    drop((watcher, snapshot, reader));
    assert_refused(store.set("g", "second", "v"));
}

#[test]
fn a_transaction_during_which_the_file_is_deleted_is_not_acknowledged() {
    let (_folder, path) = new_path();
    let store = filled(&path);
    let result = store.transaction(|tx| {
        tx.set("g", "second", "v")?;
        fs::remove_file(&path).unwrap();
        Ok(())
    });
    assert_refused(result);
    assert_stopped(&store);
}

#[test]
fn other_files_may_come_and_go_in_the_folder_of_a_store() {
    let (folder, path) = new_path();
    let store = filled(&path);
    for number in 0..50 {
        let other = folder.path().join(format!("{number}.tmp"));
        fs::write(&other, "x").unwrap();
        store.set("g", number.to_string(), "v").unwrap();
        fs::remove_file(other).unwrap();
        // Reports that are about the store, and say nothing bad.
        fs::File::open(&path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    }
    assert_eq!(store.count("g").unwrap(), 51);
    common::verify(&store);
}
