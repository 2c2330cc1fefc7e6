//! go-store's files become larder's, in one transaction, with every entry and every expiry.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use super::failure::Place;
use super::open::tables;
use super::reading::{Stored, bytes};
use super::schema::{self, signed};
use crate::data::namespace::namespace_of;
use crate::data::{Error, Result, Usage, Value};

/// The revision of everything that was there before the first change that larder logged.
const MIGRATION: u64 = 1;

/// The name that go-store's table has while its entries move.
const OLD: &str = "go_store_entries";

/// The schemas that go-store has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoStore {
    /// `kv (grp, key, value)`
    KvWithoutTtl,
    /// `kv (grp, key, value, expires_at)`
    KvWithTtl,
    /// `entries (group_name, entry_key, entry_value, expires_at)`
    Entries,
}

impl GoStore {
    fn table(self) -> &'static str {
        match self {
            Self::KvWithoutTtl | Self::KvWithTtl => "kv",
            Self::Entries => "entries",
        }
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::KvWithoutTtl => &["grp", "key", "value"],
            Self::KvWithTtl => &["grp", "key", "value", "expires_at"],
            Self::Entries => &["group_name", "entry_key", "entry_value", "expires_at"],
        }
    }
}

/// Which of go-store's schemas a database has: that table, with those columns, and no other.
pub(super) fn recognise(connection: &Connection) -> rusqlite::Result<Option<GoStore>> {
    let tables = tables(connection)?;
    for shape in [GoStore::KvWithoutTtl, GoStore::KvWithTtl, GoStore::Entries] {
        if tables == [shape.table()] {
            let mut statement = connection.prepare(
                "SELECT info.name FROM sqlite_master AS found, pragma_table_info(?1) AS info
                 WHERE found.name = ?1 AND found.type = 'table' ORDER BY cid",
            )?;
            let columns = statement.query_map([shape.table()], |row| row.get(0))?;
            if columns.collect::<rusqlite::Result<Vec<String>>>()? == shape.columns() {
                return Ok(Some(shape));
            }
        }
    }
    Ok(None)
}

/// What is wrong with a file whose entries are about to move, if anything is.
pub(super) fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((verdict != "ok").then_some(verdict))
}

/// Moves go-store's entries into larder's schema, inside the caller's transaction.
pub(super) fn migrate(connection: &Connection, shape: GoStore, path: &Path, place: &Place) -> Result<()> {
    let refuse = |reason: String, advice: &'static str| Error::Migration {
        path: path.to_owned(),
        reason,
        advice: advice.into(),
    };
    move_entries(connection, shape).map_err(|problem| match problem {
        Problem::Name { column, row } => refuse(
            format!("row {row} has a {column} that is not UTF-8, which larder cannot keep"),
            "Rename it first.",
        ),
        Problem::Expiry { row } => refuse(
            format!("row {row} has an expiry that is no whole number of milliseconds"),
            "Correct it first.",
        ),
        Problem::Sqlite(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
        {
            refuse(format!("two of its rows have the same group and key ({error})"), "Delete one first.")
        }
        Problem::Sqlite(error) => place.failure(error),
    })
}

enum Problem {
    Name { column: &'static str, row: i64 },
    Expiry { row: i64 },
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn move_entries(connection: &Connection, shape: GoStore) -> std::result::Result<(), Problem> {
    connection.execute_batch(&format!("ALTER TABLE {} RENAME TO {OLD}", shape.table()))?;
    schema::create(connection, MIGRATION)?;
    let columns = match shape {
        GoStore::KvWithoutTtl => format!("{}, NULL, rowid", shape.columns().join(", ")),
        GoStore::KvWithTtl | GoStore::Entries => format!("{}, rowid", shape.columns().join(", ")),
    };
    let mut old = connection.prepare(&format!("SELECT {columns} FROM {OLD}"))?;
    let mut insert = connection.prepare("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut tallies: BTreeMap<String, Usage> = BTreeMap::new();
    let mut rows = old.query([])?;
    while let Some(row) = rows.next()? {
        let (group, key) = (name(row, 0, "group")?, name(row, 1, "key")?);
        let value = Value::from(bytes(row, 2)?.unwrap_or_default());
        let Ok(expires_at) = row.get_ref(3)?.as_i64_or_null() else {
            return Err(Problem::Expiry { row: rowid(row)? });
        };
        insert.execute(params![group, key, Stored(&value), expires_at, signed(MIGRATION)])?;
        let tally = match tallies.get_mut(group) {
            Some(tally) => tally,
            None => tallies.entry(group.to_owned()).or_default(),
        };
        tally.keys += 1;
        tally.bytes += (key.len() + value.len()) as u64;
    }
    drop(rows);
    write_tallies(connection, &tallies)?;
    connection.execute_batch(&format!("DROP TABLE {OLD}"))?;
    Ok(())
}

fn write_tallies(connection: &Connection, groups: &BTreeMap<String, Usage>) -> rusqlite::Result<()> {
    let mut namespaces: BTreeMap<&str, Usage> = BTreeMap::new();
    let mut insert = connection.prepare("INSERT INTO groups VALUES (?1, ?2, ?3)")?;
    for (group, tally) in groups {
        insert.execute(params![group, signed(tally.keys), signed(tally.bytes)])?;
        if let Some(namespace) = namespace_of(group) {
            let usage = namespaces.entry(namespace).or_default();
            usage.keys += tally.keys;
            usage.groups += 1;
            usage.bytes += tally.bytes;
        }
    }
    let mut insert = connection
        .prepare("INSERT INTO namespaces (namespace, keys, groups, bytes) VALUES (?1, ?2, ?3, ?4)")?;
    for (namespace, usage) in namespaces {
        insert.execute(params![namespace, signed(usage.keys), signed(usage.groups), signed(usage.bytes)])?;
    }
    Ok(())
}

/// A group or key, which larder keeps as UTF-8.
fn name<'a>(row: &'a Row<'_>, column: usize, called: &'static str) -> std::result::Result<&'a str, Problem> {
    let name = match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    match name {
        Some(name) => Ok(name),
        None => Err(Problem::Name { column: called, row: rowid(row)? }),
    }
}

/// The number of a row, which is its last column.
fn rowid(row: &Row<'_>) -> rusqlite::Result<i64> {
    row.get(row.as_ref().column_count() - 1)
}
