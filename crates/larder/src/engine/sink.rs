//! Where an engine delivers what was committed.

use std::sync::Arc;

use crate::data::{Event, Revision};

/// Receives what an engine commits, for the watchers, the callbacks and the expiry timer.
pub(crate) trait Sink: Send + Sync {
    /// How many events of the next commit are wanted. The engine asks before each commit.
    fn interest(&self) -> Interest;

    /// There was a commit, and none between `previous` and `revision`. The engine calls this in the order of
    /// revisions, once for each, before it answers the caller. It must not block. `events` is `None` where the
    /// events are only in the log.
    fn publish(&self, previous: Revision, revision: Revision, events: Option<&[Arc<Event>]>);

    /// A commit set an entry that expires at `at_ms`, in Unix milliseconds, and none that expires sooner. Called
    /// like `publish`.
    fn will_expire(&self, at_ms: i64);

    /// Another process has committed, or may have. The changes are in the log. Called from a thread of the
    /// engine, at the same time as `publish` perhaps.
    fn others_committed(&self);
}

/// See [`Sink::interest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Nobody listens. The engine need not make events.
    None,
    /// Watchers listen. They can read a commit with very many events from the log.
    Some,
    /// Callbacks listen. [`Committed::events`](super::Committed::events) must hold every event.
    Every,
}

/// A sink without listeners.
#[cfg(test)]
pub(crate) struct Unheard;

#[cfg(test)]
impl Sink for Unheard {
    fn interest(&self) -> Interest {
        Interest::None
    }

    fn publish(&self, _: Revision, _: Revision, _: Option<&[Arc<Event>]>) {}

    fn will_expire(&self, _: i64) {}

    fn others_committed(&self) {}
}
