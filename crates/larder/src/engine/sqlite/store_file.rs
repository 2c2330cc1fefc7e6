//! Where a store is: what SQLite's errors mean there, and how long to wait for its lock.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::lock_holder;
use crate::data::Error;

/// Where a store is.
#[derive(Clone, Debug)]
pub(super) struct StoreFile {
    /// The path as it was given, or `:memory:`.
    pub location: String,
    /// The path as SQLite resolved it, links followed: the log and the shared memory lie beside it. `None`
    /// where the store is in memory.
    pub path: Option<PathBuf>,
    pub timeout: Duration,
}

impl StoreFile {
    /// The larder error that an SQLite error means here.
    pub fn failure(&self, error: rusqlite::Error) -> Error {
        let location = self.location.clone();
        if lacks_a_table(&error) {
            return Error::Damaged { location, detail: error.to_string() };
        }
        let Some(code) = error.sqlite_error_code() else {
            return match error {
                // A column of another type, or a name that is not UTF-8: larder never writes that.
                rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..) => Error::Damaged { location, detail: error.to_string() },
                error => Error::Storage { location, source: Arc::new(error) },
            };
        };
        match code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Busy {
                holder: self.path.as_deref().and_then(lock_holder::find),
                waited: self.timeout,
                location,
            },
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                Error::Damaged { location, detail: error.to_string() }
            }
            // On a full disk the shared memory of the connections cannot grow either.
            _ if error
                .sqlite_error()
                .is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE) =>
            {
                full(location, error)
            }
            ErrorCode::DiskFull => full(location, error),
            ErrorCode::ReadOnly => Error::ReadOnly { location },
            _ => Error::Storage { location, source: Arc::new(error) },
        }
    }

    /// Repeats `attempt` while another process holds the lock that it needs, until `timeout` has passed. The
    /// pauses are much shorter than those of SQLite's own handler, because larder's commits are short.
    pub fn wait_for_lock<T>(&self, mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let mut pause = Duration::from_micros(50);
        let mut deadline = None;
        loop {
            match attempt() {
                Err(error) if is_busy(&error) => {
                    let now = Instant::now();
                    let deadline = *deadline.get_or_insert(now + self.timeout);
                    if now >= deadline {
                        return Err(error);
                    }
                    std::thread::sleep(pause.min(deadline - now));
                    pause = (pause * 2).min(Duration::from_millis(2));
                }
                result => return result,
            }
        }
    }
}

fn full(location: String, error: rusqlite::Error) -> Error {
    Error::Full {
        location,
        advice: "Free some space on its disk and try again.".into(),
        source: Arc::new(error),
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether a statement could not be prepared because the file lacks what it names.
///
/// SQLite has no code for it: that is `SQLITE_ERROR`, as many errors are, and only the text of its name resolution
/// (`build.c`, `resolve.c`) tells which it is. larder's statements name nothing that a sound store lacks.
fn lacks_a_table(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{SqlInputError, SqliteFailure};
    let (SqliteFailure(_, Some(said)) | SqlInputError { msg: said, .. }) = error else { return false };
    ["no such table: ", "no such column: ", "no such index: "].iter().any(|lack| said.starts_with(lack))
}

/// Whether the disk failed to confirm a write: what reached it is unknown.
pub(super) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        matches!(error.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
    })
}

/// Whether an error came from reading, or from waiting to read. A copy into a new file does not read that file, so
/// every other error comes from writing it.
pub(super) fn is_of_reading(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        matches!(
            error.code,
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::OutOfMemory
        ) || matches!(
            error.extended_code,
            ffi::SQLITE_IOERR_READ
                | ffi::SQLITE_IOERR_SHORT_READ
                | ffi::SQLITE_IOERR_CORRUPTFS
                | ffi::SQLITE_IOERR_LOCK
                | ffi::SQLITE_IOERR_RDLOCK
                | ffi::SQLITE_IOERR_SHMOPEN
                | ffi::SQLITE_IOERR_SHMSIZE
                | ffi::SQLITE_IOERR_SHMLOCK
                | ffi::SQLITE_IOERR_SHMMAP
        )
    })
}
