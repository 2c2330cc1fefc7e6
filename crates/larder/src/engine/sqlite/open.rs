//! Opening: what a file is, and what it becomes.
//!
//! A file that is refused is left byte for byte as it was. It is looked at through SQLite alone: to
//! open it by hand, and close it again, would drop the locks that this process may have on it.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::beside::beside;
use super::store_file::StoreFile;
use super::{migrate, probe, schema};
use crate::data::namespace::namespace_of;
use crate::data::{Durability, Error, Result};
use crate::engine::Settings;

/// How many prepared statements each connection keeps: more than larder has.
const STATEMENTS_MAX: usize = 64;

/// How many pages the write-ahead log has when it is folded back: each page once, however often it is in
/// the log, so that a larger log makes less to do, more rarely. With so many one look finds a page in it.
const WAL_PAGES: i64 = 4000;

/// How large the write-ahead log may stay once it was folded back, in bytes.
const WAL_BYTES_KEPT: i64 = 16 << 20;

/// What a database turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    Larder,
    GoStore(migrate::GoStore),
}

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
    // Refusing a file must not fold back a log that its owner left beside it.
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

/// Adds to a larder file what files that are made now have besides. Where nothing is missing it writes
/// nothing and waits for nobody.
fn add_what_is_new(connection: &Connection) -> rusqlite::Result<()> {
    if schema::has_cursors(connection)? { Ok(()) } else { schema::add_cursors(connection) }
}

/// Refuses what would have to become a store first, where nothing may be written.
pub(super) fn accept(kind: Kind, path: &Path, settings: &Settings) -> Result<()> {
    match kind {
        Kind::Empty if settings.read_only => {
            Err(no_store(path, "the file is empty", "Open it to write first."))
        }
        Kind::GoStore(_) if settings.read_only => Err(Error::Migration {
            path: path.to_owned(),
            reason: "it becomes a larder store only when it is opened to write".into(),
            advice: "Open it to write once.".into(),
        }),
        _ => Ok(()),
    }
}

/// A store in memory.
pub(super) fn memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    schema::create(&connection, 0)?;
    prepare(&connection)?;
    Ok(connection)
}

/// Another connection to a file that is open already, to read.
pub(super) fn reader(path: &Path, place: &StoreFile) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // The other flags are for a store on a medium that cannot be written.
    open(path, flags)
        .or_else(|_| open(path, read_only_flags()))
        .and_then(|connection| {
            connection.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY")?;
            prepare(&connection)?;
            Ok(connection)
        })
        .map_err(|error| place.failure(error))
}

/// What every connection of larder's has in common.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // SQL has no words for what a namespace is: its functions for text stop at a NUL.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("namespace_of", 1, flags, |call| {
        let group: String = call.get(0)?;
        Ok(namespace_of(&group).map(str::to_owned))
    })
}

/// Opens a connection that does not wait for locks by itself: `StoreFile::wait_for_lock` does, for as long as
/// the store's settings say.
pub(super) fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    // SQLite reads a name that begins with `file:` as a URI, with escapes and options in it, and has its
    // own meaning for `:memory:`. No name that begins with a folder is either of them.
    open_as_named(&Path::new(".").join(path), flags)
}

