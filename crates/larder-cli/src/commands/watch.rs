//! `larder watch`

use larder::{Error, Event, EventKind, Pattern, Watcher};

use super::interrupt::close_at_ctrl_c;
use crate::arguments::{Place, Watch};
use crate::failure::Failure;
use crate::opening::within;
use crate::output::{Form, Output, Tone, complain};
use crate::records::{EventRecord, expiry_field};
use crate::text::{brief, shown};
use crate::times;

pub fn run(command: &Watch, place: &Place, output: &mut Output) -> Result<(), Failure> {
    let group = command.group.as_deref().unwrap_or("*");
    let pattern = Pattern::from((group, command.key.as_deref().unwrap_or("*")));
    let opened = place.watching()?;
    let watcher = within!(opened, store => match command.since {
        Some(revision) => store.watch_from(pattern, revision),
        None => store.watch(pattern),
    })?;
    close_at_ctrl_c(&opened.whole)?;
    for_each_event(&watcher, |event| {
        print(&event, output)?;
        output.flush()
    })
}

/// Hands over each event as it comes, until the store is closed.
pub fn for_each_event(
    watcher: &Watcher,
    mut take: impl FnMut(Event) -> Result<(), Failure>,
) -> Result<(), Failure> {
    loop {
        match watcher.recv() {
            Ok(event) => take(event)?,
            Err(Error::Closed) => return Ok(()),
            // The watcher goes on after the gap; whoever reads has to know of it.
            Err(error @ Error::Compacted { .. }) => {
                complain("warning", &format!("changes were missed: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// An event on a line.
pub fn print(event: &Event, output: &mut Output) -> Result<(), Failure> {
    match output.form() {
        Form::Json => output.json(&EventRecord::of(event)),
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
