//! A disk that is full or fails: the write leaves nothing behind, and the error says so.
//!
//! In this test binary, the functions with which SQLite writes and syncs are replaced by ones that fail on
//! demand.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(unsafe_code)] // Replacing functions of the C library takes their C signatures.

use std::error::Error as _;
use std::ffi::{c_int, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use larder::{Error, Pattern, Revision, Store};
use tempfile::TempDir;

const EIO: c_int = 5;
const ENOSPC: c_int = 28;

/// The errors with which writes and syncs fail; 0 means that they succeed.
static WRITES_FAIL: AtomicI32 = AtomicI32::new(0);
static SYNCS_FAIL: AtomicI32 = AtomicI32::new(0);

/// Only one test at a time may use the disk.
static DISK: Mutex<()> = Mutex::new(());

#[repr(C)]
struct Piece {
    start: *const c_void,
    length: usize,
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
    fn writev(file: c_int, pieces: *const Piece, count: c_int) -> isize;
    fn pwritev(file: c_int, pieces: *const Piece, count: c_int, offset: i64) -> isize;
}

fn fail(code: c_int) {
    // SAFETY: each thread has its own errno, which lives as long as the thread.
    unsafe { *__errno_location() = code };
}

fn sync() -> c_int {
    match SYNCS_FAIL.load(Ordering::SeqCst) {
        0 => 0, // No power is cut here, so a real sync would only take time.
        code => {
            fail(code);
            -1
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn fsync(_file: c_int) -> c_int {
    sync()
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(_file: c_int) -> c_int {
    sync()
}

fn may_write(file: c_int) -> bool {
    let code = WRITES_FAIL.load(Ordering::SeqCst);
    // The standard streams always work.
    if code == 0 || file <= 2 {
        return true;
    }
    fail(code);
    false
}

#[unsafe(no_mangle)]
extern "C" fn write(file: c_int, start: *const c_void, length: usize) -> isize {
    // SAFETY: the caller of `write` guarantees that the memory is valid.
    if may_write(file) { unsafe { writev(file, &Piece { start, length }, 1) } } else { -1 }
}

#[unsafe(no_mangle)]
extern "C" fn pwrite(file: c_int, start: *const c_void, length: usize, offset: i64) -> isize {
    // SAFETY: as above.
    if may_write(file) { unsafe { pwritev(file, &Piece { start, length }, 1, offset) } } else { -1 }
}

#[unsafe(no_mangle)]
extern "C" fn pwrite64(file: c_int, start: *const c_void, length: usize, offset: i64) -> isize {
    pwrite(file, start, length, offset)
}

/// A store with one entry, on a disk that only this test uses.
fn store() -> (MutexGuard<'static, ()>, TempDir, PathBuf, Store) {
    let disk = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path).unwrap();
    store.set("config", "colour", "blue").unwrap();
    (disk, folder, path, store)
}

/// Makes writes or syncs fail until dropped.
struct Failing(&'static AtomicI32);

fn failing(what: &'static AtomicI32, code: c_int) -> Failing {
    what.store(code, Ordering::SeqCst);
    Failing(what)
}

impl Drop for Failing {
    fn drop(&mut self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

#[test]
fn a_full_disk_refuses_writes_whole_and_the_store_recovers_when_there_is_space() {
    let (_disk, _folder, path, store) = store();
    let watcher = store.watch(Pattern::all()).unwrap();
    let no_room = failing(&WRITES_FAIL, ENOSPC);
    for result in [
        store.set("config", "colour", "red").map(drop),
        store.batch().set("a", "b", "c").delete_group("config").commit().map(drop),
        store.transaction(|tx| tx.set("a", "b", "c")),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        assert!(error.source().is_some());
        let message = error.to_string();
        assert!(message.contains("no room") && message.contains(path.to_str().unwrap()), "{message}");
        assert!(message.contains("nothing was written"), "{message}");
        assert_eq!(error.advice().unwrap(), "Free some space on its disk and try again.");
    }
    assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
    drop(no_room);
    assert_eq!(
        store.set("config", "colour", "green").unwrap(),
        Revision(2),
        "the failed write took a revision"
    );
    assert_eq!(watcher.recv().unwrap().revision, Revision(2));
    assert_eq!(watcher.try_recv().unwrap(), None);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_backup_to_a_full_disk_leaves_nothing_behind() {
    let (_disk, folder, _path, store) = store();
    let files = || {
        let files = std::fs::read_dir(folder.path()).unwrap();
        files.map(|file| file.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = files();
    let no_room = failing(&WRITES_FAIL, ENOSPC);
    assert!(store.backup_to(folder.path().join("copy.db")).is_err());
    drop(no_room);
    assert_eq!(files(), before);
    store.backup_to(folder.path().join("copy.db")).unwrap();
}

#[test]
fn a_backup_that_cannot_be_written_is_blamed_on_the_backup_and_not_on_the_store() {
    let (_disk, folder, path, store) = store();
    let target = folder.path().join("copy.db");
    for (what, code) in [(&WRITES_FAIL, ENOSPC), (&WRITES_FAIL, EIO), (&SYNCS_FAIL, EIO)] {
        let fault = failing(what, code);
        let error = store.backup_to(&target).unwrap_err();
        drop(fault);
        assert!(matches!(&error, Error::BackupFailed { path, .. } if *path == target), "{error:?}");
        assert!(error.source().is_some());
        let message = error.to_string();
        assert!(message.contains(target.to_str().unwrap()), "{message}");
        assert!(!message.contains(path.to_str().unwrap()), "{message}");
    }
    assert_eq!(store.set("config", "colour", "green").unwrap(), Revision(2), "the store goes on");
    store.backup_to(&target).unwrap();
}

#[test]
fn a_failed_disk_write_is_a_storage_error() {
    let (_disk, _folder, path, store) = store();
    let broken = failing(&WRITES_FAIL, EIO);
    let error = store.set("config", "colour", "red").unwrap_err();
    assert!(matches!(error, Error::Storage { .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(error.source().unwrap().to_string().contains("I/O"), "{error}");
    drop(broken);
    assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
    assert_eq!(store.set("config", "colour", "green").unwrap(), Revision(2));
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn after_a_failed_sync_writes_are_refused_until_the_store_is_reopened() {
    let (_disk, _folder, path, store) = store();
    let watcher = store.watch(Pattern::all()).unwrap();
    let unconfirmed = failing(&SYNCS_FAIL, EIO);
    let first = store.set("config", "colour", "red").unwrap_err();
    drop(unconfirmed);
    // The disk works again, but it is unknown what reached it.
    for error in [
        first,
        store.set("config", "colour", "green").unwrap_err(),
        store.increment("stats", "n", 1).unwrap_err(),
        store.transaction(|tx| tx.set("a", "b", "c")).unwrap_err(),
        store.batch().set("a", "b", "c").commit().unwrap_err(),
        store.purge_expired().unwrap_err(),
    ] {
        assert!(matches!(error, Error::WritesStopped { .. }), "{error:?}");
        assert!(error.source().is_some());
        let message = error.to_string();
        assert!(message.contains("takes no more writes"), "{message}");
        assert_eq!(error.advice().unwrap(), "Close the store and open it again.");
        assert!(message.contains(path.to_str().unwrap()), "{message}");
    }
    assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue", "reads fail too");
    assert_eq!(watcher.try_recv().unwrap(), None, "an event of the failed write was published");
    store.close().unwrap();
    let store = Store::open(&path).unwrap();
    assert!(store.set("config", "colour", "green").is_ok());
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn every_writer_in_a_failed_commit_gets_the_error() {
    let (_disk, _folder, _path, store) = store();
    let no_room = failing(&WRITES_FAIL, ENOSPC);
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..10 {
                    let error = store.set(format!("g{writer}"), number.to_string(), "v").unwrap_err();
                    assert!(matches!(error, Error::Full { .. }), "{error:?}");
                }
            });
        }
    });
    drop(no_room);
    assert_eq!((store.count_all("").unwrap(), store.revision().unwrap()), (1, Revision(1)));
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn creating_a_store_on_a_full_disk_fails_and_works_later() {
    let (_disk, folder, _path, _store) = store();
    let path = folder.path().join("new.db");
    let no_room = failing(&WRITES_FAIL, ENOSPC);
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    drop(no_room);
    assert_eq!(Store::open(&path).unwrap().set("a", "b", "c").unwrap(), Revision(1));
}

#[test]
fn a_go_store_file_on_a_full_disk_is_left_unchanged() {
    let (_disk, folder, _path, _store) = store();
    for file in ["kv-without-ttl.db", "kv-with-ttl.db", "entries.db"] {
        let path = folder.path().join(file);
        let bytes = std::fs::read(std::path::Path::new("tests/fixtures/go-store").join(file)).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let no_room = failing(&WRITES_FAIL, ENOSPC);
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, Error::Full { .. }), "{error:?}");
        drop(no_room);
        assert!(std::fs::read(&path).unwrap() == bytes, "{file} changed");
        assert_eq!(Store::open(&path).unwrap().count("bulk").unwrap(), 1000);
    }
}
