//! What cannot be read, and names that larder gives nothing.

use rusqlite::Connection;

use super::{find, name};
use crate::data::{Finding, FindingKind};
use crate::engine::sqlite::{large_values, schema};

pub(super) fn check(connection: &Connection) -> rusqlite::Result<Vec<Finding>> {
    Ok([unreadable(connection)?, invalid_namespaces(connection)?].into_iter().flatten().collect())
}

/// The columns of a strict table have their types; what SQLite does not check is whether a text is UTF-8, and that a
/// value is text or bytes.
fn unreadable(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    let types = large_values::types_in(connection)?;
    find(
        connection,
        FindingKind::Unreadable,
        &format!(
            "SELECT group_name, entry_key, typeof(entry_value) FROM entries
             WHERE typeof(entry_value) NOT IN ({types}) OR NOT is_utf8(group_name) OR NOT is_utf8(entry_key)"
        ),
        [],
        |row| {
            let (group, key, kind) = (name(row, 0)?, name(row, 1)?, row.get::<_, String>(2)?);
            let why = match kind.as_str() {
                kind if types.contains(kind) => "its name is not UTF-8".to_owned(),
                kind => format!("its value is of type {kind}"),
            };
            Ok(format!("{group} {key} ({why})"))
        },
    )
}

fn invalid_namespaces(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    let cursors = if schema::has_cursors(connection)? {
        "UNION ALL SELECT 'the cursor', cursor_name FROM cursors WHERE NOT is_utf8(cursor_name)"
    } else {
        ""
    };
    find(
        connection,
        FindingKind::InvalidName,
        &format!(
            "SELECT 'the namespace', namespace FROM namespaces
             WHERE namespace_of(namespace || ':') IS NOT namespace {cursors}"
        ),
        [],
        |row| Ok(format!("{} {}", row.get::<_, String>(0)?, name(row, 1)?)),
    )
}
