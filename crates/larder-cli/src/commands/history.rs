//! `larder history`: prints the changes of one key.

use larder::Event;

use super::watch;
use crate::arguments::{Key, Place};
use crate::failure::Failure;
use crate::opening::within;
use crate::output::{Form, Output, remark};
use crate::text::shown;
use crate::times;

pub fn run(Key { group, key }: &Key, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let opened = place.reading()?;
    let events = within!(opened, store => store.history(group, key))?;
    match output.form() {
        Form::Json | Form::Plain => events.iter().try_for_each(|event| watch::print(event, output)),
        Form::Table if events.is_empty() => {
            remark(&format!("The change log has no change of the key {key:?} in the group {group:?}."));
            Ok(())
        }
        Form::Table => {
            let rows = events.iter().map(row).collect();
            output.table(&["revision", "when", "what", "value", "expires"], rows)
        }
    }
}

fn row(event: &Event) -> Vec<String> {
    vec![
        event.revision.to_string(),
        times::written(event.at),
        event.kind.as_str().replace('_', " "),
        event.value.as_ref().map(|value| shown(value.as_bytes())).unwrap_or_default(),
        event.expires_at.map(times::written).unwrap_or_default(),
    ]
}
