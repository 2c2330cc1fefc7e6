//! A client's watchers, and the named cursor that the lives of one client share.

use std::time::Duration;

use larder::{Cursor, Error, Event, Pattern, Store, Watcher};

use super::client::{Opened, Shared};
use super::history::{Change, Consumed, Identity, Watched};
use super::world;
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

/// A watcher, and what it has received.
pub struct Watching {
    watcher: Watcher,
    seen: Watched,
    /// Whether it has failed. Then it need not reach anything.
    failed: bool,
}

impl Watching {
    /// Watches everything from now on, or from the beginning.
    pub fn begin(opened: &Opened, client: &str, random: &mut Random) -> Option<Self> {
        let store = &opened.store;
        let after = if random.one_in(2) { 0 } else { store.revision().ok()?.0 };
        let watcher = store.watch_from(Pattern::all(), after).ok()?;
        let (client, store) = (client.to_owned(), Identity::clone(&opened.identity));
        let seen = Watched { client, store, after, changes: Vec::new(), must_reach: 0 };
        Some(Self { watcher, seen, failed: false })
    }

    /// Receives what is there.
    pub fn look(&mut self) {
        while let Some(event) = self.next(LOOK) {
            self.seen.changes.push(change(&event));
        }
    }

    fn next(&mut self, within: Duration) -> Option<Event> {
        match self.watcher.recv_timeout(within) {
            // A killed process is told nothing, and its last commit may be nobody's.
            Ok(event) => event.filter(|_| !world::is_dead()),
            Err(_) => {
                self.failed = true;
                None
            }
        }
    }

    /// Receives everything up to the latest commit, and hands over what it has seen.
    pub fn end(mut self, shared: &Shared, store: &Store) {
        if let Ok(latest) = store.revision()
            && !self.failed
            && !world::is_dead()
        {
            while self.seen.changes.last().is_none_or(|(revision, _)| *revision < latest.0) {
                let Some(event) = self.next(CURRENT_WITHIN) else { break };
                self.seen.changes.push(change(&event));
            }
            // The rest of the latest commit.
            self.look();
            if !self.failed && !world::is_dead() && !world::is_disturbed() {
                self.seen.must_reach = latest.0;
            }
        }
        shared.has_watched(self.seen);
    }
}

/// The consumer of the named cursor.
pub struct Consumer {
    cursor: Cursor,
    store: Identity,
}

impl Consumer {
    pub fn begin(shared: &Shared, opened: &Opened) -> Option<Self> {
        let store = Identity::clone(&opened.identity);
        shared.has_consumed(&store, Consumed::Opens);
        let cursor = opened.store.cursor_from(CURSOR, Pattern::all(), 0).ok()?;
        if !world::is_dead() {
            shared.has_consumed(&store, Consumed::Opened);
        }
        Some(Self { cursor, store })
    }

    /// Receives a few changes, and acknowledges some of them.
    pub fn consume(&self, shared: &Shared, random: &mut Random) {
        for _ in 0..random.below(4) {
            let received = self.cursor.try_recv();
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
                if self.cursor.ack(&event).is_ok() && !world::is_dead() {
                    shared.has_consumed(&self.store, Consumed::Acknowledged);
                }
            }
        }
    }
}
