//! Reads a file without leaving a trace.
//!
//! SQLite creates two files beside a file in WAL mode as soon as it reads it. It removes them with the last
//! connection, unless that is read-only or must not checkpoint a foreign log. In these two cases a connection that
//! needs neither file refuses beforehand what can be refused. If it cannot tell, the file is opened normally and
//! examined again.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::beside::beside;
use super::kind::{accept, identify};
use super::own_rules::{open, open_as_named};
use super::store_file::StoreFile;
use crate::data::{Error, Result};
use crate::engine::Settings;

/// Refuses a file that is no store, if that can be found out without leaving a trace.
pub(super) fn refuse(path: &Path, settings: &Settings, place: &StoreFile) -> Result<()> {
    let Ok(file) = path.canonicalize() else { return Ok(()) };
    let place = &StoreFile { path: Some(file.clone()), ..place.clone() };
    let lies = |suffix| beside(&file, suffix).exists();
    let judge =
        |connection| identify(&connection, path, place).and_then(|kind| accept(kind, path, settings)).err();
    let verdict = if lies("-wal") && !lies("-shm") {
        alone(&file).and_then(judge)
    } else if settings.read_only {
        // If another process writes meanwhile, half a change may be visible. That is no reason to refuse the file.
        let at_rest = || {
            let found = file.metadata().ok()?;
            (!lies("-wal") && !lies("-journal")).then_some((found.len(), found.modified().ok()?))
        };
        at_rest().and_then(|before| {
            immutable(&file).and_then(judge).filter(|_| at_rest().is_some_and(|after| after == before))
        })
    } else {
        None
    };
    match verdict {
        Some(Error::Busy { .. } | Error::Denied { .. } | Error::Storage { .. }) | None => Ok(()),
        Some(refusal) => Err(refusal),
    }
}

/// Opens the file without anything beside it.
pub(super) fn immutable(file: &Path) -> Option<Connection> {
    let mut uri = String::from("file:");
    for &byte in file.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(byte)),
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    open_as_named(Path::new(&uri), file, flags).ok()
}

/// Opens the file and its log, with an index of the log in private memory. The first read fails as busy if anybody has
/// the file open.
pub(super) fn alone(file: &Path) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(file, flags).ok()?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).ok()?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").ok()?;
    Some(connection)
}
