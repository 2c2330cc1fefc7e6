//! Who receives what an engine commits: watchers, callbacks and the expiry timer.

use std::sync::Arc;

use super::expiry::Alarm;
use crate::data::{Error, Event, Revision};
use crate::delivery::Registry;
use crate::engine::{Interest, Sink};

/// The [`Sink`] of a store.
pub(crate) struct Audience {
    pub registry: Arc<Registry>,
    /// `None` where the store has no expiry timer.
    pub alarm: Option<Arc<Alarm>>,
}

impl Audience {
    /// An audience without watchers yet; `timed` is whether an expiry timer will run.
    pub fn new(timed: bool) -> Arc<Self> {
        Arc::new(Self { registry: Arc::default(), alarm: timed.then(Arc::default) })
    }
}

impl Sink for Audience {
    fn interest(&self) -> Interest {
        self.registry.interest()
    }

    fn publish(&self, previous: Revision, revision: Revision, events: Option<&[Arc<Event>]>) {
        self.registry.publish(previous, revision, events);
    }

    fn offers(&self, events: &[Arc<Event>]) -> u64 {
        self.registry.offers(events)
    }

    fn restored(&self, identity: &Arc<str>, latest: Revision) {
        self.registry.restored(identity, latest);
        // An entry may be back that expires sooner than any known one.
        self.will_expire(i64::MIN);
    }

    fn feed_refused(&self, error: &Error) {
        self.registry.feed_refused(error);
    }

    fn will_expire(&self, at_ms: i64) {
        if let Some(alarm) = &self.alarm {
            alarm.expect(at_ms);
        }
    }

    fn others_committed(&self) {
        self.registry.others_committed();
        // Another process may have set an entry that expires sooner than any known one.
        self.will_expire(i64::MIN);
    }
}
