//! `larder set`: sets a key.

use larder::Condition;
use serde_json::json;

use crate::arguments::{Place, Set};
use crate::failure::Failure;
use crate::opening::within;
use crate::output::Output;
use crate::{source, text};

/// What a store takes, unless its options say otherwise.
const VALUE_BYTES_MAX: u64 = 64 << 20;

pub fn run(command: &Set, place: &Place, output: &mut Output) -> Result<(), Failure> {
    // Read the input first, so that a slow or failing input does not leave an empty new store.
    let value = if command.value == "-" {
        source::standard_input(VALUE_BYTES_MAX)?
    } else {
        command.value.as_encoded_bytes().to_vec()
    };
    let condition = match command.if_revision {
        Some(revision) => Some(Condition::Revision(revision)),
        None => command.if_absent.then_some(Condition::Absent),
    };
    let (group, key) = (&command.group, &command.key);
    let opened = place.writing()?;
    let mut batch = within!(opened, store => store.batch());
    if let Some(condition) = condition {
        batch = batch.require(group, key, condition);
    }
    let revision = match command.ttl {
        Some(ttl) => batch.set_with_ttl(group, key, value, ttl),
        None => batch.set(group, key, value),
    }
    .commit()?;
    let words = format!(
        "{} {} is set (revision {revision})",
        text::shown(group.as_bytes()),
        text::shown(key.as_bytes())
    );
    output.answer(&json!({ "revision": revision.0 }), &words, Some(&revision.to_string()))
}
