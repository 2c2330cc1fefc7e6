//! `larder backup`

use serde_json::json;

use crate::arguments::{Backup, Place};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress;

pub fn run(command: &Backup, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let opened = place.whole("backup")?.reading()?;
    let spinner = progress::spinner("copying the store");
    let done = opened.whole.backup_to(&command.file);
    spinner.finish_and_clear();
    done.map_err(|error| match error {
        // It is not the store that failed.
        larder::Error::NoStore { .. } | larder::Error::Denied { .. } => {
            Failure::Refused(format!("the copy cannot be made: {error}"))
        }
        other => other.into(),
    })?;
    let name = command.file.display().to_string();
    let words = format!("the store was copied to {}", crate::text::one_line(&name));
    output.answer(&json!({ "backup": name }), &words, None)
}
