//! A database file that nobody else has open, and that nobody can open meanwhile.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::beside::beside;
use super::kind::refusal;
use super::own_rules::open;
use super::probe::immutable;
use super::raw_file::has_moved;
use super::store_file::{StoreFile, is_of_reading};
use super::{foreign_log, lock_holder, permissions, schema};
use crate::data::{Error, Result};
use crate::engine::sabotage::{Sabotage, is_planted};
use crate::engine::{NewFile, Settings};

/// How long to wait for others. Whoever looks at a file before it opens it is done by then.
const PATIENCE: Duration = Duration::from_millis(200);

/// How often a file is opened that has lost its name before it was locked.
const ATTEMPTS: u32 = 8;

/// A database file of which this has SQLite's exclusive lock. Nothing is written to it but by [`fold`](Self::fold).
pub(crate) struct Exclusive {
    file: PathBuf,
    connection: Connection,
}

impl Exclusive {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`Error::InUse`] if anybody has the file open, this process included. [`Error::NotADatabase`], and
    /// [`Error::Denied`] where the file may not be written.
    pub fn take(file: &Path) -> Result<Self> {
        let settings = Settings { timeout: PATIENCE, ..Settings::default() };
        let mut place = StoreFile::new(file.display().to_string(), &settings);
        place.path = Some(file.to_owned());
        for _ in 0..ATTEMPTS {
            match lock(file, &place, || ()) {
                Ok(Some(connection)) => return Ok(Self { file: file.to_owned(), connection }),
                Ok(None) => {}
                Err(error) if is_in_use(&error) => break,
                Err(error) => return Err(refusal(file, &place, error)),
            }
        }
        Err(Error::InUse { location: place.location, holder: lock_holder::user(file) })
    }

    /// Whether the file is a larder store, also one that is damaged or empty, or may become one.
    pub fn is_store(&self) -> bool {
        let is_larder = |connection: &Connection| {
            let application = connection.pragma_query_value(None, "application_id", |row| row.get(0));
            application.is_ok_and(|application: i64| application == schema::APPLICATION_ID)
        };
        // A log that belongs to another file may say anything.
        is_larder(&self.connection)
            || immutable(&self.file).is_some_and(|connection| is_larder(&connection))
            || std::fs::metadata(&self.file).is_ok_and(|found| found.len() == 0)
    }

    /// Gives the permissions and the owner of the file to a new one.
    pub fn hand_on_permissions(&self, new: &NewFile) -> Result<()> {
        permissions::copy(&self.file, new.path())
    }

    /// Whether a log with writes lies beside the file.
    pub fn has_log(&self) -> bool {
        std::fs::metadata(beside(&self.file, "-wal")).is_ok_and(|log| log.len() > 0)
    }

    /// Copies the file's own log back into it, so that the file alone has everything. Returns whether it has: a damaged
    /// file, and one beside the log of another, cannot.
    ///
    /// # Errors
    /// The disk takes no writes.
    pub fn fold(&self) -> io::Result<bool> {
        if self.has_log() && foreign_log::is_foreign(&self.file, &self.connection) {
            return Ok(false);
        }
        let folded = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        let is_folded = is_folded(folded)?;
        if is_folded {
            // Nobody else has them open.
            for suffix in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(beside(&self.file, suffix));
            }
        }
        Ok(is_folded)
    }
}

/// Whether a checkpoint has copied the whole log. SQLite returns 0 if it has.
fn is_folded(checkpoint: rusqlite::Result<i64>) -> io::Result<bool> {
    match checkpoint {
        Err(error) if is_failed_write(&error) => Err(io::Error::other(error)),
        done => Ok(matches!(done, Ok(0))),
    }
}

fn is_failed_write(error: &rusqlite::Error) -> bool {
    let is_of_the_disk =
        matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::DiskFull));
    is_of_the_disk && !is_of_reading(error)
}

/// Opens a file and takes its lock. `None` where another file has its name by then, as after a restore: nobody is kept
/// from that one, and what lies beside the name belongs to it. `opened` is called in between.
fn lock(file: &Path, place: &StoreFile, opened: impl FnOnce()) -> rusqlite::Result<Option<Connection>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(file, flags)?;
    opened();
    // With its last connection a log would be copied back and removed, by its name.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let locked = place.wait_for_lock(|| connection.execute_batch("BEGIN EXCLUSIVE; ROLLBACK"));
    if has_moved(&connection) && !is_planted(Sabotage::LostNameLocked) {
        return Ok(None);
    }
    match locked {
        // A damaged file is locked all the same.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {}
        locked => {
            locked?;
            remove_empty(file);
        }
    }
    Ok(Some(connection))
}

/// Removes what SQLite has just created beside a file: later it could be that of another file of this name. Whoever has
/// the lock has rolled back what was in a journal.
fn remove_empty(file: &Path) {
    if std::fs::metadata(beside(file, "-wal")).is_ok_and(|log| log.len() == 0) {
        let _ = std::fs::remove_file(beside(file, "-wal"));
    }
    let _ = std::fs::remove_file(beside(file, "-journal"));
}

fn is_in_use(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn a_disk_that_takes_no_writes_is_told_from_a_file_that_cannot_be_read() {
        let failed = |code| Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        for code in
            [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_TRUNCATE, ffi::SQLITE_FULL]
        {
            assert!(is_folded(failed(code)).is_err(), "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_IOERR_READ, ffi::SQLITE_READONLY] {
            assert!(!is_folded(failed(code)).unwrap(), "{code}");
        }
        assert!(!is_folded(Ok(1)).unwrap());
        assert!(is_folded(Ok(0)).unwrap());
    }

    #[test]
    fn a_file_that_loses_its_name_before_it_is_locked_is_not_taken_for_the_one_that_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("app.db"), folder.path().join("other.db"));
        for path in [&file, &other] {
            open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
                .unwrap()
                .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (c)")
                .unwrap();
        }
        let place = StoreFile::new(file.display().to_string(), &Settings::default());
        let log = beside(&file, "-wal");
        let replace = || {
            std::fs::rename(&other, &file).unwrap();
            // A process that has the other file open has just created this log.
            std::fs::write(&log, b"").unwrap();
        };
        assert!(lock(&file, &place, replace).unwrap().is_none());
        assert!(log.exists());
        assert!(lock(&file, &place, || ()).unwrap().is_some());
        assert!(!log.exists());
    }
}
