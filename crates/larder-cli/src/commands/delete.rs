//! `larder delete`: deletes a key, a group, or every group under a prefix.

use serde_json::json;

use super::confirm::confirm;
use super::no_entry;
use crate::arguments::{Delete, Place};
use crate::failure::Failure;
use crate::opening::{Opened, within};
use crate::output::Output;
use crate::text::counted;

pub fn run(command: &Delete, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let target = Target::of(command)?;
    let opened = place.changing()?;
    let ask = !command.yes;
    let deleted = match target {
        Target::Key(group, key) => delete_key(&opened, group, key, ask)?,
        Target::Group(group) => delete_group(&opened, group, ask)?,
        Target::Prefix(prefix) => delete_prefix(&opened, prefix, ask)?,
    };
    let words = format!("{} deleted", counted(deleted, "key"));
    output.answer(&json!({ "deleted": deleted }), &words, Some(&deleted.to_string()))
}

/// What to delete.
enum Target<'a> {
    Key(&'a str, &'a str),
    Group(&'a str),
    Prefix(&'a str),
}

impl<'a> Target<'a> {
    /// Requires --all for a whole group, because the user may have forgotten the key, and for an empty prefix,
    /// because it may be an unset variable.
    fn of(command: &'a Delete) -> Result<Self, Failure> {
        match (&command.group, &command.key, &command.prefix) {
            (_, _, Some(prefix)) if prefix.is_empty() && !command.all => {
                Err(Failure::Usage("every group starts with an empty --prefix".into())
                    .advise("Give --all too to delete everything."))
            }
            (_, _, Some(prefix)) if !prefix.is_empty() && command.all => {
                Err(Failure::Usage("--all is for one GROUP, or for an empty --prefix".into())
                    .advise("Leave --all out."))
            }
            (_, _, Some(prefix)) => Ok(Self::Prefix(prefix)),
            (Some(group), Some(key), None) => Ok(Self::Key(group, key)),
            (Some(group), None, None) if command.all => Ok(Self::Group(group)),
            (Some(group), None, None) => {
                Err(Failure::Usage(format!("no key of the group {group:?} is named"))
                    .advise("Name a KEY, or use --all to delete the whole group."))
            }
            (None, ..) if command.all => Err(Failure::Usage("no group is named".into())
                .advise("Name the GROUP to delete, or use --all --prefix '' to delete everything.")),
            (None, ..) => {
                Err(Failure::Usage("no entry is named".into())
                    .advise("Name a GROUP and a KEY, or use --prefix."))
            }
        }
    }
}

fn delete_key(opened: &Opened, group: &str, key: &str, ask: bool) -> Result<u64, Failure> {
    if ask && opened.view().exists(group, key)? {
        confirm(&format!("Delete the key {key:?} from the group {group:?}?"))?;
    }
    match within!(opened, store => store.delete(group, key))? {
        true => Ok(1),
        false => Err(no_entry(group, key)),
    }
}

fn delete_group(opened: &Opened, group: &str, ask: bool) -> Result<u64, Failure> {
    let keys = opened.view().count(group)?;
    if ask && keys > 0 {
        confirm(&format!("Delete the group {group:?} with {}?", counted(keys, "key")))?;
    }
    match within!(opened, store => store.delete_group(group))? {
        0 => Err(Failure::NotFound(format!("there is no group {group:?}"))
            .advise("See which there are with `larder list`.")),
        deleted => Ok(deleted),
    }
}

fn delete_prefix(opened: &Opened, prefix: &str, ask: bool) -> Result<u64, Failure> {
    if ask {
        let groups = opened.view().groups(prefix)?;
        let keys = groups.iter().map(|group| group.keys).sum();
        if !groups.is_empty() {
            let groups = counted(groups.len() as u64, "group");
            let which = if prefix.is_empty() { String::new() } else { format!(" under {prefix:?}") };
            confirm(&format!("Delete {groups}{which} with {}?", counted(keys, "key")))?;
        }
    }
    match within!(opened, store => store.delete_prefix(prefix))? {
        0 => Err(Failure::NotFound(format!("there is no group under {prefix:?}"))
            .advise("See which there are with `larder list`.")),
        deleted => Ok(deleted),
    }
}
