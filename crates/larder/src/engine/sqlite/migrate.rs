//! go-store's files become larder's, in one transaction, with every entry and every expiry.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};

use super::columns::{Stored, bytes};
use super::schema::{self, signed, tables};
use super::store_file::StoreFile;
use crate::data::namespace::namespace_of;
use crate::data::{Error, Result, Usage, Value};

/// The revision of everything that was there before the first change that larder logged.
const MIGRATION: u64 = 1;

/// A table that go-store has kept its entries in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    /// `kv (grp, key, value)`
    KvWithoutTtl,
    /// `kv (grp, key, value, expires_at)`
    KvWithTtl,
    /// `entries (group_name, entry_key, entry_value, expires_at)`
    Entries,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Self::KvWithoutTtl | Self::KvWithTtl => "kv",
            Self::Entries => "entries",
        }
    }

    /// The name that the table has while its entries move.
    fn moving_name(self) -> &'static str {
        match self {
            Self::KvWithoutTtl | Self::KvWithTtl => "go_store_kv",
            Self::Entries => "go_store_entries",
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

/// The tables of a go-store file. Rows of an earlier table win over rows of a later one: go-store copies
/// `kv` into `entries` and then drops it, so a file whose migration was interrupted has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GoStore(&'static [Table]);

const SHAPES: [GoStore; 5] = [
    GoStore(&[Table::KvWithoutTtl]),
    GoStore(&[Table::KvWithTtl]),
    GoStore(&[Table::Entries]),
    GoStore(&[Table::Entries, Table::KvWithoutTtl]),
    GoStore(&[Table::Entries, Table::KvWithTtl]),
];

/// Which of go-store's shapes a database has: those tables, with those columns, and no other.
pub(super) fn recognise(connection: &Connection) -> rusqlite::Result<Option<GoStore>> {
    let mut names = tables(connection)?;
    names.sort();
    for shape in SHAPES {
        if names == shape.0.iter().map(|table| table.name()).collect::<Vec<_>>() {
            let mut matches = true;
            for table in shape.0 {
                matches = matches && columns(connection, table.name())? == table.columns();
            }
            if matches {
                return Ok(Some(shape));
            }
        }
    }
    Ok(None)
}

/// The columns of a table, in order; none for what is no table.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT info.name FROM sqlite_master AS found, pragma_table_info(?1) AS info
         WHERE found.name = ?1 AND found.type = 'table' ORDER BY cid",
    )?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// What is wrong with a file whose entries are about to move, if anything is.
pub(super) fn damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((verdict != "ok").then_some(verdict))
}

/// Moves go-store's entries into larder's schema, inside the caller's transaction.
pub(super) fn migrate(connection: &Connection, shape: GoStore, path: &Path, place: &StoreFile) -> Result<()> {
    let refuse = |reason: String, advice: &'static str| Error::Migration {
        path: path.to_owned(),
        reason,
        advice: advice.into(),
    };
    move_entries(connection, shape).map_err(|problem| match problem {
        Problem::Name { column, row, table } => refuse(
            format!("row {row} of {table} has a {column} that is not UTF-8, which larder cannot keep"),
            "Rename it first.",
        ),
        Problem::Expiry { row, table } => refuse(
            format!("row {row} of {table} has an expiry that is no whole number of milliseconds"),
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
    Name { column: &'static str, row: i64, table: &'static str },
    Expiry { row: i64, table: &'static str },
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn move_entries(connection: &Connection, shape: GoStore) -> std::result::Result<(), Problem> {
    for table in shape.0 {
        connection.execute_batch(&format!(
            "ALTER TABLE {} RENAME TO {}",
            table.name(),
            table.moving_name()
        ))?;
    }
    schema::create(connection, MIGRATION)?;
    let mut tallies: BTreeMap<String, Usage> = BTreeMap::new();
    let mut earlier = None;
    for table in shape.0 {
        move_table(connection, *table, earlier, &mut tallies)?;
        earlier = Some(*table);
    }
    write_tallies(connection, &tallies)?;
    for table in shape.0 {
        connection.execute_batch(&format!("DROP TABLE {}", table.moving_name()))?;
    }
    Ok(())
}

/// Moves the rows of one table, without those whose group and key an earlier table has.
fn move_table(
    connection: &Connection,
    table: Table,
    earlier: Option<Table>,
    tallies: &mut BTreeMap<String, Usage>,
) -> std::result::Result<(), Problem> {
    let columns = match table {
        Table::KvWithoutTtl => format!("{}, NULL, rowid", table.columns().join(", ")),
        Table::KvWithTtl | Table::Entries => format!("{}, rowid", table.columns().join(", ")),
    };
    let missing = earlier.map_or_else(String::new, |earlier| without(table, earlier));
    let mut old = connection.prepare(&format!("SELECT {columns} FROM {}{missing}", table.moving_name()))?;
    let mut insert = connection.prepare("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut rows = old.query([])?;
    while let Some(row) = rows.next()? {
        let (group, key) = (name(row, 0, "group", table)?, name(row, 1, "key", table)?);
        let value = Value::from(bytes(row, 2)?.unwrap_or_default());
        let Ok(expires_at) = row.get_ref(3)?.as_i64_or_null() else {
            return Err(Problem::Expiry { row: rowid(row)?, table: table.name() });
        };
        insert.execute(params![group, key, Stored::inline(&value), expires_at, signed(MIGRATION)])?;
        let tally = match tallies.get_mut(group) {
            Some(tally) => tally,
            None => tallies.entry(group.to_owned()).or_default(),
        };
        tally.keys += 1;
        tally.bytes += (key.len() + value.len()) as u64;
    }
    Ok(())
}

/// The condition that leaves out the rows of `table` which `earlier` has too. A name may be stored as
/// text or as a blob, which SQLite never takes for equal.
fn without(table: Table, earlier: Table) -> String {
    let either = |column: &str| format!("(CAST({column} AS TEXT), CAST({column} AS BLOB))");
    let (old, new) = (table.columns(), earlier.columns());
    format!(
        " WHERE NOT EXISTS (SELECT 1 FROM {} WHERE {} IN {} AND {} IN {})",
        earlier.moving_name(),
        new[0],
        either(old[0]),
        new[1],
        either(old[1]),
    )
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
fn name<'a>(
    row: &'a Row<'_>,
    column: usize,
    called: &'static str,
    table: Table,
) -> std::result::Result<&'a str, Problem> {
    let name = match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    };
    match name {
        Some(name) => Ok(name),
        None => Err(Problem::Name { column: called, row: rowid(row)?, table: table.name() }),
    }
}

/// The number of a row, which is its last column.
fn rowid(row: &Row<'_>) -> rusqlite::Result<i64> {
    row.get(row.as_ref().column_count() - 1)
}
