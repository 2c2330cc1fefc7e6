//! `larder import`

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use serde_json::json;

use crate::arguments::{Import, Place};
use crate::failure::Failure;
use crate::formats::{self, Format, Mistake, Record};
use crate::opening::within;
use crate::output::{self, Output};
use crate::progress;
use crate::source;
use crate::text::{counted, listed};

pub fn run(command: &Import, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let format = Format::of(&command.file, command.format)?;
    let group = command.selection.group.as_deref();
    format.check_group(group)?;
    // All is read and understood before the store is opened: a file with a mistake makes none.
    let document = formats::read(format, &source::read(&command.file)?, group).map_err(|mistake| {
        let (name, line, reason) = (source::name(&command.file), mistake.line, mistake.reason);
        Failure::Refused(format!("{name}, line {line}: {reason}; nothing was imported"))
    })?;
    let mut records = document.records;
    let found = records.len();
    records.retain(|record| command.selection.takes(&record.group));
    let left_out = found - records.len();
    let wanted = records.len();
    let now = SystemTime::now();
    records.retain(|record| record.expires_at.is_none_or(|expires_at| expires_at > now));
    let expired = wanted - records.len();

    write(&records, place)?;

    warn(&command.file, &document.warnings);
    let imported = records.len();
    let mut words = format!("{} imported", counted(imported as u64, "entry"));
    if left_out > 0 {
        words += &format!(", {left_out} of other groups left out");
    }
    if expired > 0 {
        words += &format!(", {expired} left out that had expired");
    }
    let json = json!({ "imported": imported, "left_out": left_out, "expired": expired });
    output.answer(&json, &words, Some(&imported.to_string()))
}

/// Says each warning once, with all its lines.
fn warn(file: &Path, warnings: &[Mistake]) {
    let mut lines_by_reason: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for Mistake { line, reason } in warnings {
        lines_by_reason.entry(reason).or_default().push(*line);
    }
    for (reason, lines) in lines_by_reason {
        let which = if lines.len() == 1 { "line" } else { "lines" };
        let message = format!("{}, {which} {}: {reason}", source::name(file), listed(&lines));
        output::warn(&message, None);
    }
}

/// Sets all entries in one transaction.
fn write(records: &[Record], place: &Place) -> Result<(), Failure> {
    let opened = place.writing()?;
    let bar = progress::bar("importing", records.len() as u64);
    let done = within!(opened, store => store.transaction(|tx| {
        for Record { group, key, value, expires_at, .. } in records {
            tx.set_until(group, key, value.as_slice(), *expires_at)?;
            bar.inc(1);
        }
        Ok(())
    }));
    bar.finish_and_clear();
    Ok(done?)
}
