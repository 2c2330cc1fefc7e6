//! `larder backup`: copies the store to a file.

use std::error::Error as _;
use std::path::Path;

use larder::{Error, Store};
use serde_json::json;

use crate::arguments::{Backup, Place};
use crate::failure::Failure;
use crate::opening::check_complete;
use crate::output::Output;
use crate::text::one_line;
use crate::{progress, source};

pub fn run(command: &Backup, place: &Place, output: &mut Output) -> Result<(), Failure> {
    check_name(&command.file)?;
    let opened = place.whole("backup")?.reading()?;
    if command.force {
        place.refuse_own_file(&command.file)?;
    }
    let spinner = progress::spinner("copying the store");
    let mut backup = opened.whole.backup(&command.file);
    if command.verify {
        backup = backup.verified();
    }
    if command.force {
        backup = backup.replacing();
    }
    if let Some(count) = command.keep {
        backup = backup.keeping(usize::try_from(count).unwrap_or(usize::MAX));
    }
    let done = backup.run();
    spinner.finish_and_clear();
    let done = done.map_err(|error| match error {
        // It is not the store that failed.
        Error::BackupFailed { .. } => {
            let refused = Failure::Refused(error.to_string());
            let refused = match error.source() {
                Some(cause) => refused.because(cause),
                None => refused,
            };
            match error.advice() {
                Some(advice) => refused.advise(advice),
                None => refused,
            }
        }
        other => other.into(),
    })?;
    let name = done.path.display().to_string();
    let removed: Vec<String> = done.removed.iter().map(|path| path.display().to_string()).collect();
    let mut words = format!("backed up the store to {}", one_line(&name));
    if !removed.is_empty() {
        words.push_str(&format!("; deleted {}", one_line(&removed.join(", "))));
    }
    let plain = command.keep.map(|_| name.as_str());
    output.answer(&json!({ "backup": name, "removed": removed }), &words, plain)?;
    check_complete(&opened.whole, &place.store)
}

/// Refuses a name that other commands read as standard output or as the location of a store.
fn check_name(file: &Path) -> Result<(), Failure> {
    if source::is_standard(file) {
        return Err(Failure::Usage("a backup is a file and not written to standard output".into())
            .advise("Name a file, or take `larder export`."));
    }
    let names_itself = |name: &str| Store::file_of(name).is_ok_and(|named| named.as_deref() == Some(file));
    match file.to_str() {
        Some(name) if !name.is_empty() && !names_itself(name) => Err(Failure::Usage(format!(
            "a backup is a file, and {name:?} is something else where a store is named"
        ))
        .advise(format!("Name a file, or write ./{name} for one of that name."))),
        _ => Ok(()),
    }
}
