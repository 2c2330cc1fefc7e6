//! `larder import`

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use indicatif::ProgressBar;
use larder::{Batch, Error, Store};
use serde_json::json;

use crate::arguments::{Import, Place};
use crate::failure::Failure;
use crate::formats::{self, Format, Mistake, Record};
use crate::notice::Notice;
use crate::opening::{Opened, within};
use crate::output::Output;
use crate::progress;
use crate::source;
use crate::text::{counted, listed};

pub fn run(command: &Import, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let format = Format::of(&command.file, command.format)?;
    let group = command.selection.group.as_deref();
    format.check_group(group)?;
    // All is read and understood before the store is opened: a file with a mistake makes none.
    let document = formats::read(format, &source::read_text(&command.file, command.max_bytes)?, group)
        .map_err(|mistake| refused(&command.file, &mistake))?;
    let mut records = document.records;
    let found = records.len();
    records.retain(|record| command.selection.takes(&record.group));
    let left_out = found - records.len();
    let wanted = records.len();
    let now = SystemTime::now();
    // The others keep their places, which --skip counts.
    let is_live = move |record: &Record| record.expires_at.is_none_or(|expires_at| expires_at > now);
    let imported = records.iter().skip(command.skip).filter(|record| is_live(record)).count();
    let expired = wanted.saturating_sub(command.skip) - imported;

    write(command, &records, &is_live, place)?;

    warn(&command.file, &document.warnings, output);
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

/// The failure of an import whose file has a mistake.
fn refused(file: &Path, mistake: &Mistake) -> Failure {
    let Mistake { line, reason, cause, advice } = mistake;
    let name = source::name(file);
    let mut failure = Failure::Refused(format!("{name}, line {line}: {reason}; nothing was imported"));
    if let Some(cause) = cause {
        failure = Failure::Caused(Box::new(failure), vec![cause.clone()]);
    }
    match advice {
        Some(advice) => failure.advise(advice.clone()),
        None => failure,
    }
}

/// Says each warning once, with all its lines.
fn warn(file: &Path, warnings: &[Mistake], output: &Output) {
    let mut lines_by_warning: BTreeMap<(&str, Option<&str>), Vec<usize>> = BTreeMap::new();
    for Mistake { line, reason, advice, .. } in warnings {
        lines_by_warning.entry((reason, advice.as_deref())).or_default().push(*line);
    }
    for ((reason, advice), lines) in lines_by_warning {
        let which = if lines.len() == 1 { "line" } else { "lines" };
        let message = format!("{}, {which} {}: {reason}", source::name(file), listed(&lines));
        let warning = Notice::warning(message);
        output.warn(&match advice {
            Some(advice) => warning.advise(advice),
            None => warning,
        });
    }
}

/// Sets all entries, in one commit or in batches.
fn write(command: &Import, records: &[Record], is_live: &IsLive, place: &Place) -> Result<(), Failure> {
    let opened = place.writing()?;
    let bar = progress::bar("importing", records.len() as u64);
    let done = match command.batch {
        Some(size) => write_batches(records, is_live, size.get(), command.skip, &opened, &bar),
        None => write_whole(records, is_live, place, &opened, &bar),
    };
    bar.finish_and_clear();
    done
}

fn write_whole(
    records: &[Record],
    is_live: &IsLive,
    place: &Place,
    opened: &Opened,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    // A cluster decides a batch with few requests, and a transaction with at least one for each step.
    if matches!(Store::file_of(&place.store), Ok(None)) {
        return commit(records, is_live, opened).map_err(|error| match error {
            Error::TooMuchAtOnce { .. } => {
                Failure::from(error).advise("Give --batch 1000, which imports as many entries at a time.")
            }
            error => error.into(),
        });
    }
    let done = within!(opened, store => store.transaction(|tx| {
        for record in records.iter().filter(|record| is_live(record)) {
            let Record { group, key, value, expires_at, .. } = record;
            tx.set_until(group, key, value.as_slice(), *expires_at)?;
            bar.inc(1);
        }
        Ok(())
    }));
    Ok(done?)
}

/// Commits batch after batch, without the first `skip` entries.
fn write_batches(
    records: &[Record],
    is_live: &IsLive,
    size: usize,
    skip: usize,
    opened: &Opened,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut done = skip.min(records.len());
    for some in records[done..].chunks(size) {
        if let Err(error) = commit(some, is_live, opened) {
            let total = counted(records.len() as u64, "entry");
            let advice =
                format!("The first {done} of {total} are imported. Go on with --batch {size} --skip {done}.");
            return Err(Failure::from(error).advise(advice));
        }
        done += some.len();
        bar.inc(some.len() as u64);
    }
    Ok(())
}

/// Whether an entry has not expired yet.
type IsLive = dyn Fn(&Record) -> bool;

/// Sets entries in one commit.
fn commit(records: &[Record], is_live: &IsLive, opened: &Opened) -> larder::Result<()> {
    let live = records.iter().filter(|record| is_live(record));
    let committed = within!(opened, store => {
        let set = |batch: Batch, Record { group, key, value, expires_at, .. }: &Record| {
            batch.set_until(group, key.as_str(), value.as_slice(), *expires_at)
        };
        live.fold(store.batch(), set).commit()
    });
    committed.map(drop)
}
