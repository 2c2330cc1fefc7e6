//! The change log: gaps in it, and whether the entries are what it says.

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, Row, params};

use super::{find, name};
use crate::data::{Finding, FindingKind, Revision};
use crate::engine::sqlite::large_values;
use crate::engine::sqlite::log_parts::{Part, Parts, ROW_BYTES};
use crate::engine::sqlite::schema::{self, signed};
use crate::engine::sqlite::step_limit::limited;

pub(super) fn check(connection: &Connection) -> rusqlite::Result<Vec<Finding>> {
    let parts = limited(|| Parts::read(connection))?;
    let latest = parts.revision();
    let without_values = numbers(parts.0.iter().filter(|part| part.is_none()));
    add_functions(connection, &parts)?;
    let looks = [
        unknown_changes(connection, &without_values)?,
        gaps(connection, &parts)?,
        beginnings(connection, &parts)?,
        misplaced(connection)?,
        totals(connection)?,
        entries_ahead(connection, latest)?,
        cursors_ahead(connection, latest)?,
        changed_entries(connection, &without_values)?,
        unlogged_entries(connection, latest)?,
        entries_of_deleted_groups(connection)?,
    ];
    Ok(joined(looks.into_iter().flatten()))
}

/// Joins findings of one kind, which several looks may have.
fn joined(all: impl Iterator<Item = Finding>) -> Vec<Finding> {
    let mut joined: Vec<Finding> = Vec::new();
    for finding in all {
        match joined.iter_mut().find(|known| known.kind == finding.kind) {
            Some(known) => known.add(finding),
            None => joined.push(finding),
        }
    }
    joined
}

/// The numbers of some histories, as a list in SQL.
fn numbers<'a>(parts: impl Iterator<Item = &'a Part>) -> String {
    parts.map(|part| part.history.to_string()).collect::<Vec<_>>().join(", ")
}

/// Adds what SQL does not know of a group: which history it belongs to, and up to which revision that is pruned.
fn add_functions(connection: &Connection, parts: &Parts) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let numbers = parts.clone();
    connection.create_scalar_function("history_of", 1, flags, move |call| {
        let group = call.get_raw(0).as_str().ok();
        Ok(group.and_then(|group| numbers.0.get(numbers.of(group))).map(|part| part.history))
    })?;
    let pruned = parts.clone();
    connection.create_scalar_function("pruned_for", 1, flags, move |call| {
        let part = call.get_raw(0).as_str().ok().and_then(|group| pruned.0.get(pruned.of(group)));
        Ok(part.map(|part| signed(part.pruned.place.revision.0)))
    })
}

fn unknown_changes(connection: &Connection, without_values: &str) -> rusqlite::Result<Option<Finding>> {
    let types = large_values::types_in(connection)?;
    find(
        connection,
        FindingKind::UnknownChange,
        &format!(
            "SELECT revision, position, kind FROM changes
             WHERE kind NOT IN ('set', 'delete', 'delete_group', 'expire')
             OR (kind = 'set' AND rowid >> 48 NOT IN ({without_values})) IS NOT (entry_value IS NOT NULL)
             OR (kind = 'delete_group') IS NOT (entry_key IS NULL)
             OR typeof(entry_value) NOT IN ({types}, 'null')
             OR NOT is_utf8(group_name) OR NOT coalesce(is_utf8(entry_key), 1)"
        ),
        [],
        |row| Ok(format!("{}, a change of the kind {}", place(row)?, name(row, 2)?)),
    )
}

