//! What a store holds, read with plain SQL.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::state::Version;
use crate::neighbours::history::Limit;

/// One change, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: String,
    pub group: String,
    pub key: Option<String>,
    pub value: Option<String>,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub change: Change,
    pub expires_at: Option<i64>,
    pub at: i64,
}

/// What a store holds.
#[derive(Debug, Default)]
pub struct Held {
    pub log: BTreeMap<u64, Vec<Row>>,
    pub entries: BTreeMap<(String, String), Version>,
    /// By namespace, where there is one.
    pub quotas: BTreeMap<String, Limit>,
}

fn text(bytes: Option<Vec<u8>>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

impl Held {
    /// Reads a store that is closed in every process.
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut held = Self::default();
        let mut rows = connection.prepare(
            "SELECT revision, kind, group_name, entry_key, CAST(entry_value AS BLOB), expires_at, at FROM readable_changes
             ORDER BY revision, position",
        )?;
        let rows = rows.query_map([], |row| {
            let change =
                Change { kind: row.get(1)?, group: row.get(2)?, key: row.get(3)?, value: text(row.get(4)?) };
            let row_of_log = Row { change, expires_at: row.get(5)?, at: row.get(6)? };
            Ok((row.get::<_, i64>(0)?.unsigned_abs(), row_of_log))
        })?;
        for row in rows {
            let (revision, row) = row?;
            held.log.entry(revision).or_default().push(row);
        }
        let mut entries = connection.prepare(
            "SELECT group_name, entry_key, revision, CAST(entry_value AS BLOB), expires_at FROM readable_entries",
        )?;
        let entries = entries.query_map([], |row| {
            let version = Version {
                revision: row.get::<_, i64>(2)?.unsigned_abs(),
                value: text(row.get(3)?).unwrap_or_default(),
                expires_at: row.get(4)?,
            };
            Ok(((row.get(0)?, row.get(1)?), version))
        })?;
        held.entries = entries.collect::<rusqlite::Result<_>>()?;
        let mut quotas =
            connection.prepare("SELECT namespace, max_keys, max_groups, max_bytes FROM namespaces")?;
        let quotas = quotas.query_map([], |row| {
            let limit = |column| -> rusqlite::Result<u64> {
                Ok(row.get::<_, Option<i64>>(column)?.map_or(u64::MAX, i64::unsigned_abs))
            };
            let namespace: String = row.get(0)?;
            let limit =
                Limit { namespace: namespace.clone(), keys: limit(1)?, groups: limit(2)?, bytes: limit(3)? };
            Ok((namespace, limit))
        })?;
        held.quotas = quotas.collect::<rusqlite::Result<_>>()?;
        Ok(held)
    }

    /// Forgets the groups whose names begin so: their part of the log was pruned.
    pub fn forget(&mut self, prefix: &str) {
        for rows in self.log.values_mut() {
            rows.retain(|row| !row.change.group.starts_with(prefix));
        }
        self.log.retain(|_, rows| !rows.is_empty());
        self.entries.retain(|(group, _), _| !group.starts_with(prefix));
    }
}
