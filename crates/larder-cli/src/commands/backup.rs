//! `larder backup`: copies the store to a new file.

use std::path::Path;

use larder::{Error, Store};
use serde_json::json;

use crate::arguments::{Backup, Place};
use crate::failure::Failure;
use crate::output::Output;
use crate::{progress, source};

pub fn run(command: &Backup, place: &Place, output: &mut Output) -> Result<(), Failure> {
    check_name(&command.file)?;
    let opened = place.whole("backup")?.reading()?;
    let spinner = progress::spinner("copying the store");
    let done = opened.whole.backup_to(&command.file);
    spinner.finish_and_clear();
    done.map_err(|error| match error {
        // It is not the store that failed.
        Error::BackupFailed { .. } => {
            let refused = Failure::Refused(format!("{error:#}"));
            match error.advice() {
                Some(advice) => refused.advise(advice),
                None => refused,
            }
        }
        other => other.into(),
    })?;
    let name = command.file.display().to_string();
    let words = format!("backed up the store to {}", crate::text::one_line(&name));
    output.answer(&json!({ "backup": name }), &words, None)
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