/// The changes of each history are numbered one by one, in the order of revisions and steps. If there is only one
/// history, that has every revision and every step after what it has lost. Another that was removed may have lost more.
fn gaps(connection: &Connection, parts: &Parts) -> rusqlite::Result<Option<Finding>> {
    let has_all = parts.0.iter().all(|part| part.history == 0 && !part.is_none());
    let lost = parts.0.first().map_or(0, |part| signed(part.pruned.place.revision.0));
    find(
        connection,
        FindingKind::LogGap,
        "SELECT revision, position, before FROM
            (SELECT revision, position, rowid AS change, lag(revision) OVER log AS before,
                    lag(position) OVER log AS step, lag(rowid) OVER log AS number
             FROM changes WINDOW log AS (PARTITION BY rowid >> 48 ORDER BY rowid))
         WHERE before IS NOT NULL AND (change <> number + 1 OR (revision, position) <= (before, step)
         OR ?1 AND NOT (revision = before AND position = step + 1 OR revision > before AND revision <= ?2
                        OR revision = max(before, ?2) + 1 AND position = 0))",
        params![has_all, lost],
        |row| Ok(format!("between revision {} and {}", row.get::<_, i64>(2)?, place(row)?)),
    )
}

/// The first change of each history follows the last one that was pruned, and no change is of none.
fn beginnings(connection: &Connection, parts: &Parts) -> rusqlite::Result<Option<Finding>> {
    let expected = parts
        .0
        .iter()
        .map(|part| format!("({}, {})", part.history, part.id(part.pruned.number).saturating_add(1)));
    find(
        connection,
        FindingKind::LogGap,
        &format!(
            "WITH expected (history, first) AS (VALUES {})
             SELECT revision, position FROM
                (SELECT rowid >> 48 AS history, min(rowid) AS change, revision, position FROM changes GROUP BY 1)
             LEFT JOIN expected USING (history) WHERE change IS NOT first",
            expected.collect::<Vec<_>>().join(", ")
        ),
        [],
        |row| Ok(format!("before {}", place(row)?)),
    )
}

/// Each change is in the history of its group.
fn misplaced(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    find(
        connection,
        FindingKind::LogMismatch,
        "SELECT revision, position, group_name FROM changes WHERE rowid >> 48 <> history_of(group_name)",
        [],
        |row| Ok(format!("{} is not in the history of {}", place(row)?, name(row, 2)?)),
    )
}

/// Each row adds its own size to the total of the row before it.
fn totals(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    let bytes = large_values::size_in(connection)?;
    find(
        connection,
        FindingKind::LogTotals,
        &format!(
            "SELECT revision, position, logged_bytes - before, size FROM
            (SELECT revision, position, rowid AS change, logged_bytes, lag(logged_bytes) OVER log AS before,
                    lag(rowid) OVER log AS number,
                    ?1 + octet_length(group_name) + coalesce(octet_length(entry_key), 0)
                    + coalesce({bytes}, 0) AS size
             FROM changes WINDOW log AS (PARTITION BY rowid >> 48 ORDER BY rowid))
         WHERE change = number + 1 AND logged_bytes - before <> size"
        ),
        [signed(ROW_BYTES)],
        |row| {
            let (added, size) = (row.get::<_, i64>(2)?, row.get::<_, i64>(3)?);
            Ok(format!("{} has {size} bytes and counts {added}", place(row)?))
        },
    )
}

fn entries_ahead(connection: &Connection, latest: Revision) -> rusqlite::Result<Option<Finding>> {
    find(
        connection,
        FindingKind::EntryAhead,
        "SELECT group_name, entry_key, revision FROM entries WHERE revision > ?1",
        [signed(latest.0)],
        |row| Ok(format!("{} {} has revision {}", name(row, 0)?, name(row, 1)?, row.get::<_, i64>(2)?)),
    )
}

fn cursors_ahead(connection: &Connection, latest: Revision) -> rusqlite::Result<Option<Finding>> {
    if !schema::has_cursors(connection)? {
        return Ok(None);
    }
    find(
        connection,
        FindingKind::CursorAhead,
        "SELECT cursor_name, revision FROM cursors WHERE revision > ?1",
        [signed(latest.0)],
        |row| Ok(format!("{} is at {}", name(row, 0)?, row.get::<_, i64>(1)?)),
    )
}

/// The latest change of each key, and the latest deletion of each group. A column that stands beside `max` has the
/// value of the row with the greatest.
const LATEST: &str = "WITH
    of_key AS MATERIALIZED (
        SELECT group_name, entry_key, max(rowid) AS change, revision, kind, entry_value, expires_at
        FROM changes WHERE entry_key IS NOT NULL GROUP BY group_name, entry_key),
    of_group AS MATERIALIZED (
        SELECT group_name, max(rowid) AS change, revision
        FROM changes WHERE entry_key IS NULL GROUP BY group_name)";

