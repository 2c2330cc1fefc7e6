//! How much work a file can ask of a read: no more than a sound file of its size needs.
//!
//! A tree whose branches lead back to it has no end, and SQLite follows it. So every connection counts the steps of
//! SQLite's machine while a read runs, and ends the read where they are more than the rows that the file has room for
//! can take. It counts, and looks at no clock: a busy machine refuses no file.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, ffi};

use super::beside::beside;

/// After how many steps SQLite reports.
const STEPS_REPORTED: i32 = 4096;

/// How many steps every read may take, in the smallest file too. A transaction reads what it has written, of which
/// SQLite keeps up to two million bytes in memory.
const STEPS_FREE: u64 = 20_000_000;

/// How many further steps a read may take for each byte of the file. A row has ten bytes at least; the checks take the
/// most, about 200 steps a row.
const STEPS_PER_BYTE: u64 = 32;

/// How many bytes of rows a query may collect, in the smallest file too.
const BYTES_FREE: u64 = 8 << 20;

/// How often a query may collect each byte of the file.
const TIMES_COLLECTED: u64 = 4;

/// What a read has used up.
#[derive(Clone, Copy, Default)]
struct Spent {
    steps: u64,
    bytes: u64,
}

thread_local! {
    /// Of the read that runs on this thread: SQLite reports on the thread that called it.
    static SPENT: Cell<Option<Spent>> = const { Cell::new(None) };
}

/// Counts what a read uses up, from zero.
pub(super) fn limited<T>(read: impl FnOnce() -> T) -> T {
    /// Gives the read around this one its count back, also after a panic.
    struct Around(Option<Spent>);
    impl Drop for Around {
        fn drop(&mut self) {
            SPENT.set(self.0);
        }
    }
    let _around = Around(SPENT.replace(Some(Spent::default())));
    read()
}

/// Sets the limits for a connection to a file.
pub(super) fn guard(connection: &mut Connection, file: &Path) -> rusqlite::Result<()> {
    let path = file.to_owned();
    connection.progress_handler(STEPS_REPORTED, Some(move || !has_steps_left(&path)))?;
    let path = file.to_owned();
    add_function(connection, move |bytes| has_bytes_left(&path, bytes))
}

/// As [`guard`], for a store in memory, which nobody hands in.
pub(super) fn guard_nothing(connection: &Connection) -> rusqlite::Result<()> {
    add_function(connection, |_| true)
}

/// `collected(names, value)`: the sum of both, of which a query that collects rows has so much to collect.
fn add_function(
    connection: &Connection,
    has_room: impl Fn(u64) -> bool + Send + 'static,
) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("collected", 2, flags, move |call| {
        let (names, value): (i64, i64) = (call.get(0)?, call.get(1)?);
        let bytes = names.saturating_add(value);
        if has_room(bytes.unsigned_abs()) { Ok(bytes) } else { Err(endless()) }
    })
}

/// What is wrong with a file that has more rows than it has room for.
pub(super) fn endless() -> rusqlite::Error {
    corrupt("it seems to have more rows than a file of its size has room for")
}

/// The error of SQLite for a damaged file.
pub(super) fn corrupt(detail: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(detail.to_owned()))
}

fn has_steps_left(file: &Path) -> bool {
    SPENT.get().is_none_or(|mut spent| {
        spent.steps = spent.steps.saturating_add(STEPS_REPORTED.unsigned_abs().into());
        SPENT.set(Some(spent));
        spent.steps <= STEPS_FREE
            || spent.steps <= STEPS_FREE.saturating_add(size(file).saturating_mul(STEPS_PER_BYTE))
    })
}

fn has_bytes_left(file: &Path, bytes: u64) -> bool {
    SPENT.get().is_none_or(|mut spent| {
        spent.bytes = spent.bytes.saturating_add(bytes);
        SPENT.set(Some(spent));
        spent.bytes <= BYTES_FREE
            || spent.bytes <= BYTES_FREE.saturating_add(size(file).saturating_mul(TIMES_COLLECTED))
    })
}

/// The bytes of a file and its log.
pub(super) fn size(file: &Path) -> u64 {
    let size = |path: PathBuf| std::fs::metadata(path).map_or(0, |found| room(&found));
    size(file.to_owned()).saturating_add(size(beside(file, "-wal")))
}

/// A file may say that it is long, and have no bytes on the disk. Those that it has may be compressed.
#[cfg(unix)]
fn room(file: &std::fs::Metadata) -> u64 {
    const COMPRESSED: u64 = 64;
    let blocks = std::os::unix::fs::MetadataExt::blocks(file);
    file.len().min(blocks.saturating_mul(512 * COMPRESSED))
}

#[cfg(not(unix))]
fn room(file: &std::fs::Metadata) -> u64 {
    file.len()
}
