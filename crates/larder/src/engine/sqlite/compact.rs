//! Makes a file as small as what is in it, while other processes have it open.
//!
//! SQLite's `VACUUM` writes the store anew without its free pages, into a temporary file and from there into the log,
//! in one transaction. Then the log is copied back, and the file and the log become shorter. Readers go on meanwhile.
//! Writers wait; those of other processes fail with `Busy` once their timeout has passed.
//!
//! Two other ways were tried or weighed: `docs/architecture.md` says why this one was taken.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::checkpoint::{self, Mode};
use super::cohort::failure_of;
use super::open::WAL_BYTES_KEPT;
use super::reader_pool::ReaderPool;
use super::schema::unsigned;
use super::store_file::{StoreFile, is_failed_sync};
use super::writer::{Uncommitted, Writer};
use super::writer_slot::{Lease, WriterSlot};
use crate::data::{Error, Result, caught};
use crate::engine::Interest;

/// How long to wait for readers that still need the log, at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to pause between two looks at them, at first and at most.
const PAUSE_MIN: Duration = Duration::from_micros(200);
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Rewrites the store, and returns by how many bytes the file becomes smaller. It does at once, unless a reader still
/// needs the log; then it does with the first checkpoint after that reader.
pub(super) fn compact(slot: &WriterSlot, file: &StoreFile, readers: &ReaderPool) -> Result<u64> {
    let rewritten = {
        let mut lease = slot.lease()?;
        let writer = writing(&mut lease)?;
        caught("a compaction", || rewrite(writer)).inspect_err(|_| writer.rollback())?
    };
    // Where nobody let it begin, the log is as it was. One that has filled the disk is of no use any more.
    let may_be_longer = !matches!(rewritten, Err(Error::Busy { .. }));
    let given_back = if file.path.is_some() && may_be_longer {
        give_back(slot, readers, file.timeout.min(PATIENCE))
    } else {
        Ok(())
    };
    let (before, after) = rewritten?;
    given_back.map(|()| before.saturating_sub(after))
}

fn writing<'a>(lease: &'a mut Lease<'_>) -> Result<&'a mut Writer> {
    let writer = lease.writer.as_deref_mut().ok_or(Error::Closed)?;
    writer.stopped.clone().map_or(Ok(writer), Err)
}

/// Rewrites the store; returns the bytes of its pages before and after.
fn rewrite(writer: &mut Writer) -> Result<(u64, u64)> {
    // The log that follows takes enough room by itself.
    copy_back(writer)?;
    commit_link(writer)?;
    let rewritten = vacuum(&writer.connection, &writer.file);
    let sizes = rewritten.map_err(|error| match failure_of(writer, Uncommitted::from(error)) {
        Error::Full { location, source, .. } => Error::Full { location, advice: ADVICE.into(), source },
        error => error,
    })?;
    match &writer.file.guard {
        Some(guard) => guard.after_commit().map(|()| sizes),
        None => Ok(sizes),
    }
}

/// A commit of its own, before which the guard looks at the file, and which links the log to it.
fn commit_link(writer: &mut Writer) -> Result<()> {
    let committed = writer.begin(Interest::None).and_then(|()| {
        writer.transaction.is_unlogged = true;
        writer.commit()
    });
    committed.map_err(|failed| failure_of(writer, failed))
}

const ADVICE: &str = "Free as much space as the entries and the change log take, on the disk of the file and on that of \
                      temporary files, or set SQLITE_TMPDIR to a folder with more, and try again.";

fn vacuum(connection: &Connection, file: &StoreFile) -> rusqlite::Result<(u64, u64)> {
    let before = page_bytes(connection)?;
    // larder keeps temporary tables in memory. This one is the whole store: SQLite creates a file for it that only its
    // owner can read, and that has no name.
    let place = if file.path.is_some() { "FILE" } else { "MEMORY" };
    connection.pragma_update(None, "temp_store", place)?;
    let rewritten = file.wait_for_lock(|| connection.execute_batch("VACUUM"));
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    rewritten?;
    Ok((before, page_bytes(connection)?))
}

fn page_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get(0)).map(unsigned);
    Ok(number("page_count")?.saturating_mul(number("page_size")?))
}

/// Copies the log back and shortens it, so that both files become shorter. The writer is only held for each attempt.
fn give_back(slot: &WriterSlot, readers: &ReaderPool, patience: Duration) -> Result<()> {
    let begun = Instant::now();
    let mut pause = PAUSE_MIN;
    loop {
        // A transaction that is kept for the next read needs the log, too.
        readers.end_kept();
        let is_done = shorten_log(writing(&mut slot.lease()?)?)?;
        if is_done || begun.elapsed() >= patience {
            return Ok(());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Copies the log back and starts it anew with one short commit, at which SQLite makes the file of the log as short as
/// that. Returns false if a reader still needs the log.
///
/// A checkpoint that truncates the log would leave it empty. If the process were killed in it, SQLite would recover the
/// index of an empty log, which is always the same: another process that has seen it before would notice no change.
fn shorten_log(writer: &mut Writer) -> Result<bool> {
    if !copy_back(writer)? {
        return Ok(false);
    }
    let limit = |writer: &Writer, bytes: i64| {
        writer
            .connection
            .pragma_update(None, "journal_size_limit", bytes)
            .map_err(|error| writer.file.failure(error))
    };
    limit(writer, 0)?;
    let committed = commit_link(writer);
    limit(writer, WAL_BYTES_KEPT)?;
    committed.map(|()| true)
}

/// Copies the log back, so that the next commit starts it anew. Returns whether the whole log is in the file, and nobody
/// needs it any more.
fn copy_back(writer: &mut Writer) -> Result<bool> {
    match checkpoint::copy(&writer.connection, Mode::Restart) {
        Ok(copied) => Ok(!copied.busy),
        Err(error) if is_failed_sync(&error) => Err(checkpoint::fail(writer, error)),
        Err(error) => Err(writer.file.failure(error)),
    }
}
