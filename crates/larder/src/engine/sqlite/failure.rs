//! What SQLite's errors mean to a caller of larder, and how long to wait for a lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::lock_holder;
use crate::data::Error;

/// Where a store is, for messages and for finding who holds its lock.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The path as it was given, or `:memory:`.
    pub location: String,
    /// The path as SQLite resolved it, links followed: its log and shared memory lie beside that.
    /// `None` where the store is in memory.
    pub file: Option<PathBuf>,
    pub timeout: Duration,
}

impl Place {
    /// What an error of SQLite's means.
    pub fn failure(&self, error: rusqlite::Error) -> Error {
        let location = self.location.clone();
        if lacks_a_table(&error) {
            return Error::Damaged { location, detail: error.to_string() };
        }
        let Some(code) = error.sqlite_error_code() else {
            return match error {
                // A column of another type, or a name that is not UTF-8: no larder writes that.
                rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..) => Error::Damaged { location, detail: error.to_string() },
                error => Error::Storage { location, source: Arc::new(error) },
            };
        };
        match code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Error::Busy {
                holder: self.file.as_deref().and_then(lock_holder::find),
                waited: self.timeout,
                location,
            },
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                Error::Damaged { location, detail: error.to_string() }
            }
            // A full disk also shows as no room for the memory that connections share.
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

    /// Does something that needs a lock, again and again while another process has it, until
    /// `timeout` has passed. The pauses are much shorter than those of SQLite's own handler,
    /// since larder's commits are.
    pub fn patiently<T>(&self, mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
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

/// What SQLite calls a file that it keeps beside another: its log with `-wal`, its shared memory with
/// `-shm`.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether a statement could not be prepared because the file lacks what it names.
///
/// SQLite has no code for that: it is `SQLITE_ERROR`, as much else is, and only the text that its name resolution
/// gives (`build.c`, `resolve.c`) tells which. larder's statements name nothing that a sound store lacks.
fn lacks_a_table(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{SqlInputError, SqliteFailure};
    let (SqliteFailure(_, Some(said)) | SqlInputError { msg: said, .. }) = error else { return false };
    ["no such table: ", "no such column: ", "no such index: "].iter().any(|lack| said.starts_with(lack))
}

/// Whether the disk failed to confirm a write: nothing is known of what reached it.
pub(super) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        matches!(error.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
    })
}
