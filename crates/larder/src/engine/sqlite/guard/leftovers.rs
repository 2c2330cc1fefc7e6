//! Takes the log of a database away from the file that has its name now.
//!
//! SQLite finds a log by its name. If another file is put in the place of a database that is open, the log of the old one
//! lies beside it, and whoever opens the new file next applies the old log to it.

use rusqlite::Connection;

use super::names::Names;

/// Deletes the log and the index of a database whose name leads elsewhere now. If the database still has a name
/// somewhere (it was moved), its log is brought into it first; if that cannot be done now, both stay.
pub(super) fn take_away(connection: &Connection, names: &Names, has_a_name: bool) {
    if has_a_name && !bring_in(connection) {
        tracing::error!(
            log = ?names.log.as_ref().map(|log| &log.path),
            "a store was moved away from its write-ahead log, which still has its latest writes: move the log, too"
        );
        return;
    }
    for named in [&names.log, &names.index].into_iter().flatten() {
        if let Err(error) = named.delete() {
            tracing::error!(%error, path = %named.path.display(), "a log stays beside a file that it does not belong to");
        }
    }
}

/// Copies everything in the log into the database, and empties the log. Both are found by their descriptors, whatever
/// they are called now. Returns whether all of it was copied.
fn bring_in(connection: &Connection) -> bool {
    let row = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    row.is_ok_and(|is_busy| is_busy == 0)
}
