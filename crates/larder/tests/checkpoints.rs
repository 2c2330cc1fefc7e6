//! Checkpoints: the log stays short, whoever reads, and no write is lost to one.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod outside;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use larder::{Durability, Store};
use outside::{Process, child_task, print_line, read_line};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// How large a log file stays that nobody pins: a checkpoint begins at a half of that.
const LOG_BYTES_AT_REST: u64 = 32 * MIB;

fn new_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

fn open(path: &Path) -> Store {
    // Without syncs, so that the log grows as fast as it can.
    Store::options().durability(Durability::Relaxed).history(100, MIB).open(path).unwrap()
}

/// A value of several pages.
fn value(number: u64) -> String {
    format!("{number} {}", "x".repeat(30_000))
}

fn fill(store: &Store) {
    let batch =
        (0..300).fold(store.batch(), |batch, key| batch.set("read", key.to_string(), "x".repeat(500)));
    batch.commit().unwrap();
}

/// Writes so much that the log would be 500 MiB without checkpoints. Returns how large it was at most.
fn write_much(store: &Store) -> u64 {
    let mut largest = 0;
    for number in 0..9_000 {
        store.set("written", (number % 40).to_string(), value(number)).unwrap();
        if number % 50 == 0 {
            largest = largest.max(store.stats().unwrap().wal_bytes);
        }
    }
    largest
}

/// Stops those who look at it when it goes, also after a panic: they would never end.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reads without a pause, on two threads, so that there is a reader at any time.
fn read_until(store: &Store, stop: &AtomicBool) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(store.get_all("read").unwrap().len(), 300);
            }
        });
        while !stop.load(Ordering::Relaxed) {
            let snapshot = store.snapshot().unwrap();
            assert_eq!(snapshot.get_all("read").unwrap().len(), 300);
        }
    });
}

#[test]
fn readers_without_a_pause_do_not_let_the_log_grow() {
    let (_folder, path) = new_path();
    let store = open(&path);
    fill(&store);
    let stop = AtomicBool::new(false);
    let largest = std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| read_until(&store, &stop));
        write_much(&store)
    });
    assert!(largest < 160 * MIB, "the log had {} MiB", largest / MIB);
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn readers_of_another_process_do_not_let_the_log_grow() {
    if let Some((path, _)) = child_task() {
        let store = Store::open(&path).unwrap();
        print_line("reads");
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| read_until(&store, &stop));
            read_line();
            stop.store(true, Ordering::Relaxed);
        });
        return;
    }
    let (_folder, path) = new_path();
    let store = open(&path);
    fill(&store);
    let me = "readers_of_another_process_do_not_let_the_log_grow";
    let mut process = Process::start(me, &path, "");
    process.next_line().unwrap();
    let largest = write_much(&store);
    process.send_line("stop");
    process.finish();
    assert!(largest < 256 * MIB, "the log had {} MiB", largest / MIB);
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn stats_name_the_process_of_the_reader_that_keeps_the_log() {
    if let Some((path, _)) = child_task() {
        let store = Store::open(&path).unwrap();
        let _snapshot = store.snapshot().unwrap();
        print_line("reads");
        read_line();
        return;
    }
    let (_folder, path) = new_path();
    let store = open(&path);
    fill(&store);
    assert_eq!(store.stats().unwrap().oldest_reader, None);
    let me = "stats_name_the_process_of_the_reader_that_keeps_the_log";
    let mut process = Process::start(me, &path, "");
    process.next_line().unwrap();
    assert_eq!(store.stats().unwrap().oldest_reader, None, "a reader of the latest commit keeps nothing");
    store.set("written", "1", value(1)).unwrap();
    if cfg!(target_os = "linux") {
        let reader = store.stats().unwrap().oldest_reader.unwrap();
        assert_eq!(reader.process, Some(process.child.id()));
        // The value is in the entry and in the change log.
        let log_bytes = store.stats().unwrap().wal_bytes;
        assert!((60_000..log_bytes).contains(&reader.log_bytes), "{reader:?} of {log_bytes}");
        store.set("written", "2", value(2)).unwrap();
        let later = store.stats().unwrap().oldest_reader.unwrap();
        assert!(later.age > reader.age && later.log_bytes > reader.log_bytes, "{reader:?} {later:?}");
    }
    // A reader of this store that has begun later keeps less.
    let snapshot = store.snapshot().unwrap();
    store.set("written", "3", value(3)).unwrap();
    if cfg!(target_os = "linux") {
        let reader = store.stats().unwrap().oldest_reader.unwrap();
        assert_eq!(reader.process, Some(process.child.id()));
    }
    process.send_line("stop");
    process.finish();
    let reader = store.stats().unwrap().oldest_reader.unwrap();
    assert_eq!(reader.process, Some(std::process::id()));
    assert!(reader.log_bytes > 0 && reader.age > Duration::ZERO, "{reader:?}");
    drop(snapshot);
    assert_eq!(store.stats().unwrap().oldest_reader, None);
}

