//! SQLite's own check of the file.

use rusqlite::{Connection, ErrorCode};

use crate::data::{Finding, FindingKind};
use crate::engine::sqlite::error_code::is_unspecific;
use crate::engine::sqlite::expiry_index;

/// How many of SQLite's own findings are counted.
const FINDINGS_MAX: u32 = 100;

/// Reads every page and row as SQLite understands them: trees, types, `NOT NULL`, indexes.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<Vec<Finding>> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    if lines == ["ok"] {
        return Ok(unreadable(connection)?.into_iter().collect());
    }
    let (index, file): (Vec<String>, Vec<String>) = lines.into_iter().partition(|line| is_of_index(line));
    let of_index = Finding::of(FindingKind::ExpiryIndex, index);
    Ok(Finding::of(FindingKind::File, file).into_iter().chain(of_index).collect())
}

/// Trees that nothing else reads from end to end. SQLite's own check takes a page of another kind for a sound one, and
/// only a read notices it.
const TREES: [(&str, &str); 2] = [
    (
        expiry_index::NAME,
        "SELECT total(expires_at) FROM entries INDEXED BY entries_by_expiry WHERE expires_at IS NOT NULL",
    ),
    ("notes", "SELECT total(octet_length(note)) FROM notes"),
];

fn unreadable(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    let mut unreadable = Vec::new();
    for (name, sql) in TREES {
        match connection.query_row(sql, [], |_| Ok(())) {
            Ok(()) => {}
            // What is missing, or is not as larder defines it, is found elsewhere.
            Err(error) if is_unspecific(&error) => {}
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                unreadable.push(format!("{name} cannot be read: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Finding::of(FindingKind::File, unreadable))
}

/// Whether a line says that the index of expiries and the entries disagree, while the tree of each is sound. Damage
/// inside a tree may concern pages of other tables, so it counts as damage to the file.
fn is_of_index(line: &str) -> bool {
    let name = expiry_index::NAME;
    line.strip_prefix("row ")
        .and_then(|rest| rest.split_once(' '))
        .is_some_and(|(_, what)| what == format!("missing from index {name}"))
        || line == format!("wrong # of entries in index {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_disagreement_with_the_index_is_a_fault_of_the_index() {
        for line in
            ["row 3 missing from index entries_by_expiry", "wrong # of entries in index entries_by_expiry"]
        {
            assert!(is_of_index(line), "{line}");
        }
        for line in [
            "row 3 missing from index other",
            "wrong # of entries in index sqlite_autoindex_entries_1",
            "Tree 5 page 9: btreeInitPage() returns error code 11",
            "2nd reference to page 12",
            "NULL value in entries.entry_value",
        ] {
            assert!(!is_of_index(line), "{line}");
        }
    }
}