/// Entries that are not what the latest logged change of their key says, and those that are missing.
///
/// Deleting a group leaves its expired entries to the purge. So an entry that expires may be there after it.
fn changed_entries(connection: &Connection, without_values: &str) -> rusqlite::Result<Option<Finding>> {
    find(
        connection,
        FindingKind::LogMismatch,
        &format!(
            "{LATEST}
             SELECT of_key.group_name, of_key.entry_key, of_key.kind, of_key.revision, stored.revision,
                    coalesce(of_group.change, 0) > of_key.change
             FROM of_key LEFT JOIN of_group USING (group_name) LEFT JOIN entries AS stored
             ON stored.group_name = of_key.group_name AND stored.entry_key = of_key.entry_key
             WHERE CASE
                WHEN of_key.kind <> 'set' THEN stored.revision IS NOT NULL
                WHEN coalesce(of_group.change, 0) > of_key.change AND stored.revision IS NULL THEN 0
                WHEN coalesce(of_group.change, 0) > of_key.change AND stored.expires_at IS NULL THEN 1
                ELSE stored.revision IS NOT of_key.revision
                     OR stored.entry_value IS NOT of_key.entry_value AND of_key.change >> 48 NOT IN ({without_values})
                     OR stored.expires_at IS NOT of_key.expires_at
             END"
        ),
        [],
        |row| {
            let (group, key, kind) = (name(row, 0)?, name(row, 1)?, row.get::<_, String>(2)?);
            let (logged, stored) = (row.get::<_, i64>(3)?, row.get::<_, Option<i64>>(4)?);
            Ok(match stored {
                _ if row.get(5)? => format!("{group} {key} is there, though its group was deleted"),
                None => format!("{group} {key} is missing, though it was set at revision {logged}"),
                Some(_) if kind != "set" => {
                    format!("{group} {key} is there, though it was removed at revision {logged}")
                }
                Some(stored) if stored != logged => {
                    format!("{group} {key} has revision {stored}, and its latest change has {logged}")
                }
                Some(_) => format!("{group} {key} has another value or expiry than it was set to"),
            })
        },
    )
}

/// Entries of a revision that the log holds, without a change of their key in it.
fn unlogged_entries(connection: &Connection, latest: Revision) -> rusqlite::Result<Option<Finding>> {
    find(
        connection,
        FindingKind::LogMismatch,
        &format!(
            "{LATEST}
             SELECT group_name, entry_key, entries.revision FROM entries LEFT JOIN of_key USING (group_name, entry_key)
             WHERE of_key.change IS NULL AND entries.revision > pruned_for(group_name) AND entries.revision <= ?1"
        ),
        [signed(latest.0)],
        |row| {
            let (group, key, revision) = (name(row, 0)?, name(row, 1)?, row.get::<_, i64>(2)?);
            Ok(format!("{group} {key} has revision {revision}, which did not change it"))
        },
    )
}

/// Entries that a logged deletion of their group should have deleted.
fn entries_of_deleted_groups(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    find(
        connection,
        FindingKind::LogMismatch,
        &format!(
            "{LATEST}
             SELECT group_name, entry_key, of_group.revision FROM of_group JOIN entries USING (group_name)
             LEFT JOIN of_key USING (group_name, entry_key)
             WHERE of_key.change IS NULL AND entries.expires_at IS NULL
             AND entries.revision <= of_group.revision"
        ),
        [],
        |row| {
            let (group, key, revision) = (name(row, 0)?, name(row, 1)?, row.get::<_, i64>(2)?);
            Ok(format!("{group} {key} is there, though its group was deleted at revision {revision}"))
        },
    )
}

/// Where a change is, by its first two columns.
fn place(row: &Row<'_>) -> rusqlite::Result<String> {
    let (revision, step) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
    Ok(if step == 0 { format!("revision {revision}") } else { format!("step {step} of revision {revision}") })
}