#[test]
fn the_log_shrinks_once_a_long_reader_has_ended() {
    let (_folder, path) = new_path();
    let store = open(&path);
    fill(&store);
    let snapshot = store.snapshot().unwrap();
    for number in 0..2_000 {
        store.set("written", (number % 40).to_string(), value(number)).unwrap();
    }
    assert_eq!(snapshot.count("written").unwrap(), 0);
    assert!(store.stats().unwrap().wal_bytes > 2 * LOG_BYTES_AT_REST);
    drop(snapshot);
    let begun = Instant::now();
    while store.stats().unwrap().wal_bytes > LOG_BYTES_AT_REST {
        assert!(begun.elapsed() < Duration::from_secs(60), "the log is as long as before");
        store.set("written", "0", "small").unwrap();
    }
}

#[test]
fn a_process_killed_while_it_checkpoints_loses_nothing() {
    if let Some((path, words)) = child_task() {
        let store = Store::open(&path).unwrap();
        let first: u64 = words[0].parse().unwrap();
        for number in first.. {
            store.set("written", (number % 40).to_string(), value(number)).unwrap();
            print_line(number);
        }
    }
    let (_folder, path) = new_path();
    let me = "a_process_killed_while_it_checkpoints_loses_nothing";
    let mut next = 0;
    for cycle in 0..6 {
        let mut process = Process::start(me, &path, &next.to_string());
        // The log is long enough for a checkpoint after some 250 writes.
        let enough = next + 240 + 20 * cycle;
        let mut last = next;
        while last < enough {
            last = process.next_line().unwrap().parse().unwrap();
        }
        process.child.kill().unwrap();
        process.child.wait().unwrap();
        let rest = process.remaining_lines();
        let last = rest.iter().rev().find_map(|line| line.parse::<u64>().ok()).unwrap_or(last).max(last);
        let store = Store::open(&path).unwrap();
        let numbers = |key: u64| -> u64 {
            let value = store.get("written", key.to_string()).unwrap().unwrap();
            value.to_string_lossy().split(' ').next().unwrap().parse().unwrap()
        };
        let newest = (0..40).map(numbers).max().unwrap();
        assert!(newest == last || newest == last + 1, "{last} was acknowledged, {newest} is there");
        for key in 0..40 {
            assert_eq!(numbers(key), (newest - key) / 40 * 40 + key, "key {key}");
        }
        assert_eq!(store.check().unwrap(), []);
        next = newest + 1;
    }
}

/// How long a writer's log may be kept by a read that nobody makes any more, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the log over as another program does, as soon as it can. Returns whether it could.
fn start_over(path: &Path) -> bool {
    let other = rusqlite::Connection::open(path).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
        let is_busy = other.query_row(truncate, [], |row| row.get::<_, bool>(0)).unwrap();
        if !is_busy {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

#[test]
fn a_store_that_has_read_and_rests_lets_another_program_start_the_log_over() {
    let (_folder, path) = new_path();
    let store = Store::options().cache_bytes(0).open(&path).unwrap();
    fill(&store);
    for _ in 0..10 {
        assert!(store.get("read", "7").unwrap().is_some());
    }
    assert!(start_over(&path));
    assert_eq!(std::fs::metadata(path.with_extension("db-wal")).unwrap().len(), 0);
}

#[test]
fn a_store_that_reads_without_a_pause_lets_another_program_start_the_log_over() {
    let (_folder, path) = new_path();
    let store = Store::options().cache_bytes(0).open(&path).unwrap();
    fill(&store);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert!(store.get("read", "7").unwrap().is_some());
            }
        });
        assert!(start_over(&path));
    });
}

#[test]
fn a_read_that_has_ended_is_no_reader_that_keeps_the_log() {
    let (_folder, path) = new_path();
    let options = || Store::options().cache_bytes(0);
    let (store, other) = (options().open(&path).unwrap(), options().open(&path).unwrap());
    fill(&store);
    for _ in 0..10 {
        assert!(store.get("read", "7").unwrap().is_some());
    }
    other.set("read", "7", "new").unwrap();
    assert_eq!(store.stats().unwrap().oldest_reader, None);
}

#[test]
fn every_read_sees_the_last_commit_of_another_store_on_the_file() {
    let (_folder, path) = new_path();
    let options = || Store::options().cache_bytes(0);
    let (store, other) = (options().open(&path).unwrap(), options().open(&path).unwrap());
    for number in 0..500 {
        let value = number.to_string();
        other.set("read", "key", value.clone()).unwrap();
        for _ in 0..4 {
            assert_eq!(store.get("read", "key").unwrap().unwrap(), value.as_str());
            assert_eq!(store.get_all("read").unwrap().get("key").unwrap(), value.as_bytes());
        }
        if number % 50 == 0 {
            // Another program, which writes past every store.
            assert!(start_over(&path));
            rusqlite::Connection::open(&path).unwrap().execute_batch("VACUUM").unwrap();
        }
    }
}
