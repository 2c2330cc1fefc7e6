//! Who is timed beside larder.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::Outcome;

/// SQLite by hand: larder's table of entries and its change log, and nothing else. A set writes a row
/// in each, as larder's does.
pub struct RawSqlite {
    connection: Connection,
    revision: i64,
}

impl RawSqlite {
    pub fn open(path: Option<&Path>) -> Outcome<Self> {
        let connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE entries (group_name TEXT NOT NULL, entry_key TEXT NOT NULL, entry_value ANY NOT NULL,
                 expires_at INTEGER, revision INTEGER NOT NULL, PRIMARY KEY (group_name, entry_key))
                 STRICT, WITHOUT ROWID;
             CREATE TABLE changes (revision INTEGER NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL,
                 group_name TEXT NOT NULL, entry_key TEXT, entry_value ANY, at INTEGER NOT NULL,
                 PRIMARY KEY (revision, position)) STRICT, WITHOUT ROWID;",
        )?;
        Ok(Self { connection, revision: 0 })
    }

    pub fn set(&mut self, group: &str, key: &str, value: &str) -> Outcome {
        let prepare = |sql| self.connection.prepare_cached(sql);
        self.revision += 1;
        prepare("BEGIN IMMEDIATE")?.execute([])?;
        prepare("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, NULL, ?4)")?.execute(params![
            group,
            key,
            value,
            self.revision
        ])?;
        prepare("INSERT INTO changes VALUES (?1, 0, 'set', ?2, ?3, ?4, 0)")?.execute(params![
            self.revision,
            group,
            key,
            value
        ])?;
        prepare("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Many at once, to fill the store.
    pub fn fill(&mut self, group: &str, entries: impl Iterator<Item = (String, String)>) -> Outcome {
        self.connection.execute_batch("BEGIN")?;
        for (key, value) in entries {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, NULL, 1)")?
                .execute([group, &key, &value])?;
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(())
    }

    pub fn get(&self, group: &str, key: &str) -> Outcome<Vec<u8>> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT entry_value FROM entries WHERE group_name = ?1 AND entry_key = ?2")?;
        Ok(statement.query_row([group, key], |row| Ok(row.get_ref(0)?.as_bytes()?.to_vec()))?)
    }

    /// Every key and value of a group, in one piece of memory.
    pub fn get_all(&self, group: &str) -> Outcome<(usize, Vec<u8>)> {
        let mut statement = self.connection.prepare_cached(
            "SELECT entry_key, entry_value FROM entries WHERE group_name = ?1 ORDER BY entry_key",
        )?;
        let mut rows = statement.query([group])?;
        let (mut count, mut arena) = (0, Vec::new());
        while let Some(row) = rows.next()? {
            arena.extend_from_slice(row.get_ref(0)?.as_bytes()?);
            arena.extend_from_slice(row.get_ref(1)?.as_bytes()?);
            count += 1;
        }
        Ok((count, arena))
    }
}
