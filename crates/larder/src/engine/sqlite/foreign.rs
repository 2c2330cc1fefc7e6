//! What other programs have put into the file: indexes and triggers on larder's tables, tables and views beside them.

use std::fmt;

use rusqlite::{Connection, OptionalExtension};

use super::{expiry_index, own_tables, schema};
use crate::data::FindingKind;

/// An object of another program.
pub(super) struct Foreign {
    pub finding: FindingKind,
    /// `index`, `trigger`, `table` or `view`.
    object: String,
    name: String,
    /// The table that it is on.
    table: String,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, name, table, .. } = self;
        write!(f, "the {object} {name:?}")?;
        if name == table { Ok(()) } else { write!(f, " on {table:?}") }
    }
}

impl Foreign {
    /// Removes the object.
    pub fn drop_from(&self, connection: &Connection) -> rusqlite::Result<()> {
        let quoted = self.name.replace('"', "\"\"");
        connection.execute_batch(&format!("DROP {} \"{quoted}\"", self.object))
    }
}

/// All objects of other programs. What they have on tables of their own is their business.
pub(super) fn find(connection: &Connection) -> rusqlite::Result<Vec<Foreign>> {
    let own = own_tables::expected_in(connection)?;
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
         ORDER BY type, name",
    )?;
    let objects = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut found = Vec::new();
    for object in objects {
        let (object, name, table): (String, String, String) = object?;
        let is_on_own = own.contains_key(&table);
        let is_own_view = object == "view" && schema::VIEW_NAMES.contains(&name.as_str());
        let finding = match object.as_str() {
            "view" if is_own_view => continue,
            "table" | "view" if !own.contains_key(&name) => FindingKind::ForeignTable,
            "index" if is_on_own && name != expiry_index::NAME => kind_of_index(connection, &name)?,
            "trigger" if is_on_own => FindingKind::ForeignTrigger,
            _ => continue,
        };
        found.push(Foreign { finding, object, name, table });
    }
    Ok(found)
}

/// An index on larder's tables that calls functions: SQLite would call them at each write, with whatever they take.
pub(super) fn calling_index(connection: &Connection) -> rusqlite::Result<Option<String>> {
    // One parenthesis is that around the columns. The schema can say anything of what the index is called and is on;
    // the pragmas say what SQLite makes of it.
    let mut statement = connection.prepare_cached(
        "SELECT list.name FROM pragma_index_list(?1) AS list
         LEFT JOIN sqlite_schema AS found ON found.type = 'index' AND found.name = list.name
         WHERE list.origin = 'c'
         AND (list.partial OR EXISTS (SELECT 1 FROM pragma_index_xinfo(list.name) WHERE cid = -2))
         AND (found.sql IS NULL OR length(found.sql) - length(replace(found.sql, '(', '')) > 1)",
    )?;
    for table in own_tables::expected_in(connection)?.keys() {
        if let Some(name) = statement.query_row([table], |row| row.get::<_, String>(0)).optional()? {
            return Ok(Some(format!(
                "the index {name:?} on its table {table:?} calls functions at each write"
            )));
        }
    }
    Ok(None)
}

/// A plain index only costs time. One that is unique, or that computes something, can make SQLite refuse a row.
fn kind_of_index(connection: &Connection, name: &str) -> rusqlite::Result<FindingKind> {
    let can_refuse: bool = connection
        .prepare(
            "SELECT EXISTS (SELECT 1 FROM sqlite_master AS found, pragma_index_list(found.tbl_name) AS list
                            WHERE found.name = ?1 AND list.name = ?1 AND (list.\"unique\" OR list.partial))
             OR EXISTS (SELECT 1 FROM pragma_index_xinfo(?1) WHERE key AND (cid = -2
                        OR coll COLLATE NOCASE NOT IN ('BINARY', 'NOCASE', 'RTRIM')))",
        )?
        .query_row([name], |row| row.get(0))?;
    Ok(if can_refuse { FindingKind::ForeignConstraint } else { FindingKind::ForeignIndex })
}
