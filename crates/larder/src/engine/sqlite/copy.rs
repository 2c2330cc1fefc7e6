//! A copy of a whole store, page by page, into a new file.

use std::sync::Arc;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, ffi};

use super::store_file::{StoreFile, is_of_reading};
use super::{log_link, own_rules, timeline};
use crate::data::{Error, Result};
use crate::engine::NewFile;

/// Copies every page, as of one moment, into a new file, and gives the copy an identity of its own. `look` may refuse
/// the copy before that.
pub(super) fn into_new_file(
    from: &Connection,
    new: &NewFile,
    place: &StoreFile,
    look: impl Fn(&Connection) -> Result<()>,
) -> Result<Connection> {
    let failure = |error| {
        if is_of_reading(&error) {
            place.failure(error)
        } else {
            Error::BackupFailed { path: new.target().to_owned(), source: Arc::new(error) }
        }
    };
    let copy = place.wait_for_lock(|| copy_pages(from, new)).map_err(failure)?;
    look(&copy)?;
    separate(&copy, new).map_err(failure)?;
    Ok(copy)
}

/// Copies every page, as of one moment, into a new file.
pub(super) fn copy_pages(from: &Connection, new: &NewFile) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut copy = own_rules::open(new.path(), flags)?;
    // Nobody else knows of the file: its log needs no shared index.
    copy.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let copied = Backup::new(from, &mut copy)?.step(-1)?;
    match copied {
        StepResult::Done => Ok(copy),
        _ => Err(busy()),
    }
}

/// Makes a store of its own of a copy that is still private.
pub(super) fn separate(copy: &Connection, new: &NewFile) -> rusqlite::Result<()> {
    let transaction = copy.unchecked_transaction()?;
    timeline::part(copy)?;
    timeline::record_birth(copy, new.path())?;
    log_link::rename(copy)?;
    transaction.commit()?;
    fold(copy)
}

/// Copies the log back into the file itself: the log does not go with it.
pub(super) fn fold(copy: &Connection) -> rusqlite::Result<()> {
    let is_busy: bool = copy.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_busy { Err(busy()) } else { Ok(()) }
}

fn busy() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None)
}
