//! `larder export`

use indicatif::ProgressBar;
use larder::Snapshot;
use serde_json::json;

use crate::arguments::{Export, Place};
use crate::failure::Failure;
use crate::formats::{Format, Notes, Writer};
use crate::opening::{Opened, check_complete};
use crate::output::{Output, remark};
use crate::replace_file::replace_file;
use crate::text::counted;
use crate::{progress, source};

pub fn run(command: &Export, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let format = Format::of(&command.file, command.format)?;
    format.check_group(command.selection.group.as_deref())?;
    if !source::is_standard(&command.file) {
        place.refuse_own_file(&command.file)?;
    }
    // All groups as they are at one moment.
    let opened = place.reading()?;
    let snapshot = opened.snapshot()?;
    let groups = command.selection.groups(&snapshot)?;
    check_namespaces(command, format, &groups, &opened)?;
    check_keys(format, &groups, &snapshot)?;
    let single = command.selection.group.is_some();
    if source::is_standard(&command.file) {
        let written = write(&groups, Writer::new(format, output.writer(), single), &snapshot)?;
        say(&written.notes, output);
        return check_complete(&opened.whole, &place.store);
    }
    let mut written = Written::default();
    replace_file(&command.file, output, |file| {
        written = write(&groups, Writer::new(format, file, single), &snapshot)?;
        Ok(())
    })?;
    say(&written.notes, output);
    let name = command.file.display().to_string();
    let words = format!("{} exported to {}", counted(written.entries, "entry"), crate::text::one_line(&name));
    output.answer(&json!({ "exported": written.entries }), &words, None)?;
    check_complete(&opened.whole, &place.store)
}

/// Refuses names that mean a group of another namespace to an import without `--namespace`.
fn check_namespaces(
    command: &Export,
    format: Format,
    groups: &[String],
    opened: &Opened,
) -> Result<(), Failure> {
    let names_groups = command.selection.group.is_none() || format == Format::Ndjson;
    let Some(tenant) = opened.tenant.as_ref().filter(|_| names_groups && !command.for_namespace) else {
        return Ok(());
    };
    for group in groups {
        if let Some((other, _)) = group.split_once(':')
            && opened.whole.scoped(other).is_ok()
        {
            let own = tenant.namespace();
            return Err(Failure::Refused(format!(
                "the group {group:?} of the namespace {own:?} would belong to the namespace {other:?} once imported"
            ))
            .advise("Give --for-namespace, and import the file with --namespace."));
        }
    }
    Ok(())
}

/// Refuses before the first byte: what reads standard output must not get half of a document.
fn check_keys(format: Format, groups: &[String], snapshot: &Snapshot) -> Result<(), Failure> {
    if format.takes_every_key() {
        return Ok(());
    }
    for group in groups {
        for key in snapshot.keys(group)? {
            format.check_key(&key?)?;
        }
    }
    Ok(())
}

/// What an export came to.
#[derive(Default)]
struct Written {
    entries: u64,
    notes: Notes,
}

fn write(groups: &[String], writer: Writer, snapshot: &Snapshot) -> Result<Written, Failure> {
    let keys = groups.iter().map(|group| snapshot.count(group)).sum::<larder::Result<u64>>()?;
    let bar = progress::bar("exporting", keys);
    let written = write_groups(groups, writer, snapshot, &bar);
    bar.finish_and_clear();
    written
}

fn write_groups(
    groups: &[String],
    mut writer: Writer,
    snapshot: &Snapshot,
    bar: &ProgressBar,
) -> Result<Written, Failure> {
    let mut entries = 0;
    for group in groups {
        for entry in snapshot.entries(group)? {
            writer.entry(group, &entry?)?;
            entries += 1;
            bar.inc(1);
        }
    }
    Ok(Written { entries, notes: writer.finish()? })
}

fn say(notes: &Notes, output: &Output) {
    notes.warnings.iter().for_each(|warning| output.warn(warning));
    notes.remarks.iter().for_each(|words| remark(words));
}
