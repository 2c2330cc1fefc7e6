//! `larder touch`, `larder persist` and `larder purge`: change expiries and delete expired entries.

use serde_json::json;

use super::no_entry;
use crate::arguments::{Key, Place, Touch};
use crate::failure::Failure;
use crate::opening::{Opened, within};
use crate::output::{Form, Output};
use crate::records::EntryRecord;
use crate::text::{counted, shown};
use crate::times;

pub fn touch(command: &Touch, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let (group, key) = (&command.group, &command.key);
    let opened = place.changing()?;
    if !within!(opened, store => store.touch(group, key, command.ttl))? {
        return Err(no_entry(group, key));
    }
    show(&opened, group, key, output)
}

pub fn persist(Key { group, key }: &Key, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let opened = place.changing()?;
    if !within!(opened, store => store.persist(group, key))? {
        return Err(no_entry(group, key));
    }
    show(&opened, group, key, output)
}

pub fn purge(place: &Place, output: &mut Output) -> Result<(), Failure> {
    let opened = place.changing()?;
    let purged = within!(opened, store => store.purge_expired())?;
    let words = format!("purged {}", counted(purged, "expired entry"));
    output.answer(&json!({ "purged": purged }), &words, Some(&purged.to_string()))
}

/// Prints when an entry expires.
fn show(opened: &Opened, group: &str, key: &str, output: &mut Output) -> Result<(), Failure> {
    // With a short TTL, it may have expired already.
    let entry = opened.view().entry(group, key)?;
    match output.form() {
        Form::Json => output.json(&entry.as_ref().map(|entry| EntryRecord { group, entry })),
        Form::Plain => Ok(()),
        Form::Table => {
            let name = format!("{} {}", shown(group.as_bytes()), shown(key.as_bytes()));
            output.line(&match entry.map(|entry| entry.expires_at) {
                None => format!("{name} has expired"),
                Some(None) => format!("{name} does not expire"),
                Some(Some(at)) => {
                    format!("{name} expires {}, at {}", times::from_now(at), times::written(at))
                }
            })
        }
    }
}
