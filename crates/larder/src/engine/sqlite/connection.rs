//! Connections to a database, with what larder's queries need.

use std::path::Path;

use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::guard::GuardedConnection;
use super::own_rules::{open, read_only_flags};
use super::schema;
use super::store_file::StoreFile;
use crate::data::Result;
use crate::data::namespace::namespace_of;

/// How many prepared statements each connection keeps. larder has fewer.
const STATEMENTS_MAX: usize = 64;

/// Opens another connection to a file that is open already, to read.
///
/// # Errors
/// `Replaced` where the path leads to another file or another log by now.
pub(super) fn reader(path: &Path, place: &StoreFile) -> Result<GuardedConnection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // The second flags are for a store on a read-only medium.
    let connected = place.open_guarded(|| {
        let connection = open(path, flags).or_else(|_| open(path, read_only_flags()))?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY")?;
        prepare(&connection)?;
        Ok(connection)
    });
    let connection = connected.map_err(|error| place.failure(error))?;
    let opened = open_log(&connection, place);
    // Pages that are missing in an empty log are an error as well, which does not say why.
    place.look_to_read()?;
    opened.map(|()| connection).map_err(|error| place.failure(error))
}

/// Lets SQLite open the log, which it does with the first read. Where the log was deleted it makes an empty one, and only
/// a look at the names after that finds it.
fn open_log(connection: &Connection, place: &StoreFile) -> rusqlite::Result<()> {
    place.wait_for_lock(|| schema::version_of_definitions(connection)).map(drop)
}

/// Sets up what every connection has in common.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // SQL cannot express what a namespace is: its text functions stop at a NUL.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("namespace_of", 1, flags, |call| {
        // A name that is not UTF-8 has no namespace; `check` finds it.
        let group = call.get_raw(0).as_str().unwrap_or_default();
        Ok(namespace_of(group).map(str::to_owned))
    })?;
    // Of nothing it is unknown, as with SQLite's own functions.
    connection.create_scalar_function("is_utf8", 1, flags, |call| {
        Ok(match call.get_raw(0) {
            ValueRef::Text(bytes) => Some(std::str::from_utf8(bytes).is_ok()),
            ValueRef::Null => None,
            _ => Some(false),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::data::Error;
    use crate::engine::Settings;
    use crate::engine::sqlite::open;

    /// A thread may have asked for a connection, and come to open the log only after it was deleted.
    #[test]
    fn a_reader_that_finds_no_log_is_refused_and_what_was_in_the_log_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let settings = Settings::default();
        let mut place = StoreFile::new(path.display().to_string(), &settings);
        let writer = open::file(&path, &settings, &mut place).unwrap();
        writer.execute_batch("CREATE TABLE in_the_log(x)").unwrap();
        place.guard.as_ref().unwrap().watch(&path, true).unwrap();
        std::fs::remove_file(folder.path().join("store.db-wal")).unwrap();
        let refused = reader(&path, &place).map(drop);
        assert!(matches!(refused, Err(Error::Replaced { .. })), "{refused:?}");
        drop(writer);
        place.release();
        let found = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
        assert_eq!(found.collect::<Vec<_>>(), ["store.db"]);
        let again = open(&path, read_only_flags()).unwrap();
        assert_eq!(again.query_row("SELECT count(*) FROM in_the_log", [], |row| row.get::<_, i64>(0)), Ok(0));
    }

    #[test]
    fn every_connection_syncs_to_the_platter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let place = StoreFile {
            location: path.display().to_string(),
            path: Some(path.clone()),
            timeout: Duration::ZERO,
            guard: None,
            group_access: false,
        };
        let writes = place.open_guarded(|| open(&path, OpenFlags::default())).unwrap();
        let reads = reader(&path, &place).unwrap();
        let only_reads = place.open_guarded(|| open(&path, read_only_flags())).unwrap();
        for connection in [writes, reads, only_reads] {
            let full: bool = connection.pragma_query_value(None, "fullfsync", |row| row.get(0)).unwrap();
            assert!(full);
        }
    }
}
