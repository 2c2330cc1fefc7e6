//! `larder retention`: lists, sets and removes histories, which say how much of the change log is kept for which groups.

use larder::{History, HistoryInfo};
use serde_json::json;

use crate::arguments::{Place, Retention, RetentionRemove, RetentionSet};
use crate::failure::Failure;
use crate::opening::{Opened, within};
use crate::output::{Form, Output};
use crate::text::{counted, size};

pub fn run(command: &Retention, place: &Place, output: &mut Output) -> Result<(), Failure> {
    match command {
        Retention::List => list(&histories(&place.reading()?)?, output),
        Retention::Set(command) => set(command, place, output),
        Retention::Remove(command) => remove(command, place, output),
    }
}

fn histories(opened: &Opened) -> Result<Vec<HistoryInfo>, Failure> {
    Ok(within!(opened, store => store.histories())?)
}

fn list(histories: &[HistoryInfo], output: &mut Output) -> Result<(), Failure> {
    match output.form() {
        Form::Json => histories.iter().try_for_each(|history| output.json(history)),
        Form::Plain => histories
            .iter()
            .try_for_each(|history| output.fields(&fields(history).each_ref().map(String::as_bytes))),
        Form::Table if histories.is_empty() => {
            output.line("There are no histories; `larder retention set PREFIX` begins one.")
        }
        Form::Table => {
            let rows = histories.iter().map(|history| {
                vec![
                    format!("{}*", history.prefix),
                    in_words(&history.bounds),
                    history.changes.to_string(),
                    size(history.bytes),
                    history.from.to_string(),
                ]
            });
            let headings = ["groups", "kept", ">changes", ">size", ">from revision"];
            output.table(&headings, rows.collect())
        }
    }
}

/// Returns the fields of a history for plain output. Without a limit, the age is 0.
fn fields(history: &HistoryInfo) -> [String; 7] {
    let HistoryInfo { bounds, .. } = history;
    [
        history.prefix.clone(),
        bounds.changes.to_string(),
        bounds.bytes.to_string(),
        bounds.age.map_or(0, |age| age.as_millis()).to_string(),
        history.changes.to_string(),
        history.bytes.to_string(),
        history.from.to_string(),
    ]
}

fn in_words(bounds: &History) -> String {
    if bounds.is_none() {
        return "nothing".into();
    }
    let age = bounds.age.map_or_else(String::new, |age| format!(", {}", humantime::format_duration(age)));
    format!("{}, {}{age}", counted(bounds.changes, "change"), size(bounds.bytes))
}

fn set(command: &RetentionSet, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let RetentionSet { prefix, changes, bytes, age, none } = command;
    let opened = place.writing()?;
    let before = find(&opened, prefix)?.map(|history| history.bounds).filter(|bounds| !bounds.is_none());
    let bounds = if *none {
        History::NONE
    } else {
        let before = before.unwrap_or_default();
        History {
            changes: changes.unwrap_or(before.changes),
            bytes: bytes.unwrap_or(before.bytes),
            age: age.or(before.age).filter(|age| !age.is_zero()),
        }
    };
    opened.whole.set_history(in_full(&opened, prefix), bounds)?;
    match (output.form(), find(&opened, prefix)?) {
        (Form::Json, Some(history)) => output.json(&history),
        _ => {
            let kept = in_words(&bounds);
            output.answer(
                &json!({ "set": 1 }),
                &format!("of the groups {prefix}*, larder keeps {kept}"),
                Some("1"),
            )
        }
    }
}

fn remove(command: &RetentionRemove, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let prefix = &command.prefix;
    let opened = place.changing()?;
    if !opened.whole.remove_history(in_full(&opened, prefix))? {
        return Err(Failure::NotFound(format!("the groups {prefix}* have no history of their own"))
            .advise("See which have one with `larder retention list`."));
    }
    let words = format!("the groups {prefix}* have no history of their own any more");
    output.answer(&json!({ "removed": 1 }), &words, Some("1"))
}

/// The prefix as the whole store names it, which alone sets histories.
fn in_full(opened: &Opened, prefix: &str) -> String {
    match &opened.tenant {
        Some(tenant) => format!("{}:{prefix}", tenant.namespace()),
        None => prefix.to_owned(),
    }
}

fn find(opened: &Opened, prefix: &str) -> Result<Option<HistoryInfo>, Failure> {
    Ok(histories(opened)?.into_iter().find(|history| history.prefix == *prefix))
}
