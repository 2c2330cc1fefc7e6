//! A compaction that is killed at any system call, or whose disk is full from any of them on, loses nothing.
//!
//! In this test binary, the functions with which SQLite changes files are replaced by ones that count.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(unsafe_code)] // Replacing functions of the C library takes their C signatures.

mod common;
mod outside;

use std::ffi::{c_int, c_long, c_void};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use larder::{Error, Quota, Store};
use outside::{Process, child_task, names};

/// How many calls are left before the first that does not happen; negative is any number.
static CALLS_LEFT: AtomicI64 = AtomicI64::new(-1);

/// What happens then: the process is killed, or the disk is full, so this and every later write fails that makes a file
/// longer.
static IS_KILLED: AtomicBool = AtomicBool::new(false);

/// Only one test at a time may use the disk.
static DISK: Mutex<()> = Mutex::new(());

/// Counts a call on a file; returns whether the call is past the last one that has all it needs.
fn is_past_the_last(file: c_int) -> bool {
    let left = CALLS_LEFT.load(Ordering::SeqCst);
    // The standard streams always work.
    if file <= 2 || left < 0 {
        return false;
    }
    if left > 0 {
        CALLS_LEFT.fetch_sub(1, Ordering::SeqCst);
        return false;
    }
    if IS_KILLED.load(Ordering::SeqCst) {
        // SAFETY: calls with numbers alone. The process ends here.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    true
}

/// Whether a write up to this place has room.
fn has_room(file: c_int, end: i64) -> bool {
    // SAFETY: a call with numbers alone.
    let length = || unsafe { libc::lseek(file, 0, libc::SEEK_END) };
    !is_past_the_last(file) || end <= length()
}

fn full() -> isize {
    // SAFETY: each thread has its own errno, which lives as long as the thread.
    unsafe { *libc::__errno_location() = libc::ENOSPC };
    -1
}

#[unsafe(no_mangle)]
extern "C" fn write(file: c_int, start: *const c_void, length: usize) -> isize {
    // SAFETY: the caller of `write` guarantees that the memory is valid.
    if has_room(file, i64::MAX) {
        unsafe { libc::syscall(libc::SYS_write, file, start, length) as isize }
    } else {
        full()
    }
}

#[unsafe(no_mangle)]
extern "C" fn pwrite(file: c_int, start: *const c_void, length: usize, offset: i64) -> isize {
    if !has_room(file, offset + length as i64) {
        return full();
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_pwrite64, file, start, length, offset) as isize }
}

#[unsafe(no_mangle)]
extern "C" fn pwrite64(file: c_int, start: *const c_void, length: usize, offset: i64) -> isize {
    pwrite(file, start, length, offset)
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(file: c_int, length: i64) -> c_int {
    is_past_the_last(file);
    // SAFETY: a call with numbers alone.
    unsafe { libc::syscall(libc::SYS_ftruncate, c_long::from(file), length) as c_int }
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(file: c_int, length: i64) -> c_int {
    ftruncate(file, length)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    is_past_the_last(file);
    0 // No power is cut here, so a real sync would only take time.
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    fsync(file)
}

const KEYS: u64 = 20;

/// Fills a store with some entries that stay, and more that are deleted.
fn furnish(store: &Store) {
    let tenant = store.scoped("tenant").unwrap();
    store.set_quota("tenant", Quota { max_keys: Some(9), ..Quota::default() }).unwrap();
    tenant.set("goes", "large", vec![b'x'; 60_000]).unwrap();
    let batch = store.batch();
    let sets = (0..KEYS).fold(batch, |batch, key| batch.set("stays", key.to_string(), vec![b'x'; 1_000]));
    sets.commit().unwrap();
    assert_eq!(store.delete_group("tenant:goes").unwrap(), 1);
}

/// Checks that the store has lost nothing, and that it goes on.
fn assert_whole(store: &Store, what: &str) {
    assert_eq!(store.check().unwrap(), [], "{what}");
    common::verify(store);
    assert_eq!(store.count("stays").unwrap(), KEYS, "{what}");
    assert!(store.get_all("stays").unwrap().iter().all(|(_, value)| value.len() == 1_000), "{what}");
    assert_eq!(store.scoped("tenant").unwrap().quota().unwrap().max_keys, Some(9), "{what}");
    let next = store.revision().unwrap().next();
    assert_eq!(store.set("goes on", "k", what).unwrap(), next, "{what}");
}

fn open(path: &Path) -> Store {
    Store::options().history(10, 1 << 20).open(path).unwrap()
}

#[test]
fn a_compaction_that_is_killed_at_any_system_call_leaves_the_store_whole() {
    if let Some((path, words)) = child_task() {
        let store = open(&path);
        IS_KILLED.store(true, Ordering::SeqCst);
        CALLS_LEFT.store(words[0].parse().unwrap(), Ordering::SeqCst);
        let compacted = store.compact();
        CALLS_LEFT.store(-1, Ordering::SeqCst);
        compacted.unwrap();
        return;
    }
    let _disk = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let me = "a_compaction_that_is_killed_at_any_system_call_leaves_the_store_whole";
    let mut beside = None;
    for calls in 0.. {
        let store = beside.take().unwrap_or_else(|| open(&path));
        furnish(&store);
        // Every second time nobody else has the store open, so whoever opens it next recovers it.
        if calls % 2 == 0 {
            drop(store);
        } else {
            beside = Some(store);
        }
        let mut process = Process::start(me, &path, &calls.to_string());
        process.remaining_lines();
        let status = process.child.wait().unwrap();
        let store = beside.take().unwrap_or_else(|| open(&path));
        assert_whole(&store, &format!("killed at call {calls}"));
        if calls % 3 == 0 {
            store.close().unwrap();
            assert_eq!(names(folder.path()), ["store.db"], "killed at call {calls}");
        } else {
            beside = Some(store);
        }
        if status.success() {
            assert!(calls > 40, "a compaction took {calls} calls");
            break;
        }
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    }
}

#[test]
fn a_compaction_whose_disk_is_full_from_any_write_on_changes_nothing_and_says_so() {
    let _disk = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut store = open(&path);
    for calls in (0..).step_by(2) {
        furnish(&store);
        // Every second time the log is empty, and has no room for what is written anew.
        if calls % 4 == 0 {
            store.close().unwrap();
            store = open(&path);
        }
        let log_before = store.stats().unwrap().wal_bytes;
        CALLS_LEFT.store(calls, Ordering::SeqCst);
        let compacted = store.compact();
        CALLS_LEFT.store(-1, Ordering::SeqCst);
        let what = format!("full from call {calls} on");
        let is_refused = match compacted {
            Ok(freed) => {
                assert!(freed >= 60_000 && calls > 30, "{freed} bytes in {calls} calls");
                false
            }
            Err(error) => {
                assert!(matches!(error, Error::Full { .. }), "{what}: {error:?}");
                assert!(error.advice().is_some(), "{what}: {error:?}");
                true
            }
        };
        let log_after = store.stats().unwrap().wal_bytes;
        assert!(log_after < 5000 || log_after == log_before, "{what}: a log without use takes room");
        assert_whole(&store, &what);
        if !is_refused {
            break;
        }
        store.compact().unwrap();
        assert_eq!(store.stats().unwrap().free_bytes, 0);
    }
    store.close().unwrap();
    assert_eq!(names(folder.path()), ["store.db"]);
}
