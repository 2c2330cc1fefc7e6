//! What a larder file looks like inside: see `docs/file-format.md`.

use std::sync::Arc;

use rusqlite::Connection;

use super::expiry_index;

/// `PRAGMA application_id` of a larder file: "lard" in ASCII.
pub(super) const APPLICATION_ID: i64 = 0x6c61_7264;

/// `PRAGMA user_version`: the version of the schema below.
pub(super) const VERSION: i64 = 3;

/// Since which version a store has histories, and cursors have patterns.
pub(super) const WITH_HISTORIES: i64 = 2;

/// Since which version large values have a table of their own.
pub(super) const WITH_LARGE_VALUES: i64 = 3;

/// Entries and groups sort by their bytes, which is SQLite's BINARY collation and Rust's order of
/// strings alike. `entry_value` is TEXT where it is UTF-8, so that the `sqlite3` shell shows it, and
/// BLOB where it is not. It is an INTEGER where the value is a large one: see `large_values.rs`.
///
/// In `changes`, `change` and `logged_bytes` count all changes that a history ever had, and all their bytes, up to and
/// with their row: the size of a history is the difference to what `histories` says was pruned, and no counter has to
/// be written with each commit. The upper bits of `change` are the number of the history: see `log_parts.rs`. It is
/// the one table whose key is a number, since SQLite appends to such a table by filling page after page, where it
/// would balance the tree of any other.
const TABLES: &str = "
CREATE TABLE store (
    name        TEXT NOT NULL PRIMARY KEY,
    content     ANY  NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE entries (
    group_name  TEXT NOT NULL,
    entry_key   TEXT NOT NULL,
    entry_value ANY  NOT NULL,
    expires_at  INTEGER,
    revision    INTEGER NOT NULL,
    PRIMARY KEY (group_name, entry_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE groups (
    group_name  TEXT NOT NULL PRIMARY KEY,
    keys        INTEGER NOT NULL,
    bytes       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE namespaces (
    namespace   TEXT NOT NULL PRIMARY KEY,
    keys        INTEGER NOT NULL,
    groups      INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    max_keys    INTEGER,
    max_groups  INTEGER,
    max_bytes   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE changes (
    change       INTEGER NOT NULL PRIMARY KEY,
    revision     INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    kind         TEXT NOT NULL,
    group_name   TEXT NOT NULL,
    entry_key    TEXT,
    entry_value  ANY,
    expires_at   INTEGER,
    at           INTEGER NOT NULL,
    logged_bytes INTEGER NOT NULL
) STRICT;
";

/// A file from before there were cursors lacks this table.
const CURSORS: &str = "
CREATE TABLE IF NOT EXISTS cursors (
    cursor_name TEXT NOT NULL PRIMARY KEY,
    revision    INTEGER NOT NULL,
    position    INTEGER,
    moved_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What version 2 adds. The new name of the column stops a process of version 1 that has the file open: it would prune
/// without keeping `histories` in step, and every statement of it fails from here on.
const VERSION_2: &str = "
CREATE TABLE histories (
    prefix          TEXT NOT NULL PRIMARY KEY,
    history         INTEGER NOT NULL,
    max_changes     INTEGER,
    max_bytes       INTEGER,
    max_age         INTEGER,
    pruned_changes  INTEGER NOT NULL,
    pruned_bytes    INTEGER NOT NULL,
    pruned_revision INTEGER NOT NULL,
    pruned_position INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE notes (
    note    TEXT NOT NULL PRIMARY KEY,
    content TEXT NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE cursors ADD COLUMN pattern TEXT;
";

/// What version 3 adds. The new name of the column stops a process of version 2 that has the file open: it would take
/// the number of a large value for damage, and leave the value behind when it sets or prunes it.
const VERSION_3: &str = "
CREATE TABLE large_values (
    large_value INTEGER NOT NULL PRIMARY KEY,
    content     ANY NOT NULL
) STRICT;

ALTER TABLE histories RENAME COLUMN pruned_position TO pruned_step;
";

/// The views that show people the values, wherever they are stored. larder itself reads none of them, so it does not
/// matter if somebody has dropped one, or had one of that name.
const VIEWS: &str = "
CREATE VIEW IF NOT EXISTS readable_entries AS
SELECT group_name, entry_key,
       CASE typeof(entry_value) WHEN 'integer'
       THEN (SELECT content FROM large_values WHERE large_value = entry_value) ELSE entry_value END AS entry_value,
       expires_at, revision
FROM entries;

CREATE VIEW IF NOT EXISTS readable_changes AS
SELECT change, revision, position, kind, group_name, entry_key,
       CASE typeof(entry_value) WHEN 'integer'
       THEN (SELECT content FROM large_values WHERE large_value = entry_value) ELSE entry_value END AS entry_value,
       expires_at, at, logged_bytes
FROM changes;
";

/// The names of larder's views.
pub(super) const VIEW_NAMES: [&str; 2] = ["readable_changes", "readable_entries"];

/// The version of the schema of a file.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))
}

/// Makes an empty database a larder store, in the caller's transaction. `base_revision` is the commit before the first
/// that the change log will hold.
pub(super) fn create(connection: &Connection, base_revision: u64) -> rusqlite::Result<()> {
    connection.execute_batch(TABLES)?;
    expiry_index::rebuild(connection)?;
    add_version_2(connection)?;
    add_version_3(connection)?;
    connection.execute("INSERT INTO store VALUES ('identity', lower(hex(randomblob(16))))", [])?;
    connection.execute("INSERT INTO store VALUES ('base_revision', ?1)", [signed(base_revision)])?;
    connection.execute(
        "INSERT INTO histories VALUES ('', 0, NULL, NULL, NULL, 0, 0, ?1, NULL)",
        [signed(base_revision)],
    )?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)
}

/// Gives a store that was restored from a dump the numbers back by which it is known.
pub(super) fn restore_numbers(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", version)
}

/// Adds what version 2 has and version 1 has not, except for the store's own history.
pub(super) fn add_version_2(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(CURSORS)?;
    connection.execute_batch(VERSION_2)
}

/// Adds what version 3 has and version 2 has not.
pub(super) fn add_version_3(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(VERSION_3)?;
    connection.execute_batch(VIEWS)
}

/// The identity of the store.
pub(super) fn identity(connection: &Connection) -> rusqlite::Result<Arc<str>> {
    let identity = "SELECT content FROM store WHERE name = 'identity'";
    connection.query_row(identity, [], |row| Ok(row.get_ref(0)?.as_str()?.into()))
}

/// A number that changes with each change of a table, an index or a trigger, by any program.
pub(super) fn version_of_definitions(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA schema_version")?.query_row([], |row| row.get(0))
}

/// Whether the file has the table of cursors. A file from before there were cursors gets it when it is upgraded.
pub(super) fn has_cursors(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'cursors')")?
        .query_row([], |row| row.get(0))
}

/// The largest value that SQLite can be made to take, in bytes, less room for the rest of its row.
pub(crate) const VALUE_BYTES_MAX: u64 = 900 << 20;

/// A count as SQLite stores it. larder counts no further than 2^63.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as SQLite returned it. Only a damaged file has one below zero.
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// The names of what is in a database, indexes and SQLite's own tables left out.
pub(super) fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_master WHERE type <> 'index' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    statement.query_map([], |row| row.get(0))?.collect()
}
