//! Where a store is: what SQLite's errors mean there, and how long to wait for its lock.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::ffi;
use rusqlite::{Connection, ErrorCode};

use super::error_code::{is_of_the_end, is_unspecific};
use super::guard::{Guard, GuardedConnection};
use super::step_limit::{self, limited};
use super::system_limits::out_of_descriptors;
use super::{lock_holder, own_rules, own_tables};
use crate::data::{Cause, Error, Result};
use crate::engine::Settings;

/// Where a store is.
#[derive(Clone, Debug)]
pub(super) struct StoreFile {
    /// The path as it was given, or `:memory:`.
    pub location: String,
    /// The path as SQLite resolved it, links followed: the log and the shared memory lie beside it. `None`
    /// where the store is in memory.
    pub path: Option<PathBuf>,
    pub timeout: Duration,
    /// Guards the file; `None` where the store is in memory.
    pub guard: Option<Arc<Guard>>,
    /// Whether files that are made beside it are for its group, too.
    pub group_access: bool,
}

impl StoreFile {
    pub fn new(location: String, settings: &Settings) -> Self {
        Self {
            location,
            path: None,
            timeout: settings.timeout,
            guard: None,
            group_access: settings.group_access,
        }
    }

    /// The version of an SQLite that can damage the file and has changed it.
    pub fn unsafe_sqlite(&self) -> Option<String> {
        self.guard.as_ref().and_then(|guard| guard.unsafe_sqlite())
    }

    /// Opens a connection that the guard of the file knows of and closes.
    pub fn open_guarded(
        &self,
        open: impl FnOnce() -> rusqlite::Result<Connection>,
    ) -> rusqlite::Result<GuardedConnection> {
        GuardedConnection::open(self.guard.as_ref(), open)
    }

    /// Releases what the guard has open, once the store is closed.
    pub fn release(&self) {
        if let Some(guard) = &self.guard {
            guard.end();
        }
    }

    /// Fails where the store was stopped: see [`Guard::before_read`].
    #[inline]
    pub fn before_read(&self) -> Result<()> {
        self.guard.as_ref().map_or(Ok(()), |guard| guard.before_read())
    }

    /// Looks where the names of the files lead: see [`Guard::look_to_read`].
    pub fn look_to_read(&self) -> Result<()> {
        self.guard.as_ref().map_or(Ok(()), |guard| guard.look_to_read())
    }

    /// Whether the store was stopped.
    pub fn is_stopped(&self) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.check_stopped().is_err())
    }

    /// The larder error that an SQLite error means here.
    pub fn failure(&self, error: rusqlite::Error) -> Error {
        // SQLite's errors on files that were taken away are many, and none says so.
        if let Some(Err(stopped)) = self.guard.as_ref().map(|guard| guard.check_stopped()) {
            return stopped;
        }
        let location = self.location.clone();
        if is_of_the_end(&error) {
            // An empty log ends early as well: one that SQLite has made for a deleted one.
            let detail = "the file, or its log, ends too early".into();
            return self.look_to_read().err().unwrap_or(Error::Damaged { location, detail });
        }
        if self.lacks_a_table(&error) {
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
            // The last is what SQLite says after ten seconds of its own, of a process that was frozen while it changed the
            // shared memory.
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
                Error::Busy {
                    holder: self.path.as_deref().and_then(lock_holder::find),
                    waited: self.timeout,
                    location,
                }
            }
            // larder breaks no rule of its own tables, so it is one that another program has added.
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation => {
                Error::Damaged { location, detail: error.to_string() }
            }
            ErrorCode::OperationInterrupted => {
                Error::Damaged { location, detail: step_limit::endless().to_string() }
            }
            // On a full disk the shared memory of the connections cannot grow either.
            _ if error
                .sqlite_error()
                .is_some_and(|error| error.extended_code == ffi::SQLITE_IOERR_SHMSIZE) =>
            {
                full(location, Arc::new(error))
            }
            ErrorCode::DiskFull => full(location, Arc::new(error)),
            ErrorCode::ReadOnly => Error::ReadOnly { location },
            ErrorCode::CannotOpen => match out_of_descriptors() {
                Some(system) => Error::Storage { location, source: Arc::new(system) },
                None => Error::Storage { location, source: Arc::new(error) },
            },
            _ => Error::Storage { location, source: Arc::new(error) },
        }
    }

    /// Whether a statement failed because the file lacks a table, column or index of a store.
    ///
    /// SQLite has no code for that: it is `SQLITE_ERROR`, as many errors are. So the file's schema is compared with
    /// that of a store. A store in memory keeps what it was made with.
    fn lacks_a_table(&self, error: &rusqlite::Error) -> bool {
        let Some(path) = self.path.as_ref().filter(|_| is_unspecific(error)) else { return false };
        let lacks_some = self
            .open_guarded(|| own_rules::open(path, own_rules::read_only_flags()))
            .and_then(|connection| self.wait_for_lock(|| own_tables::fault(&connection)));
        // If it cannot be read, the error that is reported says so.
        lacks_some.is_ok_and(|fault| fault.is_some())
    }

    /// Repeats `attempt` while another process holds the lock that it needs, until `timeout` has passed. The
    /// pauses are much shorter than those of SQLite's own handler, because larder's commits are short.
    pub fn wait_for_lock<T>(&self, mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let mut pause = Duration::from_micros(50);
        let mut began = None;
        loop {
            match limited(&mut attempt) {
                Err(error) if is_busy(&error) => {
                    // Compared, not added: a timeout may be longer than any instant can express.
                    let left = self.timeout.saturating_sub(began.get_or_insert_with(Instant::now).elapsed());
                    if left.is_zero() {
                        return Err(error);
                    }
                    std::thread::sleep(pause.min(left));
                    pause = (pause * 2).min(Duration::from_millis(2));
                }
                result => return result,
            }
        }
    }
}

/// The error where the disk has no room.
pub(super) fn full(location: String, source: Cause) -> Error {
    Error::Full { location, advice: "Free some space on its disk and try again.".into(), source }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_longer_than_time_can_express_waits_until_the_lock_is_free() {
        let settings = Settings { timeout: Duration::MAX, ..Settings::default() };
        let file = StoreFile::new(String::new(), &settings);
        let mut attempts = 0;
        let locked = || rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None);
        let waited = file.wait_for_lock(|| {
            attempts += 1;
            if attempts < 3 { Err(locked()) } else { Ok(()) }
        });
        assert_eq!((waited, attempts), (Ok(()), 3));
    }
}
