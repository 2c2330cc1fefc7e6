//! Large values: those that are missing, have two users of one kind, or none.

use rusqlite::Connection;

use super::{find, name};
use crate::data::{Finding, FindingKind};
use crate::engine::sqlite::large_values::{self, UNUSED};

pub(super) fn check(connection: &Connection) -> rusqlite::Result<Vec<Finding>> {
    if !large_values::are_in(connection)? {
        return Ok(Vec::new());
    }
    Ok([missing(connection)?, unused(connection)?].into_iter().flatten().collect())
}

/// A value has one entry, one change, or both, and then the change is one of that entry.
fn missing(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    find(
        connection,
        FindingKind::MissingValue,
        "WITH
            of_entries AS MATERIALIZED (
                SELECT entry_value AS number, count(*) AS users, group_name, entry_key
                FROM entries WHERE typeof(entry_value) = 'integer' GROUP BY 1),
            of_changes AS MATERIALIZED (
                SELECT entry_value AS number, count(*) AS users, group_name, entry_key
                FROM changes WHERE typeof(entry_value) = 'integer' GROUP BY 1)
         SELECT used.number, used.group_name, used.entry_key, content IS NULL FROM
            (SELECT number, users, group_name, entry_key FROM of_entries
             UNION ALL
             SELECT of_changes.number, max(of_changes.users,
                        1 + (coalesce(of_entries.group_name, of_changes.group_name) IS NOT of_changes.group_name
                             OR coalesce(of_entries.entry_key, of_changes.entry_key) IS NOT of_changes.entry_key)),
                    of_changes.group_name, of_changes.entry_key
             FROM of_changes LEFT JOIN of_entries USING (number)) AS used
         LEFT JOIN large_values ON large_value = used.number
         WHERE users > 1 OR content IS NULL OR typeof(content) NOT IN ('text', 'blob')",
        [],
        |row| {
            let (number, group, key) = (row.get::<_, i64>(0)?, name(row, 1)?, name(row, 2)?);
            Ok(match row.get(3)? {
                true => format!("{group} {key} has the value {number}, which is missing"),
                false => format!("{group} {key} has the value {number}, which is another's too, or no value"),
            })
        },
    )
}

fn unused(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    find(
        connection,
        FindingKind::UnusedValue,
        &format!("SELECT large_value, octet_length(content) FROM large_values WHERE {UNUSED}"),
        [],
        |row| Ok(format!("the value {} of {} bytes", row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
    )
}
