//! Connections to a database, as larder sets them up.

use std::path::Path;
use std::time::Duration;

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};

use super::store_file::StoreFile;
use crate::data::Result;
use crate::data::namespace::namespace_of;

/// How many prepared statements each connection keeps. larder has fewer.
const STATEMENTS_MAX: usize = 64;

/// Opens another connection to a file that is open already, to read.
pub(super) fn reader(path: &Path, place: &StoreFile) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // The second flags are for a store on a read-only medium.
    open(path, flags)
        .or_else(|_| open(path, read_only_flags()))
        .and_then(|connection| {
            connection.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY")?;
            prepare(&connection)?;
            Ok(connection)
        })
        .map_err(|error| place.failure(error))
}

/// Sets up what every connection has in common.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // SQL cannot express what a namespace is: its text functions stop at a NUL.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("namespace_of", 1, flags, |call| {
        let group: String = call.get(0)?;
        Ok(namespace_of(&group).map(str::to_owned))
    })
}

/// Opens a connection that does not wait for locks by itself: `StoreFile::wait_for_lock` does, up to the timeout.
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

pub(super) fn read_only_flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX
}
