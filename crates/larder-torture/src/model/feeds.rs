//! Watchers, mirrors, cursors and callbacks: each is told every change of its pattern once and in order, within a bound.

use std::time::Duration;

use larder::{AsyncCursor, AsyncMirror, AsyncWatcher, Cursor, Error, Event, Mirror, Result, Update, Watcher};

use super::Outcome;
use super::face::{BOUND, Driver};
use super::looks::failed;
use super::plain::Plain;
use super::run::Began;
use super::wanted::Wanted;

/// What receives events.
pub enum Source {
    Watcher(Watcher),
    AsyncWatcher(AsyncWatcher),
    Cursor(Cursor),
    AsyncCursor(AsyncCursor),
    Mirror(Mirror),
    AsyncMirror(AsyncMirror),
}

/// One that receives events, and how far it is.
pub struct Feed {
    pub source: Source,
    pub wanted: Wanted,
    /// The name of a cursor.
    pub name: Option<&'static str>,
    /// The place in the log after the last event that it received.
    pub position: usize,
    /// The places of the events that it received and may acknowledge.
    pub received: Vec<usize>,
}

impl Source {
    /// The next event, if one comes within `timeout`; zero does not wait.
    fn receive(&mut self, driver: &Driver, timeout: Duration) -> Result<Option<Event>> {
        let is_now = timeout.is_zero();
        match self {
            Self::Watcher(watcher) => watcher.recv_timeout(timeout),
            Self::Cursor(cursor) => cursor.recv_timeout(timeout),
            Self::Mirror(mirror) => mirror.recv_timeout(timeout).map(change),
            Self::AsyncWatcher(watcher) if is_now => driver.wait(watcher.try_recv()),
            Self::AsyncCursor(cursor) if is_now => driver.wait(cursor.try_recv()),
            Self::AsyncMirror(mirror) if is_now => driver.wait(mirror.try_recv()).map(change),
            Self::AsyncWatcher(watcher) => driver.within(timeout, watcher.recv()),
            Self::AsyncCursor(cursor) => driver.within(timeout, cursor.recv()),
            Self::AsyncMirror(mirror) => driver.within(timeout, mirror.recv()).map(change),
        }
    }

    /// Begins to receive, and drops the future. The event, if it was there already.
    fn receive_and_drop(&mut self, driver: &Driver) -> Option<Event> {
        let received = match self {
            Self::AsyncWatcher(watcher) => driver.wait(watcher.recv()).map(Some),
            Self::AsyncCursor(cursor) => driver.wait(cursor.recv()).map(Some),
            Self::AsyncMirror(mirror) => driver.wait(mirror.recv()).map(|update| change(Some(update))),
            Self::Watcher(_) | Self::Cursor(_) | Self::Mirror(_) => Ok(None),
        };
        driver.was_cut();
        received.ok().flatten()
    }
}

fn change(update: Option<Update>) -> Option<Event> {
    match update {
        Some(Update::Change(event)) => Some(event),
        _ => None,
    }
}

impl Feed {
    pub fn new(source: Source, wanted: Wanted, position: usize) -> Self {
        Self { source, wanted, name: None, position, received: Vec::new() }
    }

    /// The next event that it has to receive.
    fn next<'a>(&self, log: &'a [Event]) -> Option<(usize, &'a Event)> {
        let rest = log.iter().enumerate().skip(self.position);
        rest.into_iter().find(|(_, event)| self.wanted.matches(&event.group, event.key.as_deref()))
    }

    /// Where a cursor is once the event at a place is acknowledged: after the whole commit, if that has no more for it.
    pub fn position_after(&self, place: usize, log: &[Event]) -> usize {
        let commit = log[place].revision;
        let rest = &log[place + 1..];
        let rest = &rest[..rest.partition_point(|event| event.revision == commit)];
        let has_more = rest.iter().any(|event| self.wanted.matches(&event.group, event.key.as_deref()));
        if has_more { place + 1 } else { place + 1 + rest.len() }
    }

    fn take(&mut self, event: &Event, log: &[Event]) -> Outcome {
        match self.next(log) {
            Some((index, expected)) if expected == event => {
                self.position = index + 1;
                self.received.push(index);
                Ok(())
            }
            expected => Err(format!("{} received {event:?} instead of {expected:?}", self.what())),
        }
    }

    /// Receives all there is.
    pub fn receive_all(&mut self, driver: &Driver, log: &[Event]) -> Outcome {
        loop {
            let expected = self.next(log);
            let timeout = if expected.is_some() { BOUND } else { Duration::ZERO };
            let what = self.what();
            match (self.source.receive(driver, timeout).map_err(failed(&what))?, expected) {
                (None, None) => return Ok(()),
                (None, Some((_, expected))) => {
                    return Err(format!("{what} was not told {expected:?} within {BOUND:?}"));
                }
                (Some(event), _) => self.take(&event, log)?,
            }
        }
    }

    /// Begins to receive, and drops the future: nothing is lost.
    pub fn receive_and_drop(&mut self, driver: &Driver, log: &[Event]) -> Outcome {
        // A future that is ready may be an event.
        match self.source.receive_and_drop(driver) {
            Some(event) => self.take(&event, log),
            None => Ok(()),
        }
    }

    /// Compares the entries that a new mirror gives first.
    pub fn receive_entries(&mut self, driver: &Driver, plain: &Plain, began: Began) -> Outcome {
        let expected = plain.rows.iter().filter(|((group, key), _)| self.wanted.matches(group, Some(key)));
        let mut expected = expected.map(|((group, key), row)| (group, began.entry(key, row)));
        loop {
            let update = match &mut self.source {
                Source::Mirror(mirror) => driver.now(|| mirror.recv_timeout(BOUND)),
                Source::AsyncMirror(mirror) => driver.within(BOUND, mirror.recv()),
                _ => return Ok(()),
            };
            match (update.map_err(failed("the mirror"))?, expected.next()) {
                (Some(Update::Entry(group, entry)), Some((of, own))) if group == *of && entry == own => {}
                (Some(Update::Current(revision)), None) if revision.0 == plain.revision => return Ok(()),
                (update, next) => return Err(format!("a new mirror gave {update:?} instead of {next:?}")),
            }
        }
    }

    /// Receives what a cursor says first after a restore.
    pub fn receive_restored(&mut self, driver: &Driver) -> Outcome {
        match self.source.receive(driver, Duration::ZERO) {
            Err(Error::Restored { .. }) => Ok(()),
            other => Err(format!("{} was told {other:?} after a restore", self.what())),
        }
    }

    fn what(&self) -> String {
        let kind = match &self.source {
            Source::Watcher(_) | Source::AsyncWatcher(_) => "the watcher",
            Source::Cursor(_) | Source::AsyncCursor(_) => "the cursor",
            Source::Mirror(_) | Source::AsyncMirror(_) => "the mirror",
        };
        format!("{kind} of {:?}", self.wanted)
    }

    /// Acknowledges an event.
    pub fn acknowledge(&self, driver: &Driver, event: &Event) -> Result<()> {
        match &self.source {
            Source::Cursor(cursor) => driver.now(|| cursor.ack(event)),
            Source::AsyncCursor(cursor) => driver.wait(cursor.ack(event)),
            _ => Ok(()),
        }
    }

    /// Moves a cursor.
    pub fn seek(&mut self, driver: &Driver, after: u64) -> Result<()> {
        match &mut self.source {
            Source::Cursor(cursor) => driver.now(|| cursor.seek(after)),
            Source::AsyncCursor(cursor) => driver.wait(cursor.seek(after)),
            _ => Ok(()),
        }
    }
}
