//! A disk that is full or fails: the write leaves nothing behind, and the error says so.
//!
//! In this test binary, the functions with which SQLite writes and syncs are replaced by ones that fail on
//! demand.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(unsafe_code)] // Replacing functions of the C library takes their C signatures.

use std::error::Error as _;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use larder::{Durability, Error, ErrorKind, Pattern, Revision, Store};
use tempfile::TempDir;

const EIO: c_int = 5;
const ENOSPC: c_int = 28;

/// The errors with which writes and syncs fail; 0 means that they succeed. The last is about the syncs of database
/// files alone, and not of their logs: a checkpoint makes those.
static WRITES_FAIL: AtomicI32 = AtomicI32::new(0);
static SYNCS_FAIL: AtomicI32 = AtomicI32::new(0);
static CHECKPOINT_SYNCS_FAIL: AtomicI32 = AtomicI32::new(0);

/// Only one test at a time may use the disk.
static DISK: Mutex<()> = Mutex::new(());

/// The folder in which the process is, for `unlinkat`.
const AT_FDCWD: c_int = -100;

#[repr(C)]
struct Piece {
    start: *const c_void,
    length: usize,
}

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
    fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int;
    fn writev(file: c_int, pieces: *const Piece, count: c_int) -> isize;
    fn pwritev(file: c_int, pieces: *const Piece, count: c_int, offset: i64) -> isize;
}

/// What of one kind of file fails: the call of this number from now on, once, with this error. 0 is none.
struct Nth {
    left: AtomicI32,
    code: AtomicI32,
}

impl Nth {
    const fn never() -> Self {
        Self { left: AtomicI32::new(0), code: AtomicI32::new(0) }
    }

    fn set(&self, number: i32, code: c_int) {
        self.code.store(code, Ordering::SeqCst);
        self.left.store(number, Ordering::SeqCst);
    }

    /// Whether the call was reached; the fault is over in any case.
    fn end(&self) -> bool {
        self.left.swap(0, Ordering::SeqCst) <= 0
    }

    /// Counts a call; returns the error with which it fails.
    fn code(&self) -> Option<c_int> {
        let before = self.left.load(Ordering::SeqCst);
        if before > 0 {
            self.left.store(before - 1, Ordering::SeqCst);
        }
        (before == 1).then(|| self.code.load(Ordering::SeqCst))
    }
}

static LOG_WRITE: Nth = Nth::never();
static LOG_SYNC: Nth = Nth::never();
static INDEX_WRITE: Nth = Nth::never();
/// A write, a sync or a removal of a database file or its rollback journal, by which SQLite turns the log on.
static WITHOUT_LOG: Nth = Nth::never();

fn name_ends(file: c_int, end: &str) -> bool {
    let name = std::fs::read_link(format!("/proc/self/fd/{file}"));
    name.is_ok_and(|name| name.to_string_lossy().ends_with(end))
}

/// The error with which the next call of a kind on a file fails, counting the call.
fn nth(faults: &[(&str, &Nth)], file: c_int) -> Option<c_int> {
    faults
        .iter()
        .filter(|(_, nth)| nth.left.load(Ordering::SeqCst) > 0)
        .find_map(|(end, nth)| if name_ends(file, end) { nth.code() } else { None })
}

fn fail(code: c_int) {
    // SAFETY: each thread has its own errno, which lives as long as the thread.
    unsafe { *__errno_location() = code };
}

