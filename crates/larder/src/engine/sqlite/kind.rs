//! What a database file is: empty, larder's, go-store's, or something that is refused.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::beside::beside;
use super::path::no_store;
use super::store_file::StoreFile;
use super::{foreign, migrate, own_tables, schema};
use crate::data::{Error, Result};
use crate::engine::Settings;

/// What a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    Larder,
    /// A store that was written as SQL and read again (`.dump`): that loses the numbers in the header of the file, by
    /// which a store is known. With the version of its schema.
    Dump(i64),
    GoStore(migrate::GoStore),
}

/// Refuses a file that would have to become a store first, if nothing may be written.
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
        Kind::Dump(_) if settings.read_only => Err(Error::Migration {
            path: path.to_owned(),
            reason: "it was restored from a dump, which has lost the application id of a larder store".into(),
            advice: "Open it to write once.".into(),
        }),
        _ => Ok(()),
    }
}

/// Finds out what a database is, at one moment, without changing it.
pub(super) fn identify(connection: &Connection, path: &Path, place: &StoreFile) -> Result<Kind> {
    place
        .wait_for_lock(|| {
            let _moment = connection.unchecked_transaction()?;
            let kind = identify_now(connection, path, place)?;
            refuse_utf16(connection, path, kind)
        })
        .map_err(|error| refusal(path, place, error))?
}

/// The same, in one transaction.
fn identify_now(connection: &Connection, path: &Path, place: &StoreFile) -> rusqlite::Result<Result<Kind>> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    if application == schema::APPLICATION_ID {
        return Ok(if version <= schema::VERSION {
            let fault = match missing_pages(connection, path, place)? {
                None => match own_tables::fault(connection)? {
                    None => foreign::calling_index(connection)?,
                    fault => fault,
                },
                missing => missing,
            };
            match fault {
                None => Ok(Kind::Larder),
                Some(detail) => Err(Error::Damaged { location: place.location.clone(), detail }),
            }
        } else {
            let path = path.to_owned();
            Err(Error::NewerVersion { path, version, supported: schema::VERSION })
        });
    }
    Ok(if application == 0 && version == 0 && schema::tables(connection)?.is_empty() {
        Ok(Kind::Empty)
    } else if let (0, 0, Some(shape)) = (application, version, migrate::recognise(connection)?) {
        Ok(Kind::GoStore(shape))
    } else if let (0, 0, Some(version)) = (application, version, own_tables::recognise(connection)?) {
        Ok(Kind::Dump(version))
    } else {
        Err(Error::ForeignDatabase { path: path.to_owned() })
    })
}

/// Refuses a file whose texts are UTF-16. Their order there is not the one that larder relies on, and their sizes differ.
fn refuse_utf16(connection: &Connection, path: &Path, kind: Result<Kind>) -> rusqlite::Result<Result<Kind>> {
    let encoding: String = connection.pragma_query_value(None, "encoding", |row| row.get(0))?;
    if kind.is_err() || encoding == "UTF-8" {
        return Ok(kind);
    }
    Ok(Err(Error::Migration {
        path: path.to_owned(),
        reason: format!("its texts are {encoding}, and those of a store are UTF-8"),
        advice: "Write it as SQL and read that into a new file: sqlite3 OLD .dump | sqlite3 NEW.".into(),
    }))
}

/// Finds out again what the file is, with the lock held: another process may have been faster.
pub(super) fn identify_again(connection: &Connection, path: &Path, place: &StoreFile) -> Result<Kind> {
    let failure = |error| refusal(path, place, error);
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failure)?;
    let kind = if application == schema::APPLICATION_ID {
        Ok(Kind::Larder)
    } else if schema::tables(connection).map_err(failure)?.is_empty() {
        Ok(Kind::Empty)
    } else if let Some(shape) = migrate::recognise(connection).map_err(failure)? {
        Ok(Kind::GoStore(shape))
    } else if let Some(version) = own_tables::recognise(connection).map_err(failure)? {
        Ok(Kind::Dump(version))
    } else {
        Err(Error::ForeignDatabase { path: path.to_owned() })
    };
    refuse_utf16(connection, path, kind).map_err(failure)?
}

/// Finds a file that has lost its end, without reading all of it: without a log beside it, its header says how long it
/// is.
pub(super) fn missing_pages(
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

/// Whether there is a write-ahead log beside the file that is not empty.
pub(super) fn has_log(place: &StoreFile) -> bool {
    place
        .path
        .as_ref()
        .is_some_and(|file| std::fs::metadata(beside(file, "-wal")).is_ok_and(|log| log.len() > 0))
}

/// The larder error that an SQLite error means while a file is opened.
pub(super) fn refusal(path: &Path, place: &StoreFile, error: rusqlite::Error) -> Error {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::NotADatabase { path },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            super::path::not_opened(&path, &error)
        }
        _ => place.failure(error),
    }
}
