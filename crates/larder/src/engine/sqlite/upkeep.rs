//! Figures and backups.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::beside::beside;
use super::log_parts::Parts;
use super::queries::Queries;
use super::schema::{self, unsigned};
use super::store_file::StoreFile;
use super::{copy, cursor_rows};
use crate::data::{Result, Stats};
use crate::engine::{Extent, NewFile};

pub(super) fn stats(reading: &Queries<'_>, file: Option<&Path>) -> rusqlite::Result<Stats> {
    // One moment for all of them, where the connection is not in a transaction already.
    let _moment = reading.connection.unchecked_transaction()?;
    let usage = reading.usage(Extent::Prefix(""))?;
    let parts = Parts::read(reading.connection)?.0;
    let sizes = parts.iter().map(|part| part.size());
    let (history_changes, history_bytes) = sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
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
            None => number("page_count")?.saturating_mul(number("page_size")?),
        },
        free_bytes: number("freelist_count")?.saturating_mul(number("page_size")?),
        wal_bytes: length("-wal").unwrap_or_default(),
        oldest_reader: None,
        unsafe_sqlite: None,
        history_from: parts.iter().map(|part| part.lost().revision).max().unwrap_or_default(),
        history_changes,
        history_bytes,
        cursors: cursor_rows::list(reading.connection, "")?,
    })
}

/// Writes a copy of one moment into a new file.
pub(super) fn backup(connection: &Connection, new: &NewFile, place: &StoreFile) -> Result<()> {
    copy::into_new_file(connection, new, place, |_| Ok(()))?;
    if place.group_access { new.share_with_group() } else { Ok(()) }
}
