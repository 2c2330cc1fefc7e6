//! Where an engine delivers what was committed.

use std::sync::Arc;

use crate::data::{Event, Revision};

/// Who is told of commits: the registry of watchers, and the expiry timer.
pub(crate) trait Sink: Send + Sync {
    /// How much of the next commit somebody wants to hear.
    fn interest(&self) -> Interest;

    /// A commit has happened, and none between `previous` and this one. Called in the order of revisions,
    /// each once, by whoever leads the commit, so it must not wait for anybody. Without events, they are in
    /// the change log.
    fn publish(&self, previous: Revision, revision: Revision, events: Option<&[Arc<Event>]>);

    /// Something was committed that expires at `at_ms`, in Unix milliseconds, and nothing with it that does
    /// so sooner. Called as `publish` is.
    fn will_expire(&self, at_ms: i64);

    /// Somebody else has committed, or may have. What it was is in the change log. Called from a thread
    /// of the engine's, beside `publish`.
    fn others_committed(&self);
}

/// See [`Sink::interest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Nobody listens; the events need not be made.
    None,
    /// Watchers listen. They can read a commit with very many events from the log instead.
    Some,
    /// Callbacks listen, and must be given every event.
    Every,
}

/// A sink in which nobody listens.
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