fn sync(file: c_int) -> c_int {
    let once = [("-wal", &LOG_SYNC), (".db", &WITHOUT_LOG), ("-journal", &WITHOUT_LOG)];
    if let Some(code) = nth(&once, file) {
        fail(code);
        return -1;
    }
    let code = match CHECKPOINT_SYNCS_FAIL.load(Ordering::SeqCst) {
        code if code != 0 && name_ends(file, ".db") => code,
        _ => SYNCS_FAIL.load(Ordering::SeqCst),
    };
    match code {
        0 => 0, // No power is cut here, so a real sync would only take time.
        code => {
            fail(code);
            -1
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    sync(file)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    sync(file)
}

#[unsafe(no_mangle)]
extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller of `unlink` guarantees that it is a text that ends with a zero.
    let is_journal = unsafe { CStr::from_ptr(path) }.to_bytes().ends_with(b"-journal");
    if is_journal && let Some(code) = WITHOUT_LOG.code() {
        fail(code);
        return -1;
    }
    // SAFETY: as above.
    unsafe { unlinkat(AT_FDCWD, path, 0) }
}

fn may_write(file: c_int) -> bool {
    let once =
        [("-wal", &LOG_WRITE), ("-shm", &INDEX_WRITE), (".db", &WITHOUT_LOG), ("-journal", &WITHOUT_LOG)];
    let once = nth(&once, file);
    let code = once.unwrap_or_else(|| WRITES_FAIL.load(Ordering::SeqCst));
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
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn a_quota_a_limit_on_files_and_a_read_only_disk_refuse_writes_whole_and_say_what_they_are() {
    const EDQUOT: c_int = 122;
    const EFBIG: c_int = 27;
    const EROFS: c_int = 30;
    let (_disk, _folder, _path, store) = store();
    for (code, advice) in [(EDQUOT, Some("quota")), (EFBIG, Some("ulimit -f")), (EROFS, None)] {
        let refused = failing(&WRITES_FAIL, code);
        let error = store.set("config", "colour", "red").unwrap_err();
        drop(refused);
        match advice {
            Some(words) => {
                assert!(matches!(error, Error::Full { .. }), "{error:?}");
                assert!(error.advice().unwrap().contains(words), "{error:?}");
            }
            None => assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}"),
        }
        assert_eq!(store.get("config", "colour").unwrap().unwrap(), "blue");
    }
    // Without being opened again.
    assert_eq!(store.set("config", "colour", "green").unwrap(), Revision(2));
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
fn a_restore_that_cannot_be_written_leaves_the_store_as_it_was() {
    let (_disk, folder, path, store) = store();
    let backup = folder.path().join("copy.db");
    store.backup_to(&backup).unwrap();
    store.set("config", "colour", "green").unwrap();
    store.close().unwrap();
    for (what, code) in [(&WRITES_FAIL, ENOSPC), (&WRITES_FAIL, EIO), (&SYNCS_FAIL, EIO)] {
        let fault = failing(what, code);
        let error = Store::restore(&backup, &path).run().unwrap_err();
        drop(fault);
        assert!(matches!(&error, Error::RestoreFailed { path: named, .. } if *named == path), "{error:?}");
        assert!(error.source().is_some());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "what was written is left");
    }
    assert_eq!(Store::open(&path).unwrap().get("config", "colour").unwrap().unwrap(), "green");
    Store::restore(&backup, &path).run().unwrap();
    assert_eq!(Store::open(&path).unwrap().get("config", "colour").unwrap().unwrap(), "blue");
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
    assert_eq!(store.check().unwrap(), []);
}

#[test]
fn after_a_failed_sync_writes_are_refused_until_the_store_is_reopened() {
    let (_disk, _folder, path, store) = store();
    let watcher = store.watch(Pattern::all()).unwrap();
    let unconfirmed = failing(&SYNCS_FAIL, EIO);
    let first = store.set("config", "colour", "red").unwrap_err();
    drop(unconfirmed);
    assert_eq!(first.kind(), ErrorKind::OutcomeUnknown, "{first:?}");
    assert!(first.to_string().contains("unknown") && first.source().is_some(), "{first}");
    // The disk works again, but it is unknown what reached it.
    for error in [
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
    assert_eq!(store.check().unwrap(), []);
}

/// Writes until the log was long enough for a checkpoint, and the checkpoint failed; returns the error, and how many
/// writes were acknowledged.
fn write_until_refused(store: &Store) -> (Error, u64) {
    let value = "x".repeat(60_000);
    for number in 0..3_000 {
        if let Err(error) = store.set("large", (number % 50).to_string(), format!("{number} {value}")) {
            return (error, number);
        }
    }
    panic!("no checkpoint has failed");
}

#[test]
fn a_checkpoint_that_the_disk_does_not_confirm_stops_writes_and_loses_nothing() {
    for durability in [Durability::Full, Durability::Relaxed] {
        let (_disk, _folder, path, store) = store();
        store.close().unwrap();
        let store = Store::options().durability(durability).open(&path).unwrap();
        let other = Store::open(&path).unwrap();
        let unconfirmed = failing(&CHECKPOINT_SYNCS_FAIL, EIO);
        let (error, written) = write_until_refused(&store);
        drop(unconfirmed);
        assert!(matches!(error, Error::WritesStopped { .. }), "{error:?}");
        assert!(error.source().unwrap().to_string().contains("I/O"), "{error:?}");
        // What a checkpoint has copied before may be missing on the disk: nothing counts as copied any more.
        let index = std::fs::read(path.with_extension("db-shm")).unwrap();
        assert_eq!(index[96..100], [0; 4], "the log could start over");
        drop(other);
        store.close().unwrap();
        let store = Store::open(&path).unwrap();
        let found = store.get_all("large").unwrap();
        assert_eq!(found.len(), 50);
        for (key, value) in found {
            let number: u64 = value.to_string_lossy().split(' ').next().unwrap().parse().unwrap();
            let last = (written - 1 - key.parse::<u64>().unwrap()) / 50 * 50 + key.parse::<u64>().unwrap();
            assert_eq!(number, last, "key {key}, of {written} acknowledged writes");
        }
        assert_eq!(store.check().unwrap(), []);
    }
}

/// What is stored after a crash now: opens a copy of the file and its log. The index is memory, which a crash loses.
fn after_a_crash(path: &std::path::Path, key: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let mut from = path.as_os_str().to_owned();
        from.push(suffix);
        let to = folder.path().join(format!("store.db{suffix}"));
        // Not by this process, which would drop its locks when it closes the file.
        assert!(std::process::Command::new("cp").arg(&from).arg(to).status().unwrap().success());
    }
    let store = Store::open(folder.path().join("store.db")).unwrap();
    assert_eq!(store.check().unwrap(), []);
    store.exists("g", key).unwrap()
}

#[test]
fn whichever_call_fails_a_refused_write_is_absent_after_a_crash_and_an_acknowledged_one_is_there() {
    let (_disk, _folder, path, first) = store();
    first.close().unwrap();
    let (mut refused, mut unknown, mut acknowledged) = (0, 0, 0);
    for (kind, fault, code, gathers) in [
        ("write", &LOG_WRITE, ENOSPC, true),
        ("write", &LOG_WRITE, EIO, true),
        // As elsewhere: each frame by itself.
        ("write", &LOG_WRITE, ENOSPC, false),
        ("write", &LOG_WRITE, EIO, false),
        ("sync", &LOG_SYNC, EIO, true),
        ("sync", &LOG_SYNC, ENOSPC, true),
        ("index", &INDEX_WRITE, ENOSPC, true),
        ("index", &INDEX_WRITE, EIO, true),
    ] {
        let fills_index = kind == "index";
        // The first write of a new log, and a later one.
        for is_later in if fills_index { &[true][..] } else { &[false, true] } {
            for number in 1.. {
                let store = Store::options().gather_log_writes(gathers).open(&path).unwrap();
                // Its log must not start over.
                let reader = store.snapshot().unwrap();
                if *is_later {
                    store.set("filler", "f", "x").unwrap();
                }
                if fills_index {
                    // One more page, and the index has to grow: it has room for 4,062 frames at first.
                    let bytes = |frames: u64| 32 + frames * 4120;
                    store.set("filler", "f", "x".repeat(7_500_000)).unwrap();
                    while store.stats().unwrap().wal_bytes < bytes(4_055) {
                        store.set("filler", "f", "x").unwrap();
                    }
                    assert!(store.stats().unwrap().wal_bytes <= bytes(4_062), "filled too far for this test");
                }
                let key = format!("{kind} {code} {gathers} {is_later} {number}");
                fault.set(number, code);
                // Two pages of values or so, and as many of the change log.
                let result = store.set("g", &key, "y".repeat(20_000));
                let reached = fault.end();
                let is_there = after_a_crash(&path, &key);
                match &result {
                    Ok(_) => {
                        acknowledged += 1;
                        assert!(is_there, "{key}: an acknowledged write is lost");
                    }
                    Err(error) if error.kind() == ErrorKind::OutcomeUnknown => unknown += 1,
                    Err(error) => {
                        refused += 1;
                        assert!(!is_there, "{key}: the write was refused and is there: {error:?}");
                    }
                }
                assert_eq!(store.exists("g", &key).unwrap(), result.is_ok(), "{key}: {result:?}");
                drop(reader);
                // Where the disk works again, the store does, without being opened again, unless a sync has failed.
                match store.set("filler", "f", "after") {
                    Ok(_) => assert_eq!(after_a_crash(&path, &key), result.is_ok(), "{key}"),
                    Err(error) => assert!(matches!(error, Error::WritesStopped { .. }), "{key}: {error:?}"),
                }
                store.close().unwrap();
                if !reached {
                    assert!(result.is_ok(), "{key}: {result:?}");
                    break;
                }
            }
        }
    }
    // Each of the 14 rounds ends with a write that its fault does not reach.
    assert!(refused > 20 && unknown > 5 && acknowledged >= 14, "{refused} {unknown} {acknowledged}");
}

#[test]
fn a_full_disk_while_the_index_grows_leaves_the_outcome_unknown() {
    let (_disk, _folder, path, store) = store();
    let _reader = store.snapshot().unwrap();
    let mut number = 0;
    let (key, error) = loop {
        let key = number.to_string();
        INDEX_WRITE.set(1, ENOSPC);
        match store.set("g", &key, "x".repeat(40_000)) {
            Ok(_) => assert!(!INDEX_WRITE.end(), "the index has grown, although that failed"),
            Err(error) => break (key, error),
        }
        number += 1;
        assert!(number < 5_000, "the index has not grown");
    };
    assert!(INDEX_WRITE.end());
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
    assert!(!store.exists("g", &key).unwrap());
    assert!(after_a_crash(&path, &key), "the commit was in the log already");
    // The next write takes its place.
    store.set("g", "next", "x").unwrap();
    assert!(!after_a_crash(&path, &key) && after_a_crash(&path, "next"));
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
    assert_eq!(store.check().unwrap(), []);
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
fn whichever_call_fails_while_the_log_is_turned_on_no_store_is_open_without_one() {
    let (_disk, folder, _path, _store) = store();
    let mode = |path: &std::path::Path| -> String {
        let other = rusqlite::Connection::open(path).unwrap();
        other.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap()
    };
    let mut failed = 0;
    for number in 1.. {
        let path = folder.path().join(format!("{number}.db"));
        // A store that larder makes has a log from the beginning.
        std::fs::write(&path, "").unwrap();
        WITHOUT_LOG.set(number, EIO);
        let opened = Store::open(&path);
        if !WITHOUT_LOG.end() {
            break;
        }
        match opened {
            Ok(_store) => assert_eq!(mode(&path), "wal", "call {number}"),
            Err(error) => {
                assert!(matches!(error, Error::Storage { .. }), "call {number}: {error:?}");
                failed += 1;
            }
        }
        let again = Store::open(&path).unwrap();
        assert_eq!(again.set("a", "b", "c").unwrap(), Revision(1), "call {number}");
        assert_eq!(mode(&path), "wal", "call {number}");
    }
    assert!(failed > 5, "{failed} calls failed");
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

#[test]
fn a_store_is_opened_only_once_the_disk_has_confirmed_its_log() {
    let (_disk, _folder, path, store) = store();
    // The log is not copied back yet. A process that was killed may have left a commit in it that was never synced.
    LOG_SYNC.set(1, EIO);
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, Error::Storage { .. }), "{error:?}");
    assert!(LOG_SYNC.end());
    assert_eq!(Store::open(&path).unwrap().get("config", "colour").unwrap().unwrap(), "blue");
    // The store that was open is not concerned.
    assert_eq!(store.set("config", "colour", "green").unwrap(), Revision(2));
}
