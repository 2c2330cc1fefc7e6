//! The tallies of groups and namespaces, against a recount.

use rusqlite::Connection;

use super::{find, name};
use crate::data::{Finding, FindingKind, counted};
use crate::engine::sqlite::large_values;

pub(super) fn check(connection: &Connection) -> rusqlite::Result<Vec<Finding>> {
    Ok([groups(connection)?, namespaces(connection)?].into_iter().flatten().collect())
}

fn groups(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    let size = large_values::size_in(connection)?;
    find(
        connection,
        FindingKind::GroupTally,
        &format!(
            "SELECT group_name, coalesce(counted.keys, 0), coalesce(counted.bytes, 0), groups.keys, groups.bytes FROM
            (SELECT group_name, count(*) AS keys, sum(octet_length(entry_key) + {size}) AS bytes
             FROM entries GROUP BY group_name) AS counted
         FULL JOIN groups USING (group_name)
         WHERE counted.keys IS NOT groups.keys OR counted.bytes IS NOT groups.bytes"
        ),
        [],
        |row| {
            let (group, keys, bytes) = (name(row, 0)?, counted(row.get::<_, i64>(1)?, "key"), row.get::<_, i64>(2)?);
            Ok(match row.get::<_, Option<i64>>(3)? {
                None => format!("{group} has {keys} of {bytes} bytes, and no tally"),
                Some(stored) => {
                    let stored_bytes: i64 = row.get(4)?;
                    format!("{group} has {keys} of {bytes} bytes, and its tally says {stored} of {stored_bytes}")
                }
            })
        },
    )
}

/// Counted from the entries, as the groups are, so that a group whose own tally is wrong is no fault of its namespace.
fn namespaces(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    let size = large_values::size_in(connection)?;
    find(
        connection,
        FindingKind::NamespaceTally,
        &format!(
            "SELECT namespace, coalesce(counted.keys, 0), coalesce(counted.groups, 0), coalesce(counted.bytes, 0),
                namespaces.keys, namespaces.groups, namespaces.bytes FROM
            (SELECT namespace_of(group_name) AS namespace, count(*) AS keys, count(DISTINCT group_name) AS groups,
                    sum(octet_length(entry_key) + {size}) AS bytes
             FROM entries WHERE namespace_of(group_name) IS NOT NULL GROUP BY 1) AS counted
         FULL JOIN namespaces USING (namespace)
         WHERE coalesce(counted.keys, 0) IS NOT coalesce(namespaces.keys, 0)
         OR coalesce(counted.groups, 0) IS NOT coalesce(namespaces.groups, 0)
         OR coalesce(counted.bytes, 0) IS NOT coalesce(namespaces.bytes, 0)"
        ),
        [],
        |row| {
            let number = |column| row.get::<_, i64>(column);
            let (namespace, keys, groups, bytes) =
                (name(row, 0)?, counted(number(1)?, "key"), counted(number(2)?, "group"), number(3)?);
            Ok(match row.get::<_, Option<i64>>(4)? {
                None => format!("{namespace} has {keys} in {groups} of {bytes} bytes, and no tally"),
                Some(stored) => format!(
                    "{namespace} has {keys} in {groups} of {bytes} bytes, and its tally says {stored} in \
                     {} of {}",
                    number(5)?,
                    number(6)?
                ),
            })
        },
    )
}
