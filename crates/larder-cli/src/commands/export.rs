//! `larder export`

use std::io::Write;

use indicatif::ProgressBar;
use larder::Snapshot;
use serde_json::json;

use crate::arguments::{Export, Place};
use crate::failure::Failure;
use crate::formats::{Format, Writer};
use crate::output::{self, Output};
use crate::replace_file::replace_file;
use crate::text::counted;
use crate::{progress, source};

pub fn run(command: &Export, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let format = Format::of(&command.file, command.format)?;
    format.check_group(command.group.as_deref())?;
    if !source::is_standard(&command.file) {
        place.refuse_own_file(&command.file)?;
    }
    // All groups as they are at one moment.
    let snapshot = place.reading()?.snapshot()?;
    if source::is_standard(&command.file) {
        let written = write(command, format, &snapshot, output.writer())?;
        warn(&written);
        return Ok(());
    }
    let mut written = Written::default();
    replace_file(&command.file, |file| {
        written = write(command, format, &snapshot, file)?;
        Ok(())
    })?;
    warn(&written);
    let name = command.file.display().to_string();
    let words = format!("{} exported to {}", counted(written.entries, "entry"), crate::text::one_line(&name));
    output.answer(&json!({ "exported": written.entries }), &words, None)
}

/// What an export came to.
#[derive(Default)]
struct Written {
    entries: u64,
    /// How many had an expiry that the format cannot say.
    expiries_lost: u64,
}

fn write(
    command: &Export,
    format: Format,
    snapshot: &Snapshot,
    out: &mut dyn Write,
) -> Result<Written, Failure> {
    let groups: Vec<String> = match &command.group {
        Some(group) => vec![group.clone()],
        None => {
            let groups = snapshot.groups(command.prefix.as_deref().unwrap_or_default())?;
            groups.into_iter().map(|group| group.name).collect()
        }
    };
    let keys = groups.iter().map(|group| snapshot.count(group)).sum::<larder::Result<u64>>()?;
    let bar = progress::bar("exporting", keys);
    let written = write_groups(&groups, Writer::new(format, out, command.group.is_some()), snapshot, &bar);
    bar.finish_and_clear();
    written
}

fn write_groups(
    groups: &[String],
    mut writer: Writer,
    snapshot: &Snapshot,
    bar: &ProgressBar,
) -> Result<Written, Failure> {
    let mut written = Written::default();
    for group in groups {
        for entry in snapshot.entries(group)? {
            let entry = entry?;
            writer.entry(group, &entry)?;
            written.entries += 1;
            written.expiries_lost += u64::from(entry.expires_at.is_some() && !writer.says_expiries());
            bar.inc(1);
        }
    }
    writer.finish()?;
    Ok(written)
}

fn warn(written: &Written) {
    if written.expiries_lost > 0 {
        let entries = counted(written.expiries_lost, "entry");
        output::warn(
            &format!("{entries} would expire, which a .env file cannot say"),
            "Export NDJSON to keep that.",
        );
    }
}
