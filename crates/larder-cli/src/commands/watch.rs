//! `larder watch`: prints changes as they happen.

use std::sync::Arc;

use larder::{Entry, Error, ErrorKind, Event, EventKind, Mirror, Pattern, Revision, Store, Update};

use super::cursor::cursors;
use super::interrupt::{at_ctrl_c, close_at_ctrl_c};
use super::watchdog::Watchdog;
use crate::arguments::{Place, Watch};
use crate::failure::Failure;
use crate::notice::Notice;
use crate::opening::{incomplete, left_out, within};
use crate::output::{Form, Output, Tone, remark};
use crate::records::{SnapshotRecord, expiry_field};
use crate::text::{brief, shown};
use crate::times;

/// The most events that a cursor prints before it acknowledges them, if they are available at once. Each
/// acknowledgement is a write that waits for the disk.
const BURST_MAX: usize = 256;

pub fn run(command: &Watch, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let pattern = pattern_of(command)?;
    if let Some(name) = &command.cursor {
        return resume(name, pattern, command, place, output);
    }
    let opened = place.watching()?;
    if command.snapshot {
        let mirror = within!(opened, store => store.mirror(pattern))?;
        close_at_ctrl_c(&opened.whole)?;
        let watchdog = closing_watchdog(command, &opened.whole)?;
        let is_complete = for_each_update(mirror, &opened.whole, output)?;
        watchdog.verdict()?;
        return if is_complete { Ok(()) } else { Err(incomplete(&place.store)) };
    }
    let watcher = within!(opened, store => match command.since.clone() {
        Some(since) => store.watch_from(pattern, since),
        None => store.watch(pattern),
    })?;
    close_at_ctrl_c(&opened.whole)?;
    let watchdog = closing_watchdog(command, &opened.whole)?;
    while let Some(event) = next(output, || watcher.recv().map(Some))? {
        print(&event, output)?;
        output.flush()?;
    }
    watchdog.verdict()
}

/// Closes the store, and so ends the command, once the feed has failed for too long.
fn closing_watchdog(command: &Watch, store: &Store) -> Result<Watchdog, Failure> {
    let closing = store.clone();
    Watchdog::of_feed(store, command.fail_after, move || drop(closing.close()))
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
    command: &Watch,
    place: &Place,
    output: &mut Output,
) -> Result<(), Failure> {
    let since = command.since.clone();
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
    let closing = Arc::clone(&cursor);
    let watchdog = Watchdog::of_feed(&opened.whole, command.fail_after, move || closing.close())?;
    while let Some(mut last) = next(output, || cursor.recv().map(Some))? {
        print(&last, output)?;
        for _ in 1..BURST_MAX {
            let Some(event) = next(output, || cursor.try_recv())? else { break };
            print(&event, output)?;
            last = event;
        }
        output.flush()?;
        cursor.ack(&last)?;
    }
    watchdog.verdict()
}

/// Returns the next event; `None` if there is none now, or no more will come. Warns of a gap.
fn next(
    output: &Output,
    mut receive: impl FnMut() -> larder::Result<Option<Event>>,
) -> Result<Option<Event>, Failure> {
    loop {
        match receive() {
            Ok(event) => return Ok(event),
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(None),
            Err(
                error @ (Error::Compacted { .. } | Error::Restored { .. } | Error::ClusterRestored { .. }),
            ) => warn_of_gap(&error, output),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Prints the updates until the store is closed. Returns whether none was left out since it cannot be read.
fn for_each_update(mirror: Mirror, store: &Store, output: &mut Output) -> Result<bool, Failure> {
    let mut is_complete = true;
    for update in mirror {
        match update {
            Ok(Update::Entry(group, entry)) => print_entry(&group, &entry, output)?,
            Ok(Update::Current(revision)) => {
                // A store that is closed does not say.
                is_complete = left_out(store).map_or(is_complete, |left_out| left_out == 0);
                print_mark(revision, output)?;
            }
            Ok(Update::Change(event)) => print(&event, output)?,
            Err(
                error @ (Error::Compacted { .. } | Error::Restored { .. } | Error::ClusterRestored { .. }),
            ) => warn_of_gap(&error, output),
            Err(error) => return Err(error.into()),
        }
        output.flush()?;
    }
    Ok(is_complete)
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
fn warn_of_gap(error: &Error, output: &Output) {
    let warning = Notice::warning("changes were missed").because(error);
    output.warn(&warning.advise("List what is there now."));
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
