//! `larder backup`, `larder copy`: the same entries elsewhere.

use serde_json::json;

use crate::arguments::{Backup, Copy, Place};
use crate::failure::Failure;
use crate::opening::{open_to_read, open_to_write};
use crate::output::Output;
use crate::progress;
use crate::text::counted;

pub fn backup(command: &Backup, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let opened = place.whole("backup")?.reading()?;
    let spinner = progress::spinner("copying the store");
    let done = opened.whole.backup_to(&command.file);
    spinner.finish_and_clear();
    done.map_err(|error| match error {
        // It is not the store that failed.
        larder::Error::NotFound { .. } | larder::Error::Denied { .. } => {
            Failure::Refused(format!("the copy cannot be made: {error}"))
        }
        other => other.into(),
    })?;
    let name = command.file.display().to_string();
    let words = format!("the store was copied to {}", crate::text::one_line(&name));
    output.answer(&json!({ "backup": name }), &words, None)
}

pub fn copy(command: &Copy, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let from = open_to_read(&command.from, false)?;
    let to = open_to_write(&command.to, true)?;
    let spinner = progress::spinner("copying entries");
    let copied = match &place.namespace {
        None => from.copy_to(&to),
        Some(namespace) => from.scoped(namespace).and_then(|tenant| tenant.copy_to(&to.scoped(namespace)?)),
    };
    spinner.finish_and_clear();
    let copied = copied?;
    let words = format!("{} copied", counted(copied, "entry"));
    output.answer(&json!({ "copied": copied }), &words, Some(&copied.to_string()))
}
