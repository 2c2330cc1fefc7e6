//! Figures, damage, backups.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, ffi};

use super::beside::beside;
use super::queries::Queries;
use super::schema::{self, unsigned};
use super::store_file::{StoreFile, is_of_reading};
use super::{change_log, connection, cursors};
use crate::data::{Error, Result, Stats};
use crate::engine::{Extent, NewFile};

pub(super) fn stats(reading: &Queries<'_>, file: Option<&Path>) -> rusqlite::Result<Stats> {
    // One moment for all of them, where the connection is not in a transaction already.
    let _moment = reading.connection.unchecked_transaction()?;
    let usage = reading.usage(Extent::Prefix(""))?;
    let (history_changes, history_bytes) = change_log::size(reading.connection)?;
    let number = |pragma| reading.connection.pragma_query_value(None, pragma, |row| row.get(0)).map(unsigned);
    let length = |suffix| Some(fs::metadata(beside(file?, suffix)).map_or(0, |file| file.len()));
    Ok(Stats {
        identity: schema::identity(reading.connection)?.to_string(),
        revision: reading.revision()?,
        keys: usage.keys,
        groups: usage.groups,
        namespaces: reading.namespaces(None)?.len() as u64,
        bytes: usage.bytes,
        file_bytes: match length("") {
            Some(length) => length,
            None => number("page_count")? * number("page_size")?,
        },
        wal_bytes: length("-wal").unwrap_or_default(),
        history_from: change_log::oldest_revision(reading.connection)?,
        history_changes,
        history_bytes,
        cursors: cursors::list(reading.connection, "")?,
    })
}

/// What each finding of `check` says, and the query that counts where it applies.
const INVARIANTS: [(&str, &str); 5] = [
    (
        "groups whose tally differs from a recount",
        "SELECT count(*) FROM
            (SELECT group_name, count(*) AS keys, sum(octet_length(entry_key) + octet_length(entry_value)) AS bytes
             FROM entries GROUP BY group_name) AS counted
         FULL JOIN groups USING (group_name)
         WHERE counted.keys IS NOT groups.keys OR counted.bytes IS NOT groups.bytes",
    ),
    (
        "namespaces whose tally differs from a recount",
        "SELECT count(*) FROM
            (SELECT namespace_of(group_name) AS namespace, sum(keys) AS keys, count(*) AS groups, sum(bytes) AS bytes
             FROM groups WHERE namespace_of(group_name) IS NOT NULL GROUP BY 1) AS counted
         FULL JOIN namespaces USING (namespace)
         WHERE coalesce(counted.keys, 0) IS NOT coalesce(namespaces.keys, 0)
         OR coalesce(counted.groups, 0) IS NOT coalesce(namespaces.groups, 0)
         OR coalesce(counted.bytes, 0) IS NOT coalesce(namespaces.bytes, 0)",
    ),
    (
        "gaps in the change log",
        "SELECT count(*) FROM
            (SELECT revision, position, sequence, lag(revision) OVER log AS before,
                    lag(position) OVER log AS step, lag(sequence) OVER log AS number
             FROM changes WINDOW log AS (ORDER BY sequence))
         WHERE before IS NOT NULL AND (sequence <> number + 1
         OR NOT (revision = before AND position = step + 1 OR revision = before + 1 AND position = 0))",
    ),
    (
        "entries of a later revision than the store's",
        "SELECT count(*) FROM entries WHERE revision > coalesce((SELECT max(revision) FROM changes),
            (SELECT content FROM store WHERE name = 'base_revision'))",
    ),
    (
        "changes of a kind that this larder does not know",
        "SELECT count(*) FROM changes WHERE kind NOT IN ('set', 'delete', 'delete_group', 'expire')
         OR (kind = 'set') IS NOT (entry_value IS NOT NULL) OR (kind = 'delete_group') IS NOT (entry_key IS NULL)",
    ),
];

/// How many of SQLite's own findings are listed.
const FINDINGS_MAX: u32 = 100;

/// Looks for damage: first to the file, then to what larder keeps in it.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let _moment = connection.unchecked_transaction()?;
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
    let findings: Vec<String> =
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    if findings != ["ok"] {
        // With the file itself damaged, what is kept in it need not be asked.
        return Ok(findings);
    }
    let mut problems = Vec::new();
    for (what, query) in INVARIANTS {
        let count: i64 = connection.query_row(query, [], |row| row.get(0))?;
        if count > 0 {
            problems.push(format!("{count} {what}"));
        }
    }
    if schema::has_cursors(connection)? {
        let latest = change_log::commits(connection)?.revision;
        let ahead: i64 = connection
            .prepare("SELECT count(*) FROM cursors WHERE revision > ?1")?
            .query_row([schema::signed(latest.0)], |row| row.get(0))?;
        if ahead > 0 {
            problems.push(format!("{ahead} cursors of a later revision than the store's"));
        }
    }
    Ok(problems)
}

/// Writes a copy of one moment: complete under a name of its own first, then under the right one.
pub(super) fn backup(connection: &Connection, path: &Path, place: &StoreFile) -> Result<()> {
    let new = NewFile::begin(path)?;
    place.wait_for_lock(|| copy_pages(connection, new.path())).map_err(|error| {
        if is_of_reading(&error) {
            place.failure(error)
        } else {
            Error::BackupFailed { path: path.to_owned(), source: Arc::new(error) }
        }
    })?;
    new.publish()
}

/// Copies every page, as of one moment, to a new file.
fn copy_pages(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut copy = connection::open(path, flags)?;
    match Backup::new(connection, &mut copy)?.step(-1)? {
        StepResult::Done => Ok(()),
        _ => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None)),
    }
}
