//! Reading the named cursors: how far each consumer has acknowledged the change log, and of which groups.

use rusqlite::{Connection, OptionalExtension, params};

use super::ascending::Ascending;
use super::change_log;
use super::log_parts::{Parts, stored_position};
use super::queries::End;
use super::schema;
use crate::data::namespace::namespace_of;
use crate::data::{CursorInfo, LogPosition, NamePattern, Pattern, clock};
use crate::engine::StoredCursor;
use crate::rules;

/// What a cursor keeps from being pruned: the changes of these groups after a position.
pub(super) struct Hold {
    pub groups: NamePattern,
    pub position: LogPosition,
}

/// The column of the pattern; NULL in a file that has no such column yet.
fn pattern_column(connection: &Connection) -> rusqlite::Result<&'static str> {
    let is_stored = schema::version(connection)? >= schema::WITH_HISTORIES;
    Ok(if is_stored { "pattern" } else { "NULL" })
}

/// The pattern of a cursor. One that was stored without it wants all that its handle sees.
fn pattern_of(name: &str, stored: Option<String>) -> Pattern {
    stored.and_then(|text| text.parse().ok()).unwrap_or_else(|| Pattern::of_namespace(namespace_of(name)))
}

/// The cursors whose names start with `prefix`, sorted by name.
pub(super) fn list(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<CursorInfo>> {
    // One moment for all queries.
    let _moment = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
    if !schema::has_cursors(connection)? {
        return Ok(Vec::new());
    }
    let parts = Parts::read(connection)?;
    let kept = parts.kept();
    let mut statement = connection.prepare_cached(&format!(
        "SELECT cursor_name, revision, position, moved_at, {} FROM cursors
         WHERE cursor_name >= ?1 AND cursor_name < ?2 ORDER BY cursor_name",
        pattern_column(connection)?
    ))?;
    let mut order = Ascending::default();
    let cursors = statement.query_map(params![prefix, End::of(prefix)], |row| {
        order.next(row)?;
        let place = stored_position(row, 1)?;
        let whole = place == LogPosition::after(place.revision);
        let name: String = row.get(0)?;
        let pattern = pattern_of(&name, row.get(4)?);
        Ok(CursorInfo {
            revision: if whole { place.revision } else { place.revision.previous() },
            behind: change_log::count_after(connection, &parts, &pattern, place)?,
            compacted: rules::readings(&pattern.group, &kept, place, place, LogPosition::MAX).is_err(),
            moved_at: clock::time(row.get(3)?),
            pattern,
            name,
        })
    })?;
    cursors.collect()
}

/// The cursor of this name, if there is one.
pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<StoredCursor>> {
    if !schema::has_cursors(connection)? {
        return Ok(None);
    }
    let pattern = pattern_column(connection)?;
    connection
        .prepare_cached(&format!("SELECT revision, position, {pattern} FROM cursors WHERE cursor_name = ?1"))?
        .query_row([name], |row| {
            Ok(StoredCursor { position: stored_position(row, 0)?, pattern: pattern_of(name, row.get(2)?) })
        })
        .optional()
}

/// How many bytes each cursor counts whose name starts with `prefix`.
pub(super) fn sizes(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT cursor_name, octet_length(pattern) FROM cursors WHERE cursor_name >= ?1 AND cursor_name < ?2",
    )?;
    let sizes = statement.query_map(params![prefix, End::of(prefix)], |row| {
        let (name, pattern): (String, Option<i64>) = (row.get(0)?, row.get(1)?);
        let pattern = usize::try_from(pattern.unwrap_or_default()).unwrap_or_default();
        let bytes = rules::cursor_bytes(name.len(), pattern);
        Ok((name, bytes))
    })?;
    sizes.collect()
}

/// What the cursors keep from being pruned.
pub(super) fn holds(connection: &Connection) -> rusqlite::Result<Vec<Hold>> {
    let mut statement = connection.prepare_cached(
        "SELECT cursor_name, revision, position, pattern FROM cursors ORDER BY cursor_name",
    )?;
    let mut order = Ascending::default();
    let holds = statement.query_map([], |row| {
        order.next(row)?;
        let name: String = row.get(0)?;
        Ok(Hold { groups: pattern_of(&name, row.get(3)?).group, position: stored_position(row, 1)? })
    })?;
    holds.collect()
}
