//! `larder count`: counts keys.

use crate::arguments::{Count, Place};
use crate::failure::Failure;
use crate::output::Output;

pub fn run(command: &Count, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let opened = place.reading()?;
    let view = opened.view();
    let count = match &command.group {
        Some(group) => view.count(group)?,
        None => view.count_all(command.prefix.as_deref().unwrap_or_default())?,
    };
    output.answer(&count, &count.to_string(), Some(&count.to_string()))
}
