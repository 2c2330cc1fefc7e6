//! SQLite's own check of the file.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::data::{Finding, FindingKind, counted};
use crate::engine::sqlite::error_code::{is_of_the_end, is_unspecific};
use crate::engine::sqlite::schema::unsigned;
use crate::engine::sqlite::{expiry_index, large_values};

/// How many of SQLite's own findings are counted.
const FINDINGS_MAX: u32 = 100;

/// Reads every page and row as SQLite understands them: trees, types, `NOT NULL`, indexes.
pub(super) fn check(connection: &Connection, file: Option<&Path>) -> rusqlite::Result<Vec<Finding>> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    if lines == ["ok"] {
        let of_trees = unreadable(connection)?;
        let of_index = if of_trees.is_none() { unlike_the_entries(connection)? } else { None };
        let of_values = file.map_or(Ok(None), |file| cut_off(connection, file))?;
        return Ok([of_trees, of_index, of_values].into_iter().flatten().collect());
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
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) || is_of_the_end(&error) =>
            {
                unreadable.push(format!("{name} cannot be read: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Finding::of(FindingKind::File, unreadable))
}

/// SQLite's own check finds each entry in the index, and counts the rows of an index only if it has all rows of its table.
/// So it does not notice rows that belong to no entry.
fn unlike_the_entries(connection: &Connection) -> rusqlite::Result<Option<Finding>> {
    let numbers = connection.query_row(
        "SELECT (SELECT count(*) FROM entries INDEXED BY entries_by_expiry WHERE expires_at IS NOT NULL),
                (SELECT count(expires_at) FROM entries NOT INDEXED)",
        [],
        |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
    );
    let (rows, due) = match numbers {
        // As above.
        Err(error) if is_unspecific(&error) => return Ok(None),
        numbers => numbers?,
    };
    let what = format!("{} has {} instead of {due}", expiry_index::NAME, counted(rows, "row"));
    Ok(if rows == due { None } else { Finding::of(FindingKind::ExpiryIndex, vec![what]) })
}

/// The large values that the end of a file had. Where the log says how long a file is, SQLite's check takes what is missing
/// for zeros.
fn cut_off(connection: &Connection, file: &Path) -> rusqlite::Result<Option<Finding>> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(unsigned);
    let expected = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
    let is_whole = std::fs::metadata(file).map_or(true, |found| found.len() >= expected);
    if is_whole || !large_values::are_in(connection)? {
        // Most files without all their pages have the rest in the log; but one that was cut off is among them.
        return Ok(None);
    }
    let mut numbers = connection.prepare("SELECT large_value FROM large_values")?;
    let mut read = connection.prepare("SELECT content FROM large_values WHERE large_value = ?1")?;
    let mut lost = Vec::new();
    for number in numbers.query_map([], |row| row.get::<_, i64>(0))? {
        let number = number?;
        match read.query_row([number], |row| row.get_ref(0).map(drop)) {
            Err(error) if is_of_the_end(&error) => lost.push(format!("the value {number} is cut off")),
            read => read?,
        }
    }
    Ok(Finding::of(FindingKind::File, lost))
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
