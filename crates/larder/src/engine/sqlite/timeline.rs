//! One identity for one timeline of revisions: a copy of a file gets an identity of its own.
//!
//! A copy and its original hand out the same revisions again, each for commits of its own. So a resume token, which
//! names an identity and a revision, must not be taken by the other. A backup gets its identity when it is made. A file
//! that was copied by other means is recognised by its birth: the system tells when a file was created, and the
//! store remembers it.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::log_link;
use super::schema;
use super::store_file::StoreFile;
use super::wal_index::WalIndex;
use crate::data::Result;

/// Makes of a copied file, in the caller's transaction, a store that no longer is its original.
pub(super) fn part(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE store SET content = lower(hex(randomblob(16))) WHERE name = 'identity'", [])?;
    connection.execute("DELETE FROM store WHERE name = 'untold_cursors'", [])?;
    if schema::has_cursors(connection)? {
        connection.execute(
            "INSERT INTO store SELECT 'untold_cursors', group_concat(cursor_name, char(10)) FROM cursors
             HAVING count(*) > 0",
            [],
        )?;
    }
    Ok(())
}

/// Gives a file an identity of its own if it is a copy, before it is first written to.
pub(super) fn settle(connection: &Connection, place: &StoreFile, index: Option<&WalIndex>) -> Result<()> {
    let Some(birth) = place.path.as_deref().and_then(birth) else { return Ok(()) };
    let failure = |error| place.failure(error);
    let known = place.wait_for_lock(|| recorded(connection)).map_err(failure)?;
    if known.as_ref() == Some(&birth) {
        return Ok(());
    }
    let settled = place.wait_for_lock(|| {
        let transaction =
            rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
        match recorded(connection)? {
            // Another process was faster.
            Some(known) if known == birth => return Ok(()),
            Some(_) => part(connection)?,
            None => {}
        }
        record(connection, &birth)?;
        let unlogged = super::change_log::unlogged(connection)?;
        super::change_log::count_unlogged(connection, unlogged + 1)?;
        log_link::write_first(connection, index)?;
        transaction.commit()
    });
    match settled {
        // A file from before births were recorded is the original as far as anybody knows. It can still be read, and
        // the next opening records its birth.
        Err(error) if known.is_none() => {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(error, "the birth of the file could not be recorded");
            Ok(())
        }
        settled => settled.map_err(failure),
    }
}

/// Records, in the caller's transaction, when the file was created, where the system tells.
pub(super) fn record_birth(connection: &Connection, file: &Path) -> rusqlite::Result<()> {
    match birth(file) {
        Some(birth) => record(connection, &birth),
        None => Ok(()),
    }
}

fn record(connection: &Connection, birth: &str) -> rusqlite::Result<()> {
    connection.execute("INSERT OR REPLACE INTO store VALUES ('file_birth', ?1)", [birth]).map(drop)
}

fn recorded(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection
        .query_row("SELECT content FROM store WHERE name = 'file_birth'", [], |row| row.get(0))
        .optional()
}

/// Whether the store was restored or copied since this cursor was last moved.
pub(super) fn is_untold(connection: &Connection, cursor: &str) -> rusqlite::Result<bool> {
    Ok(untold(connection)?.is_some_and(|names| names.lines().any(|name| name == cursor)))
}

/// Notes, in the caller's transaction, that a cursor was moved since.
pub(super) fn tell(connection: &Connection, cursor: &str) -> rusqlite::Result<()> {
    let Some(names) = untold(connection)? else { return Ok(()) };
    let others: Vec<&str> = names.lines().filter(|name| *name != cursor).collect();
    if others.is_empty() {
        connection.execute("DELETE FROM store WHERE name = 'untold_cursors'", []).map(drop)
    } else {
        let others = others.join("\n");
        connection.execute("UPDATE store SET content = ?1 WHERE name = 'untold_cursors'", [others]).map(drop)
    }
}

fn untold(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT content FROM store WHERE name = 'untold_cursors'")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// When a file was created, as exactly as the system tells: no program can set it, and each copy has its own. A
/// rename keeps it. (The inode's number would not do: some file systems give a file another one each time they are
/// mounted.)
#[cfg(any(target_os = "linux", target_os = "android"))]
fn birth(file: &Path) -> Option<String> {
    let created = file.metadata().ok()?.created().ok()?;
    Some(created.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos().to_string())
}

/// When a file was created, and its inode: here a copy may keep the time of the original.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn birth(file: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let found = file.metadata().ok()?;
    let created = found.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(format!("{} {}", created.as_nanos(), found.ino()))
}

/// Windows gives a new file the birth of one of the same name that was removed a moment ago.
#[cfg(not(unix))]
fn birth(_file: &Path) -> Option<String> {
    None
}
