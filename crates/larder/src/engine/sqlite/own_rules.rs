//! Opens connections that keep to larder's own rules, whatever the file says.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{no_modules, step_limit};

/// Opens a connection that does not wait for locks by itself: `StoreFile::wait_for_lock` does, up to the timeout.
pub(super) fn open(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    // SQLite reads a name that begins with `file:` as a URI, with escapes and options in it, and has its
    // own meaning for `:memory:`. No name that begins with a folder is either of them.
    open_as_named(&Path::new(".").join(path), path, flags)
}

/// As [`open`], by a name that SQLite may take for a URI.
pub(super) fn open_as_named(name: &Path, file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    #[cfg(unix)]
    super::locks_across_forks::keep_usable();
    let mut connection = Connection::open_with_flags(name, flags)?;
    step_limit::guard(&mut connection, file)?;
    connection.busy_timeout(Duration::ZERO)?;
    // On macOS a plain `fsync` leaves the data in the drive's cache. Other systems ignore this. It is for each
    // connection: whichever is closed last checkpoints the log.
    connection.pragma_update(None, "fullfsync", true)?;
    keep_to_own_rules(&connection)?;
    Ok(connection)
}

/// Keeps what other programs put into a file from changing what larder's statements do: triggers, views, references
/// from tables of their own, virtual tables, and functions in their definitions. The entries, tallies and change log would
/// no longer agree. And lets SQLite look twice at what it reads.
pub(super) fn keep_to_own_rules(connection: &Connection) -> rusqlite::Result<()> {
    no_modules::drop_modules(connection)?;
    for foreign in [
        DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
        DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW,
        DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY,
        DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
    ] {
        connection.set_db_config(foreign, false)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Otherwise SQLite plans each statement with a range anew at each execution, for the values that are bound this time.
    // larder's statements have one good plan.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cell_size_check", true)
}

pub(super) fn read_only_flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX
}
