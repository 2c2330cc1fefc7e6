//! Where an engine delivers what was committed.

use std::sync::Arc;

use crate::data::{Error, Event, Revision};

/// Receives what an engine commits, for the watchers, the callbacks and the expiry timer.
pub(crate) trait Sink: Send + Sync {
    /// How many events of the next commit are wanted. The engine asks before each commit.
    fn interest(&self) -> Interest;

    /// There was a commit, and none between `previous` and `revision`. The engine calls this in the order of
    /// revisions, once for each, before it answers the caller. It must not block. `events` is `None` where the
    /// events are only in the log.
    fn publish(&self, previous: Revision, revision: Revision, events: Option<&[Arc<Event>]>);

    /// To how many watchers of its own namespace each of the events will be offered, all together: that takes time of the
    /// thread that publishes.
    fn offers(&self, events: &[Arc<Event>]) -> u64;

    /// The store was restored from a snapshot: its history ends at `latest`, the latest commit, and continues
    /// from there under another identity. Revisions after `latest` that were published before mean nothing any
    /// more. No commit after `latest` was published yet.
    #[cfg_attr(not(feature = "etcd"), allow(dead_code, reason = "only a cluster tells of it"))]
    fn restored(&self, identity: &Arc<str>, latest: Revision);

    /// The cluster has refused for a while to tell of the commits of other processes, and would refuse again.
    #[cfg_attr(not(feature = "etcd"), allow(dead_code, reason = "only a cluster tells of it"))]
    fn feed_refused(&self, error: &Error);

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

    fn offers(&self, _: &[Arc<Event>]) -> u64 {
        0
    }

    fn restored(&self, _: &Arc<str>, _: Revision) {}

    fn feed_refused(&self, _: &Error) {}

    fn will_expire(&self, _: i64) {}

    fn others_committed(&self) {}
}
