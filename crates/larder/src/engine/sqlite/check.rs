//! Looks for damage: first to the file, then to what larder keeps in it.

mod counts;
mod integrity;
mod large_values;
mod leftovers;
mod log;
mod names;
mod objects;

use std::path::Path;

use rusqlite::{Connection, Params, Row};

use super::error_code::is_unspecific;
use super::step_limit::limited;
use crate::data::EXAMPLES_MAX;
use crate::data::{Finding, FindingKind};

/// Everything that is wrong, of one moment. `file` is where the store is, if it is in a file.
pub(super) fn check(connection: &Connection, file: Option<&Path>) -> rusqlite::Result<Vec<Finding>> {
    // A repair checks inside its own transaction.
    let _moment = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
    let objects = objects::check(connection)?;
    let mut findings = match limited(|| integrity::check(connection, file)) {
        // SQLite cannot check an index that another program computes with a function of its own.
        Err(error) if is_unspecific(&error) && blocks_checks(&objects) => Vec::new(),
        found => found?,
    };
    if findings.iter().any(|finding| finding.kind == FindingKind::File) {
        // With the file itself damaged, what is kept in it need not be asked.
        return Ok(findings);
    }
    findings.extend(objects);
    let has_own_tables =
        |finding: &Finding| !matches!(finding.kind, FindingKind::MissingTable | FindingKind::ChangedTable);
    if findings.iter().all(has_own_tables) {
        findings.extend(names::check(connection)?);
        findings.extend(counts::check(connection)?);
        findings.extend(log::check(connection)?);
        findings.extend(large_values::check(connection)?);
    }
    findings.extend(file.and_then(leftovers::find));
    // Two looks may find faults of one kind.
    findings.sort_by_key(|finding| finding.kind);
    Ok(findings)
}

fn blocks_checks(objects: &[Finding]) -> bool {
    objects.iter().any(|finding| finding.kind == FindingKind::ForeignConstraint)
}

/// Makes a finding of the rows of a query, each put into words.
fn find(
    connection: &Connection,
    kind: FindingKind,
    sql: &str,
    bound: impl Params,
    in_words: impl Fn(&Row<'_>) -> rusqlite::Result<String>,
) -> rusqlite::Result<Option<Finding>> {
    limited(|| found(connection, kind, sql, bound, in_words))
}

fn found(
    connection: &Connection,
    kind: FindingKind,
    sql: &str,
    bound: impl Params,
    in_words: impl Fn(&Row<'_>) -> rusqlite::Result<String>,
) -> rusqlite::Result<Option<Finding>> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query(bound)?;
    let (mut count, mut examples) = (0, Vec::new());
    while let Some(row) = rows.next()? {
        count += 1;
        if examples.len() < EXAMPLES_MAX {
            examples.push(in_words(row)?);
        }
    }
    Ok((count > 0).then(|| Finding::new(kind, count, examples)))
}

/// A name in a column, as it is shown to a person, whatever bytes it has.
fn name(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    use rusqlite::types::ValueRef;
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("{text:?}"),
            Err(_) => format!("\"{}\"", bytes.escape_ascii()),
        },
        ValueRef::Null => "nothing".into(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
    })
}
