//! `larder watch`: prints changes as they happen.

use std::sync::Arc;

use larder::{Entry, Error, ErrorKind, Event, EventKind, Mirror, Pattern, Revision, Since, Update, Watcher};

use super::cursor::cursors;
use super::interrupt::{at_ctrl_c, close_at_ctrl_c};
use crate::arguments::{Place, Watch};
use crate::failure::Failure;
use crate::opening::within;
use crate::output::{Form, Output, Tone, remark, warn};
use crate::records::{SnapshotRecord, expiry_field};
use crate::text::{brief, shown};
use crate::times;

/// The most events that a cursor prints before it acknowledges them, if they are available at once. Each
/// acknowledgement is a write that waits for the disk.
const BURST_MAX: usize = 256;

pub fn run(command: &Watch, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let pattern = pattern_of(command)?;
    if let Some(name) = &command.cursor {
        return resume(name, pattern, command.since.clone(), place, output);
    }
    let opened = place.watching()?;
    if command.snapshot {
        let mirror = within!(opened, store => store.mirror(pattern))?;
        close_at_ctrl_c(&opened.whole)?;
        return for_each_update(mirror, output);
    }
    let watcher = within!(opened, store => match command.since.clone() {
        Some(since) => store.watch_from(pattern, since),
        None => store.watch(pattern),
    })?;
    close_at_ctrl_c(&opened.whole)?;
    for_each_event(&watcher, |event| {
        print(&event, output)?;
        output.flush()
    })
}

fn pattern_of(command: &Watch) -> Result<Pattern, Failure> {
    let group = command.group.as_deref();
    Ok(match (group, &command.prefix) {
        (None, Some(prefix)) => Pattern::group_prefix(prefix),
        (Some("*"), Some(_)) => {
            return Err(Failure::Usage("--prefix may be that of a group or of its keys".into())
                .advise("Name the GROUP whose keys start with it, or leave * out for groups that do."));
        }
        (Some(group), Some(prefix)) => Pattern::key_prefix(group, prefix),
        (group, None) => Pattern::from((group.unwrap_or("*"), command.key.as_deref().unwrap_or("*"))),
    })
}

/// Continues where the cursor stopped. Acknowledges events only after they are flushed, so that a crash in
/// between skips nothing.
fn resume(
    name: &str,
    pattern: Pattern,
    since: Option<Since>,
    place: &Place,
    output: &mut Output,
) -> Result<(), Failure> {
    let opened = place.watching_to_write()?;
    if since.is_some() && cursors(&opened)?.iter().any(|cursor| cursor.name == name) {
        remark(&format!(
            "the cursor {name} continues where it stopped and ignores --since; move it with `larder cursor seek`"
        ));
    }
    let cursor = Arc::new(within!(opened, store => match since {
        Some(since) => store.cursor_from(name, pattern, since),
        None => store.cursor_on(name, pattern),
    })?);
    // Ctrl-C closes the cursor and not the store, so that printed events can still be acknowledged.
    let closing = Arc::clone(&cursor);
    at_ctrl_c(move || closing.close())?;
    while let Some(mut last) = next(|| cursor.recv().map(Some))? {
        print(&last, output)?;
        for _ in 1..BURST_MAX {
            let Some(event) = next(|| cursor.try_recv())? else { break };
            print(&event, output)?;
            last = event;
        }
        output.flush()?;
        cursor.ack(&last)?;
    }
    Ok(())
}

/// Returns the next event; `None` if there is none now, or no more will come. Warns of a gap.
fn next(mut receive: impl FnMut() -> larder::Result<Option<Event>>) -> Result<Option<Event>, Failure> {
    loop {
        match receive() {
            Ok(event) => return Ok(event),
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(None),
            Err(error @ Error::Compacted { .. }) => warn_of_gap(&error),
            Err(error) => return Err(error.into()),
        }
    }
}

