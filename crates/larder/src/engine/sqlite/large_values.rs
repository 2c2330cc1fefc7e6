//! Large values: each is stored once, outside the trees of entries and changes.
//!
//! A value of more than [`INLINE_MAX`] bytes has a row of its own in the table `large_values`. The entry and the change
//! that set it have the number of that row where a small value would be. No value is stored as a number, so a number
//! there is always a reference. The row goes with the last of the two: with the entry, if the change was pruned before,
//! or with the change.
//!
//! A file of an earlier version has no such table, and all its values where they belong. They stay there when the file
//! is upgraded, until they are set again.

use std::ffi::c_int;

use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row};

use super::columns::{Stored, bytes, revision};
use super::guard::GuardedConnection;
use super::held::{Column, Held, Run};
use super::log_parts::{Part, Parts};
use super::schema::{self, WITH_LARGE_VALUES};
use super::step_limit::corrupt;
use crate::data::{LogPosition, Revision, Value};

/// How many bytes of a value are stored with its entry.
pub(super) const INLINE_MAX: usize = 512;

/// SQL for the number of bytes of the value in `entry_value`.
macro_rules! size {
    () => {
        "CASE typeof(entry_value) WHEN 'integer'
         THEN coalesce((SELECT octet_length(content) FROM large_values WHERE large_value = entry_value), 0)
         ELSE octet_length(entry_value) END"
    };
}

/// SQL for the number of the large value in `entry_value`, which is NULL for a small one.
macro_rules! number {
    () => {
        "CASE typeof(entry_value) WHEN 'integer' THEN entry_value END"
    };
}

pub(super) use {number, size};

/// SQL for the large values that neither an entry nor a change has.
pub(super) const UNUSED: &str = "large_value NOT IN
    (SELECT entry_value FROM entries WHERE typeof(entry_value) = 'integer'
     UNION ALL SELECT entry_value FROM changes WHERE typeof(entry_value) = 'integer')";

/// SQL for the number of bytes of the value in `entry_value`, in the file of a connection.
pub(super) fn size_in(connection: &Connection) -> rusqlite::Result<&'static str> {
    Ok(if are_in(connection)? { size!() } else { "octet_length(entry_value)" })
}

/// The types of values, and of their numbers, in the file of a connection, as a list in SQL.
pub(super) fn types_in(connection: &Connection) -> rusqlite::Result<&'static str> {
    Ok(if are_in(connection)? { "'text', 'blob', 'integer'" } else { "'text', 'blob'" })
}

/// Whether the file of a connection has the table of large values.
pub(super) fn are_in(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(schema::version(connection)? >= WITH_LARGE_VALUES)
}

/// Stores a value, if it is a large one. Returns its number.
pub(super) fn keep(connection: &Connection, value: &Value) -> rusqlite::Result<Option<i64>> {
    if value.len() <= INLINE_MAX {
        return Ok(None);
    }
    // SQLite gives the number after the greatest, so the row is appended to the table.
    let number = connection
        .prepare_cached("INSERT INTO large_values (content) VALUES (?1)")?
        .insert([Stored::inline(value)])?;
    Ok(Some(number))
}

/// Removes the value with a number.
pub(super) fn remove(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM large_values WHERE large_value = ?1")?.execute([number]).map(drop)
}

/// Whether there is any.
pub(super) fn is_any(connection: &Connection) -> rusqlite::Result<bool> {
    let found = connection.prepare_cached("SELECT 1 FROM large_values LIMIT 1")?.query_row([], |_| Ok(()));
    Ok(found.optional()?.is_some())
}

/// Removes the changes with ids after `low`, up to `high`, and the values that only they have.
pub(super) fn remove_changes(connection: &Connection, low: i64, high: i64) -> rusqlite::Result<()> {
    if is_any(connection)? {
        connection
            .prepare_cached(
                "DELETE FROM large_values WHERE large_value IN
                    (SELECT entry_value FROM changes WHERE rowid > ?1 AND rowid <= ?2
                     AND typeof(entry_value) = 'integer' AND NOT EXISTS
                        (SELECT 1 FROM entries AS current
                         WHERE current.group_name = changes.group_name AND current.entry_key = changes.entry_key
                         AND current.entry_value = changes.entry_value))",
            )?
            .execute([low, high])?;
    }
    connection
        .prepare_cached("DELETE FROM changes WHERE rowid > ?1 AND rowid <= ?2")?
        .execute([low, high])
        .map(drop)
}

