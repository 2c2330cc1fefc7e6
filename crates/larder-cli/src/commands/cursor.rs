//! `larder cursor`: lists, moves and deletes named cursors.

use larder::CursorInfo;
use serde_json::json;

use super::confirm::confirm;
use crate::arguments::{Cursor, CursorDelete, CursorSeek, Place};
use crate::failure::Failure;
use crate::opening::{Opened, within};
use crate::output::{Form, Output};
use crate::text::counted;
use crate::times;

pub fn run(command: &Cursor, place: &Place, output: &mut Output) -> Result<(), Failure> {
    match command {
        Cursor::List => list(&cursors(&place.reading()?)?, output),
        Cursor::Seek(command) => seek(command, place, output),
        Cursor::Delete(command) => delete(command, place, output),
    }
}

/// Returns the cursors of the namespace or the whole store.
pub fn cursors(opened: &Opened) -> Result<Vec<CursorInfo>, Failure> {
    Ok(within!(opened, store => store.cursors())?)
}

fn list(cursors: &[CursorInfo], output: &mut Output) -> Result<(), Failure> {
    match output.form() {
        Form::Json => cursors.iter().try_for_each(|cursor| output.json(cursor)),
        Form::Plain => cursors
            .iter()
            .try_for_each(|cursor| output.fields(&fields(cursor).each_ref().map(String::as_bytes))),
        Form::Table if cursors.is_empty() => {
            output.line("There are no cursors; `larder watch --cursor NAME` creates one.")
        }
        Form::Table => table(cursors, output),
    }
}

/// Returns the fields of a cursor for plain output.
pub fn fields(cursor: &CursorInfo) -> [String; 6] {
    [
        cursor.name.clone(),
        cursor.revision.to_string(),
        cursor.behind.to_string(),
        cursor.compacted.to_string(),
        times::written(cursor.moved_at),
        cursor.pattern.to_string(),
    ]
}

pub fn table(cursors: &[CursorInfo], output: &mut Output) -> Result<(), Failure> {
    let rows = cursors.iter().map(|cursor| {
        let behind = match (cursor.behind, cursor.compacted) {
            (behind, true) => format!("{}, some lost", counted(behind, "change")),
            (0, false) => "nothing".into(),
            (behind, false) => counted(behind, "change"),
        };
        vec![
            cursor.name.clone(),
            cursor.pattern.to_string(),
            cursor.revision.to_string(),
            behind,
            times::written(cursor.moved_at),
        ]
    });
    output.table(&["cursor", "of", ">revision", "behind by", "moved"], rows.collect())
}

fn seek(command: &CursorSeek, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let CursorSeek { name, since } = command;
    let opened = place.changing()?;
    // Fails here if it does not exist, because opening it would create it.
    let pattern = find(&opened, name)?.pattern;
    within!(opened, store => store.cursor_on(name, pattern.clone()))?.seek(since.clone())?;
    let cursor = find(&opened, name)?;
    let words = format!("the cursor {name} continues after revision {}", cursor.revision);
    output.answer(&cursor, &words, None)
}

fn delete(command: &CursorDelete, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let CursorDelete { name, yes } = command;
    let opened = place.changing()?;
    let cursor = find(&opened, name)?;
    if !yes {
        confirm(&format!("Delete the cursor {name:?}, which is at revision {}?", cursor.revision))?;
    }
    within!(opened, store => store.delete_cursor(name))?;
    output.answer(&json!({ "deleted": 1 }), &format!("deleted the cursor {name}"), Some("1"))
}

fn find(opened: &Opened, name: &str) -> Result<CursorInfo, Failure> {
    cursors(opened)?.into_iter().find(|cursor| cursor.name == name).ok_or_else(|| {
        Failure::NotFound(format!("there is no cursor {name:?}"))
            .advise("See which there are with `larder cursor list`.")
    })
}
