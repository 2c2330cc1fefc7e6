//! Opens a file, and makes it a larder store if it may become one.
//!
//! A refused file stays byte for byte as it was. Only SQLite opens it: opening and closing it by hand would drop the
//! locks that this process may hold on it.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::connection::{open, prepare, read_only_flags};
use super::kind::{Kind, accept, has_log, identify, identify_again, no_store, refusal};
use super::store_file::StoreFile;
use super::{migrate, probe, schema};
use crate::data::{Durability, Error, Result};
use crate::engine::Settings;

/// How many pages the write-ahead log has when it is checkpointed. A checkpoint copies each page once, however often it
/// is in the log, so a larger log means less work, and rarer. Up to this many, one lookup finds a page in the log.
const WAL_PAGES: i64 = 4000;

/// How large the write-ahead log may stay after a checkpoint, in bytes.
const WAL_BYTES_KEPT: i64 = 16 << 20;

/// Opens a file to write (or, with these settings, to read), and makes it a larder store. Fills in
/// where SQLite found it.
pub(super) fn file(path: &Path, settings: &Settings, place: &mut StoreFile) -> Result<Connection> {
    let exists = look_at(path, settings)?;
    if exists {
        probe::refuse(path, settings, place)?;
    }
    let connection = connect(path, settings, place)?;
    place.path = connection.path().map(PathBuf::from);
    let place = &*place;
    // Refusing a file must not checkpoint a log that its owner left beside it.
    let keep_log =
        |keep| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop);
    let failure = |error| refusal(path, place, error);
    if exists && has_log(place) {
        keep_log(true).map_err(failure)?;
    }
    if !settings.read_only && connection.is_readonly("main").map_err(failure)? {
        return Err(Error::Denied {
            path: path.to_owned(),
            reason: "the file may not be written".into(),
            advice: "Change its permissions, or open it with `read_only`.".into(),
        });
    }
    let kind = identify(&connection, path, place)?;
    accept(kind, path, settings)?;
    if settings.read_only {
        return prepare(&connection).map(|()| connection).map_err(failure);
    }
    match kind {
        Kind::Larder => place.wait_for_lock(|| add_what_is_new(&connection)).map_err(failure)?,
        Kind::Empty | Kind::GoStore(_) => become_larder(&connection, path, place)?,
    }
    place.wait_for_lock(|| set_up(&connection, settings)).map_err(failure)?;
    keep_log(false).map_err(failure)?;
    prepare(&connection).map_err(failure)?;
    Ok(connection)
}

/// Adds the tables that an older larder file lacks. If none is missing, it writes nothing and takes no lock.
fn add_what_is_new(connection: &Connection) -> rusqlite::Result<()> {
    if schema::has_cursors(connection)? { Ok(()) } else { schema::add_cursors(connection) }
}

/// A store in memory.
pub(super) fn memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    schema::create(&connection, 0)?;
    prepare(&connection)?;
    Ok(connection)
}

const A_FILE_IN_THE_PATH: &str = "a part of the path is a file, not a folder";

/// Checks the path without opening anything; returns whether the file exists.
fn look_at(path: &Path, settings: &Settings) -> Result<bool> {
    if path.as_os_str().is_empty() {
        return Err(no_store(path, "the path is empty", "Name a file."));
    }
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(no_store(path, "that is a folder", "Name a file in it.")),
        // SQLite takes a file of one byte for an empty one, and would overwrite it.
        Ok(found) if found.len() == 1 => Err(Error::NotADatabase { path: path.to_owned() }),
        // The log is beside the name, not the file: each name would get its own log, and one would lose the writes of
        // the other.
        Ok(found) if names(&found) > 1 => {
            Err(Error::SeveralNames { path: path.to_owned(), names: names(&found) })
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !folder.exists() {
                let reason = format!("the folder {} does not exist", folder.display());
                Err(no_store(path, reason, "Create the folder first."))
            } else if !folder.is_dir() {
                Err(no_store(path, A_FILE_IN_THE_PATH, "Check the path."))
            } else if settings.read_only {
                let reason = "there is no such file, and a store opened read-only is not created";
                Err(no_store(path, reason, "Check the path."))
            } else if !settings.create {
                Err(no_store(
                    path,
                    "there is no such file",
                    "Check the path, or write something to it first.",
                ))
            } else {
                Ok(false)
            }
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(no_store(path, A_FILE_IN_THE_PATH, "Check the path."))
        }
        Err(error) => Err(Error::Denied {
            path: path.to_owned(),
            reason: error.to_string(),
            advice: "Check its permissions.".into(),
        }),
    }
}

/// How many names a file has: one, and one more for each further hard link.
#[cfg(unix)]
fn names(file: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(file)
}

/// On other systems the standard library does not tell.
#[cfg(not(unix))]
fn names(_: &Metadata) -> u64 {
    1
}

fn connect(path: &Path, settings: &Settings, place: &StoreFile) -> Result<Connection> {
    let flags = if settings.read_only {
        read_only_flags()
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
    };
    open(path, flags).map_err(|error| refusal(path, place, error))
}

/// Creates the schema, or brings a go-store file's entries into it, in one transaction.
fn become_larder(connection: &Connection, path: &Path, place: &StoreFile) -> Result<()> {
    let failure = |error| refusal(path, place, error);
    if let Some(damage) = place.wait_for_lock(|| migrate::damage(connection)).map_err(failure)? {
        return Err(Error::Damaged { location: place.location.clone(), detail: damage });
    }
    place.wait_for_lock(|| connection.execute_batch("BEGIN IMMEDIATE")).map_err(failure)?;
    let result = identify_again(connection, path, place).and_then(|kind| match kind {
        Kind::Larder => Ok(()),
        Kind::Empty => schema::create(connection, 0).map_err(failure),
        Kind::GoStore(shape) => migrate::migrate(connection, shape, path, place),
    });
    let result =
        result.and_then(|()| place.wait_for_lock(|| connection.execute_batch("COMMIT")).map_err(failure));
    if result.is_err() && !connection.is_autocommit() {
        // The first error is reported; this one would say the same.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

fn set_up(connection: &Connection, settings: &Settings) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let what = format!("this file system cannot share a write-ahead log (SQLite stays in {mode} mode)");
        return Err(rusqlite::Error::ToSqlConversionFailure(what.into()));
    }
    let synchronous = match settings.durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // On macOS a plain `fsync` leaves the data in the drive's cache. Other systems ignore this.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}
