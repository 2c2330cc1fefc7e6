//! Refuses a file beside which the write-ahead log of another file lies, before SQLite applies that log to it.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::beside::beside;
use super::kind::has_log;
use super::log_link::{self, Link};
use super::probe::{alone, immutable};
use super::store_file::StoreFile;
use crate::data::{Error, Result};

/// Whether the log beside a file was examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Examined {
    /// It was, or there is nothing to examine.
    Done,
    /// Somebody has the file open, or the system did not let it be read: look again with [`look_again`], through the
    /// connection that uses the log.
    NotYet,
}

/// Refuses a file beside which another file's log lies. Leaves no trace.
pub(super) fn refuse(path: &Path, place: &StoreFile) -> Result<Examined> {
    refuse_beside(path, place, || ())
}

/// `meanwhile` is what others do between the look at the log and the look at the file.
fn refuse_beside(path: &Path, place: &StoreFile, meanwhile: impl FnOnce()) -> Result<Examined> {
    let Ok(file) = path.canonicalize() else { return Ok(Examined::Done) };
    let place = StoreFile { path: Some(file.clone()), ..place.clone() };
    if !has_log(&place) || own_link(&file).is_none() {
        return Ok(Examined::Done);
    }
    let Some(connection) = alone(&file) else { return Ok(Examined::Done) };
    let link = match log_link::read(&connection) {
        Err(error) if is_of_the_system(&error) => return Ok(Examined::NotYet),
        // The file could be read without the log: what is not a link comes from there.
        link => link.ok().flatten(),
    };
    meanwhile();
    // From the first read on, the connection keeps everybody else away from the file and its log. So both looks see one
    // moment.
    judge(path, &file, own_link(&file), link).map(|()| Examined::Done)
}

/// As [`refuse`], with a connection that has read the log.
pub(super) fn look_again(connection: &Connection, path: &Path, place: &StoreFile) -> Result<()> {
    look_again_beside(connection, path, place, || ())
}

fn look_again_beside(
    connection: &Connection,
    path: &Path,
    place: &StoreFile,
    meanwhile: impl Fn(),
) -> Result<()> {
    let Some(file) = &place.path else { return Ok(()) };
    let look = || {
        // The read that is open keeps the log from starting over, or if the whole log was copied back, the file from being
        // changed. So the file has a name that its own log knows.
        let _moment = connection.unchecked_transaction()?;
        let link = log_link::read(connection)?;
        meanwhile();
        Ok((own_link(file), link))
    };
    let (own, link) = place.wait_for_lock(look).map_err(|error| place.failure(error))?;
    judge(path, file, own, link)
}

/// Whether the log is another file's, by a connection that has read it and keeps everybody else away.
pub(super) fn is_foreign(file: &Path, connection: &Connection) -> bool {
    let link = log_link::read(connection).ok().flatten();
    judge(file, file, own_link(file), link).is_err()
}

/// What the file itself says, without its log.
fn own_link(file: &Path) -> Option<Link> {
    log_link::read(&immutable(file)?).ok().flatten()
}

fn judge(path: &Path, file: &Path, own: Option<Link>, with_log: Option<Link>) -> Result<()> {
    match (own, with_log) {
        // A file of an older larder, or no store.
        (None, _) => Ok(()),
        (Some(own), Some(link)) if link.fits(&own.name) => Ok(()),
        _ => Err(Error::ForeignLog { path: path.to_owned(), log: beside(file, "-wal") }),
    }
}

/// Whether an error says nothing of what the file and its log hold. SQLite changes the log of a crash when it reads it,
/// which a disk that is read-only refuses, for one.
fn is_of_the_system(error: &rusqlite::Error) -> bool {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, FileLockingProtocolFailed, OutOfMemory,
        PermissionDenied, ReadOnly, SystemIoFailure,
    };
    matches!(
        error.sqlite_error_code(),
        Some(
            CannotOpen
                | DatabaseBusy
                | DatabaseLocked
                | DiskFull
                | FileLockingProtocolFailed
                | OutOfMemory
                | PermissionDenied
                | ReadOnly
                | SystemIoFailure
        )
    )
}

#[cfg(test)]
mod tests {
    use rusqlite::config::DbConfig;

    use super::*;
    use crate::engine::Settings;

    /// Opens the file as another program does, and leaves the log where it is.
    fn another(file: &Path) -> rusqlite::Result<Connection> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(std::time::Duration::ZERO)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(connection)
    }

    /// Copies the log back and begins another.
    fn begin_another_log(file: &Path) -> rusqlite::Result<()> {
        let connection = another(file)?;
        let is_busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if is_busy {
            return Ok(());
        }
        log_link::rename(&connection)
    }

    /// A file with its own log.
    fn file_with_log() -> (tempfile::TempDir, StoreFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("s.db");
        let connection = another(&file).unwrap();
        let tables = "PRAGMA journal_mode = WAL; CREATE TABLE store (name TEXT PRIMARY KEY, content ANY)";
        connection.execute_batch(tables).unwrap();
        log_link::rename(&connection).unwrap();
        drop(connection);
        begin_another_log(&file).unwrap();
        let mut place = StoreFile::new(file.display().to_string(), &Settings::default());
        place.path = Some(file);
        (folder, place)
    }

    /// Whatever others do. They may be kept away.
    fn begin_two_more(file: &Path) {
        let _ = begin_another_log(file).and_then(|()| begin_another_log(file));
    }

    #[test]
    fn the_logs_that_others_begin_meanwhile_are_not_taken_for_another_files() {
        let (_folder, place) = file_with_log();
        let file = place.path.clone().unwrap();
        let examined = refuse_beside(&file, &place, || begin_two_more(&file)).unwrap();
        assert_eq!(examined, Examined::Done);
        let connection = another(&file).unwrap();
        look_again_beside(&connection, &file, &place, || begin_two_more(&file)).unwrap();
        // They could, once nobody looked.
        let before = own_link(&file);
        drop(connection);
        begin_two_more(&file);
        assert_ne!(own_link(&file), before);
    }
}