/// As [`open`], by a name that SQLite may take for a URI.
pub(super) fn open_as_named(name: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(name, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok(connection)
}

fn read_only_flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

const A_FILE_IN_THE_PATH: &str = "a part of the path is a file, not a folder";

/// Looks at the path without opening anything; whether there is a file.
fn look_at(path: &Path, settings: &Settings) -> Result<bool> {
    if path.as_os_str().is_empty() {
        return Err(no_store(path, "the path is empty", "Name a file."));
    }
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(no_store(path, "that is a folder", "Name a file in it.")),
        // SQLite takes a file of one byte for an empty one, and would write over it.
        Ok(found) if found.len() == 1 => Err(Error::NotADatabase { path: path.to_owned() }),
        // The log lies beside the name, not the file: each name would get a log of its own, and what is
        // written through one would be lost to the other.
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

/// Elsewhere, the standard library does not say.
#[cfg(not(unix))]
fn names(_: &Metadata) -> u64 {
    1
}

fn no_store(path: &Path, reason: impl Into<String>, advice: &'static str) -> Error {
    Error::NoStore { path: path.to_owned(), reason: reason.into(), advice: advice.into() }
}

fn connect(path: &Path, settings: &Settings, place: &StoreFile) -> Result<Connection> {
    let flags = if settings.read_only {
        read_only_flags()
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX
    };
    open(path, flags).map_err(|error| refusal(path, place, error))
}

/// What an error means while a file is being opened.
fn refusal(path: &Path, place: &StoreFile, error: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::NotADatabase { path },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Error::Denied {
            path,
            reason: format!("SQLite says: {error}"),
            advice: "Check the permissions of the file and its folder.".into(),
        },
        _ => place.failure(error),
    }
}

/// Whether a write-ahead log with something in it lies beside the file.
fn has_log(place: &StoreFile) -> bool {
    place
        .path
        .as_ref()
        .is_some_and(|file| std::fs::metadata(beside(file, "-wal")).is_ok_and(|log| log.len() > 0))
}

/// Finds out what a database is, of one moment, changing nothing.
pub(super) fn identify(connection: &Connection, path: &Path, place: &StoreFile) -> Result<Kind> {
    place
        .wait_for_lock(|| {
            let _moment = connection.unchecked_transaction()?;
            let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
            let (application, version) = (number("application_id")?, number("user_version")?);
            if application == schema::APPLICATION_ID {
                return Ok(if version <= schema::VERSION {
                    missing_pages(connection, path, place).map(|detail| match detail {
                        None => Ok(Kind::Larder),
                        Some(detail) => Err(Error::Damaged { location: place.location.clone(), detail }),
                    })?
                } else {
                    let path = path.to_owned();
                    Err(Error::NewerVersion { path, version, supported: schema::VERSION })
                });
            }
            Ok(if application == 0 && version == 0 && tables(connection)?.is_empty() {
                Ok(Kind::Empty)
            } else if let (0, 0, Some(shape)) = (application, version, migrate::recognise(connection)?) {
                Ok(Kind::GoStore(shape))
            } else {
                Err(Error::ForeignDatabase { path: path.to_owned() })
            })
        })
        .map_err(|error| refusal(path, place, error))?
}

/// A file that has lost its end, where that can be seen without reading it: its header says how long
/// it is, as long as no log beside it knows better.
fn missing_pages(
    connection: &Connection,
    path: &Path,
    place: &StoreFile,
) -> rusqlite::Result<Option<String>> {
    if has_log(place) {
        return Ok(None);
    }
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let expected = schema::unsigned(number("page_count")?.saturating_mul(number("page_size")?));
    let actual = std::fs::metadata(path).map_or(expected, |file| file.len());
    Ok((actual < expected).then(|| format!("the file has {actual} bytes of {expected}")))
}

/// The names of what is in a database, indexes and SQLite's own tables left out.
pub(super) fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_master WHERE type <> 'index' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    statement.query_map([], |row| row.get(0))?.collect()
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
        // The error to report is the first one; this one would say the same.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

/// Another process may have been faster: with the lock taken, what counts is what the file is now.
fn identify_again(connection: &Connection, path: &Path, place: &StoreFile) -> Result<Kind> {
    let failure = |error| refusal(path, place, error);
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failure)?;
    if application == schema::APPLICATION_ID {
        Ok(Kind::Larder)
    } else if tables(connection).map_err(failure)?.is_empty() {
        Ok(Kind::Empty)
    } else if let Some(shape) = migrate::recognise(connection).map_err(failure)? {
        Ok(Kind::GoStore(shape))
    } else {
        Err(Error::ForeignDatabase { path: path.to_owned() })
    }
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
