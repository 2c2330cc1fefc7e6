//! The schema: larder's own tables and index, and what other programs have put beside them.

use rusqlite::Connection;

use crate::data::{Finding, FindingKind};
use crate::engine::sqlite::{expiry_index, foreign, own_tables, schema};

pub(super) fn check(connection: &Connection) -> rusqlite::Result<Vec<Finding>> {
    let (mut missing, mut changed) = (Vec::new(), Vec::new());
    let version = schema::version(connection)?;
    for (name, own) in own_tables::expected_in(connection)? {
        let found = own_tables::definition(connection, name, own)?;
        if found.is_empty() {
            missing.extend((!own_tables::is_optional(name, version)).then(|| format!("{name:?}")));
        } else if let Some(difference) = own_tables::difference(&own.definition, &found) {
            changed.push(format!("{name:?}: {difference}"));
        }
    }
    let has_entries = !missing.iter().any(|name| name == "\"entries\"");
    let index = if has_entries { expiry_index::fault(connection)? } else { None };
    let mut findings = vec![
        Finding::of(FindingKind::MissingTable, missing),
        Finding::of(FindingKind::ChangedTable, changed),
        Finding::of(FindingKind::ExpiryIndex, index),
    ];
    let objects = foreign::find(connection)?;
    for kind in [
        FindingKind::ForeignConstraint,
        FindingKind::ForeignIndex,
        FindingKind::ForeignTrigger,
        FindingKind::ForeignTable,
    ] {
        let of_kind = objects.iter().filter(|object| object.finding == kind);
        findings.push(Finding::of(kind, of_kind.map(|object| object.to_string())));
    }
    Ok(findings.into_iter().flatten().collect())
}