impl Parts {
    /// Whether the log has the large value with a number, which a key of a group was set to at a revision.
    pub fn has_large_value(
        &self,
        connection: &Connection,
        group: &str,
        revision: Revision,
        number: i64,
    ) -> rusqlite::Result<bool> {
        let Some(part) = self.0.get(self.of(group)).filter(|part| !part.is_none()) else { return Ok(false) };
        if revision > part.pruned.place.revision {
            return Ok(true);
        }
        // It may be there all the same: the change is one of a commit that was pruned in part, or its history became
        // part of another.
        part.finds_large_value(connection, revision, number)
    }
}

impl Part {
    fn finds_large_value(
        &self,
        connection: &Connection,
        revision: Revision,
        number: i64,
    ) -> rusqlite::Result<bool> {
        let first = self.place_of(connection, self.pruned.number + 1)?;
        if first.is_none_or(|first| first.revision > revision) {
            return Ok(false);
        }
        let low = self.seek(connection, LogPosition::after(revision.previous()))?;
        let high = self.seek(connection, LogPosition::after(revision))?;
        connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM changes WHERE rowid > ?1 AND rowid <= ?2 AND entry_value = ?3)",
            )?
            .query_row([self.id(low), self.id(high), number], |row| row.get(0))
    }
}

/// Hands over the bytes of the value in a column of a row; none for NULL. A large one is read with the statement `large`.
pub(super) fn read<T>(
    connection: &GuardedConnection,
    row: &Run<'_>,
    column: c_int,
    large: Held,
    take: impl FnOnce(&[u8]) -> T,
) -> rusqlite::Result<T> {
    match row.column(column)? {
        Column::Null => Ok(take(&[])),
        Column::Text(value) | Column::Blob(value) => Ok(take(value)),
        Column::Integer(number) => {
            let mut found = connection.held(large).map_err(|error| unprepared(connection, error))?;
            found.number(1, number)?;
            if !found.step()? {
                return Err(missing());
            }
            match found.column(0)? {
                Column::Text(value) | Column::Blob(value) => Ok(take(value)),
                Column::Null | Column::Integer(_) => Err(missing()),
            }
        }
    }
}

/// Why no large value can be asked for.
fn unprepared(connection: &Connection, error: rusqlite::Error) -> rusqlite::Error {
    if are_in(connection).unwrap_or(true) { error } else { missing() }
}

/// Reads the values of rows, large ones too. To be used in one transaction, or while a statement that returned the row
/// is still at it: then the value is that of the same moment. They are counted as collected, since a file made to do harm
/// may refer to one value many times.
pub(super) struct Values<'c> {
    connection: &'c Connection,
    large: Option<CachedStatement<'c>>,
}

impl<'c> Values<'c> {
    pub fn of(connection: &'c Connection) -> Self {
        Self { connection, large: None }
    }

    /// Hands over the bytes of the value in a column; nothing for NULL.
    pub fn read<T>(
        &mut self,
        row: &Row<'_>,
        column: usize,
        take: impl FnOnce(Option<&[u8]>) -> T,
    ) -> rusqlite::Result<T> {
        match row.get_ref(column)? {
            ValueRef::Integer(number) => self.large(number, take),
            _ => bytes(row, column).map(take),
        }
    }

    fn large<T>(&mut self, number: i64, take: impl FnOnce(Option<&[u8]>) -> T) -> rusqlite::Result<T> {
        let statement = match &mut self.large {
            Some(statement) => statement,
            none => none.insert(
                self.connection
                    .prepare_cached(Held::CollectedValue.sql())
                    .map_err(|error| unprepared(self.connection, error))?,
            ),
        };
        let found = statement.query_row([number], |row| bytes(row, 0).map(take)).optional()?;
        found.ok_or_else(missing)
    }
}

/// The error for a reference that leads nowhere.
pub(super) fn missing() -> rusqlite::Error {
    corrupt("a value is missing")
}

/// The numbers of the large values in a group whose entries a condition selects, with the revisions that set them.
pub(super) fn of_group(
    connection: &Connection,
    group: &str,
    live_at_ms: i64,
) -> rusqlite::Result<Vec<(Revision, i64)>> {
    if !is_any(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT revision, entry_value FROM entries
         WHERE group_name = ?1 AND typeof(entry_value) = 'integer' AND (expires_at IS NULL OR expires_at > ?2)",
    )?;
    let found = statement
        .query_map(rusqlite::params![group, live_at_ms], |row| Ok((revision(row, 0)?, row.get(1)?)))?;
    found.collect()
}