fn for_each_update(mirror: Mirror, output: &mut Output) -> Result<(), Failure> {
    for update in mirror {
        match update {
            Ok(Update::Entry(group, entry)) => print_entry(&group, &entry, output)?,
            Ok(Update::Current(revision)) => print_mark(revision, output)?,
            Ok(Update::Change(event)) => print(&event, output)?,
            Err(error @ Error::Compacted { .. }) => warn_of_gap(&error),
            Err(error) => return Err(error.into()),
        }
        output.flush()?;
    }
    Ok(())
}

/// Prints an existing entry on a line.
fn print_entry(group: &str, entry: &Entry, output: &mut Output) -> Result<(), Failure> {
    match output.form() {
        Form::Json => output.json(&SnapshotRecord::Entry { group, entry }),
        Form::Plain => output.fields(&[
            entry.revision.to_string().as_bytes(),
            b"entry",
            group.as_bytes(),
            entry.key.as_bytes(),
            entry.value.as_bytes(),
            expiry_field(entry.expires_at).as_bytes(),
        ]),
        Form::Table => {
            let (group, key) = (shown(group.as_bytes()), shown(entry.key.as_bytes()));
            let (key, value) = (output.tinted(Tone::Name, &key), brief(entry.value.as_bytes()));
            output.line(&format!("{group} {key} = {value}"))
        }
    }
}

/// Prints the line between the existing entries and the changes.
fn print_mark(revision: Revision, output: &mut Output) -> Result<(), Failure> {
    match output.form() {
        Form::Json => output.json(&SnapshotRecord::Current { revision }),
        Form::Plain => output.fields(&[revision.to_string().as_bytes(), b"current"]),
        Form::Table => {
            let line = output.tinted(Tone::Faint, &format!("as of revision {revision}; changes follow"));
            output.line(&line)
        }
    }
}

/// Warns that the watcher continues after a gap.
fn warn_of_gap(error: &Error) {
    warn(&format!("changes were missed: {error}"), "List what is there now.");
}

/// Calls `take` with each event until the store is closed.
fn for_each_event(
    watcher: &Watcher,
    mut take: impl FnMut(Event) -> Result<(), Failure>,
) -> Result<(), Failure> {
    while let Some(event) = next(|| watcher.recv().map(Some))? {
        take(event)?;
    }
    Ok(())
}

/// Prints an event on a line.
pub fn print(event: &Event, output: &mut Output) -> Result<(), Failure> {
    match output.form() {
        Form::Json => output.json(event),
        Form::Plain => output.fields(&[
            event.revision.to_string().as_bytes(),
            event.kind.as_str().as_bytes(),
            event.group.as_bytes(),
            event.key.as_deref().unwrap_or("-").as_bytes(),
            event.value.as_ref().map_or(b"-", |value| value.as_bytes()),
            expiry_field(event.expires_at).as_bytes(),
            times::written(event.at).as_bytes(),
        ]),
        Form::Table => {
            let at = output.tinted(Tone::Faint, &times::written(event.at));
            let kind = match event.kind {
                EventKind::Set => output.tinted(Tone::Good, "set    "),
                EventKind::Expire => output.tinted(Tone::Faint, "expired"),
                _ => output.tinted(Tone::Bad, "deleted"),
            };
            let mut line = format!("{at}  {:>6}  {kind}  {}", event.revision, shown(event.group.as_bytes()));
            match &event.key {
                Some(key) => line += &format!(" {}", output.tinted(Tone::Name, &shown(key.as_bytes()))),
                None => line += " with all its keys",
            }
            if let Some(value) = &event.value {
                line += &format!(" = {}", brief(value.as_bytes()));
            }
            if let Some(expiry) = event.expires_at.filter(|_| event.kind == EventKind::Set) {
                let until = format!(" (expires {})", times::from_now(expiry));
                line += &output.tinted(Tone::Faint, &until);
            }
            output.line(&line)
        }
    }
}
