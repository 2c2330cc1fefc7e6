//! `larder increment`: adds to a number.

use crate::arguments::{Increment, Place};
use crate::failure::Failure;
use crate::opening::within;
use crate::output::Output;

pub fn run(command: &Increment, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let opened = place.writing()?;
    let sum = within!(opened, store => store.increment(&command.group, &command.key, command.by))?;
    output.answer(&sum, &sum.to_string(), Some(&sum.to_string()))
}
