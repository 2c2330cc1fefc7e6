//! `larder get`: prints the value of a key.

use super::no_entry;
use crate::arguments::{Key, Place};
use crate::failure::Failure;
use crate::output::{Form, Output};
use crate::records::EntryRecord;

pub fn run(Key { group, key }: &Key, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let opened = place.reading()?;
    let entry = opened.view().entry(group, key)?.ok_or_else(|| no_entry(group, key))?;
    match output.form() {
        Form::Json => output.json(&EntryRecord { group, entry: &entry }),
        Form::Table | Form::Plain => output.raw(entry.value.as_bytes()),
    }
}
