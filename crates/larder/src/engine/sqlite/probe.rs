//! A look at a file that leaves no trace.
//!
//! SQLite makes two files beside one in WAL mode as soon as it reads it, and takes them away again with
//! the last connection, unless that may only read, or must not fold back a log that is not ours. In
//! these two cases what can be refused is refused beforehand, by a connection that needs neither: where
//! that cannot tell, the file is opened in earnest, and looked at again.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::beside::beside;
use super::open::{accept, identify, open, open_as_named};
use super::store_file::StoreFile;
use crate::data::{Error, Result};
use crate::engine::Settings;

/// Refuses a file that is no store, if that can be seen without a trace.
pub(super) fn refuse(path: &Path, settings: &Settings, place: &StoreFile) -> Result<()> {
    let Ok(file) = path.canonicalize() else { return Ok(()) };
    let place = &StoreFile { path: Some(file.clone()), ..place.clone() };
    let lies = |suffix| beside(&file, suffix).exists();
    let judge =
        |connection| identify(&connection, path, place).and_then(|kind| accept(kind, path, settings)).err();
    let verdict = if lies("-wal") && !lies("-shm") {
        alone(&file).and_then(judge)
    } else if settings.read_only {
        // If somebody writes meanwhile, half a change may be seen: that is no ground for a refusal.
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

/// Reads the file and nothing beside it.
fn immutable(file: &Path) -> Option<Connection> {
    let mut uri = String::from("file:");
    for byte in file.to_str()?.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(byte)),
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    open_as_named(Path::new(&uri), flags).ok()
}

/// Reads the file and its log, with an index of the log in its own memory: for a log that nobody else
/// has open, since it lies there without its shared one.
fn alone(file: &Path) -> Option<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(file, flags).ok()?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).ok()?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").ok()?;
    Some(connection)
}
