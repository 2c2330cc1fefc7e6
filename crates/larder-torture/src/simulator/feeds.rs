//! A client's watchers, and the named cursor that the lives of one client share.

use std::time::Duration;

use larder::{AsyncCursor, AsyncWatcher, Cursor, Error, Event, Pattern, Result, Watcher};

use super::client::{Opened, Shared};
use super::history::{Change, Consumed, Identity, Watched};
use super::world;
use crate::face::{Caller, Face, call};
use crate::random::Random;

/// Within this time of the world a watcher has received whatever was written, once nothing befalls the run.
const CURRENT_WITHIN: Duration = Duration::from_secs(3);

/// How long to wait for what may be there.
const LOOK: Duration = Duration::from_millis(1);

const CURSOR: &str = "cursor";

fn change(event: &Event) -> (u64, Change) {
    let value = event.value.as_ref().map(|value| value.to_string_lossy().into_owned());
    let change =
        Change { kind: event.kind.to_string(), group: event.group.clone(), key: event.key.clone(), value };
    (event.revision.0, change)
}

enum AnyWatcher {
    Blocking(Watcher),
    Async(AsyncWatcher),
}

/// A watcher, and what it has received.
pub struct Watching {
    watcher: AnyWatcher,
    seen: Watched,
    /// Whether it has failed. Then it need not reach anything.
    failed: bool,
}

impl Watching {
    /// Watches everything from now on, or from the beginning.
    pub fn begin(opened: &Opened, client: &str, random: &mut Random) -> Option<Self> {
        let caller = Caller::patient(&opened.face);
        let after = if random.one_in(2) { 0 } else { call!(caller, |store| store.revision()).ok()?.0 };
        let watcher = match &opened.face {
            Face::Blocking(store) => AnyWatcher::Blocking(store.watch_from(Pattern::all(), after).ok()?),
            Face::Async(store, runtime) => {
                AnyWatcher::Async(runtime.block_on(store.watch_from(Pattern::all(), after)).ok()?)
            }
        };
        let (client, store) = (client.to_owned(), Identity::clone(&opened.identity));
        let seen = Watched { client, store, after, changes: Vec::new(), must_reach: 0 };
        Some(Self { watcher, seen, failed: false })
    }

    /// Receives what is there.
    pub fn look(&mut self, opened: &Opened) {
        while let Some(event) = self.next(opened, LOOK) {
            self.seen.changes.push(change(&event));
        }
    }

    fn next(&mut self, opened: &Opened, within: Duration) -> Option<Event> {
        let received = match (&mut self.watcher, &opened.face) {
            (AnyWatcher::Async(watcher), Face::Async(_, runtime)) => runtime
                .block_on(async { tokio::time::timeout(within, watcher.recv()).await })
                .map_or(Ok(None), |received| received.map(Some)),
            (AnyWatcher::Blocking(watcher), _) => watcher.recv_timeout(within),
            (AnyWatcher::Async(_), Face::Blocking(_)) => Ok(None),
        };
        match received {
            // A killed process is told nothing, and its last commit may be nobody's.
            Ok(event) => event.filter(|_| !world::is_dead()),
            Err(_) => {
                self.failed = true;
                None
            }
        }
    }

    /// Receives everything up to the latest commit, and hands over what it has seen.
    pub fn end(mut self, shared: &Shared, opened: &Opened) {
        if let Ok(latest) = opened.face.blocking().revision()
            && !self.failed
            && !world::is_dead()
        {
            while self.seen.changes.last().is_none_or(|(revision, _)| *revision < latest.0) {
                let Some(event) = self.next(opened, CURRENT_WITHIN) else { break };
                self.seen.changes.push(change(&event));
            }
            // The rest of the latest commit.
            self.look(opened);
            if !self.failed && !world::is_dead() && !world::is_disturbed() {
                self.seen.must_reach = latest.0;
            }
        }
        shared.has_watched(self.seen);
    }
}

enum AnyCursor {
    Blocking(Cursor),
    Async(AsyncCursor),
}

/// The consumer of the named cursor.
pub struct Consumer {
    cursor: AnyCursor,
    store: Identity,
}

impl Consumer {
    pub fn begin(shared: &Shared, opened: &Opened) -> Option<Self> {
        let store = Identity::clone(&opened.identity);
        shared.has_consumed(&store, Consumed::Opens);
        let cursor = match &opened.face {
            Face::Blocking(store) => AnyCursor::Blocking(store.cursor_from(CURSOR, Pattern::all(), 0).ok()?),
            Face::Async(store, runtime) => {
                AnyCursor::Async(runtime.block_on(store.cursor_from(CURSOR, Pattern::all(), 0)).ok()?)
            }
        };
        if !world::is_dead() {
            shared.has_consumed(&store, Consumed::Opened);
        }
        Some(Self { cursor, store })
    }

    fn receive(&mut self, opened: &Opened) -> Result<Option<Event>> {
        match (&mut self.cursor, &opened.face) {
            (AnyCursor::Async(cursor), Face::Async(_, runtime)) => runtime.block_on(cursor.try_recv()),
            (AnyCursor::Blocking(cursor), _) => cursor.try_recv(),
            (AnyCursor::Async(_), Face::Blocking(_)) => Ok(None),
        }
    }

    fn acknowledge(&self, opened: &Opened, event: &Event) -> Result<()> {
        match (&self.cursor, &opened.face) {
            (AnyCursor::Async(cursor), Face::Async(_, runtime)) => runtime.block_on(cursor.ack(event)),
            (AnyCursor::Blocking(cursor), _) => cursor.ack(event),
            (AnyCursor::Async(_), Face::Blocking(_)) => Err(Error::Closed),
        }
    }

    /// Receives a few changes, and acknowledges some of them.
    pub fn consume(&mut self, shared: &Shared, opened: &Opened, random: &mut Random) {
        for _ in 0..random.below(4) {
            let received = self.receive(opened);
            if world::is_dead() {
                return;
            }
            let event = match received {
                Ok(Some(event)) => event,
                Err(Error::Restored { .. }) => {
                    shared.has_consumed(&self.store, Consumed::Restored);
                    continue;
                }
                _ => return,
            };
            let (revision, change) = change(&event);
            shared.has_consumed(&self.store, Consumed::Received(revision, change));
            if random.one_in(2) {
                shared.has_consumed(&self.store, Consumed::Acknowledges);
                if self.acknowledge(opened, &event).is_ok() && !world::is_dead() {
                    shared.has_consumed(&self.store, Consumed::Acknowledged);
                }
            }
        }
    }
}
