//! What belongs to one revision while its changes are made.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::data::{Clock, Event, Revision, Usage, clock};
use crate::engine::Interest;

/// A commit with more events is read from the log by its watchers.
pub(super) const EVENTS_MAX: usize = 10_000;

/// The revision that is open: one batch, or one transaction.
#[derive(Default)]
pub(super) struct OpenRevision {
    /// How many changes it has so far.
    pub step: u64,
    /// When its first change was made, which is the time of all of them.
    at: Option<SystemTime>,
    /// Its events, if the sink is interested in them.
    pub events: Vec<Arc<Event>>,
    /// What namespaces with a quota held before the batch, where the batch is judged by what it leaves
    /// behind. `None` where each mutation is judged by itself.
    pub usage_before: Option<HashMap<String, Usage>>,
}

/// A revision that was just closed, for the sink.
pub(super) struct ClosedRevision {
    pub revision: Revision,
    /// `None` where only the log has all of them.
    pub events: Option<Vec<Arc<Event>>>,
}

impl OpenRevision {
    /// The time of its changes; the first decides it.
    pub fn time(&mut self, now: StepTime) -> SystemTime {
        if self.step == 0 {
            self.at = None;
        }
        *self.at.get_or_insert_with(|| now.now())
    }

    /// Whether the sink wants one more event.
    pub fn wants_event(&self, interest: Interest) -> bool {
        match interest {
            Interest::None => false,
            Interest::Some => self.events.len() < EVENTS_MAX,
            Interest::Every => true,
        }
    }

    /// Ends it under the number `revision`. `None` where nothing changed.
    pub fn close(&mut self, revision: Revision) -> Option<ClosedRevision> {
        let events = std::mem::take(&mut self.events);
        let steps = std::mem::take(&mut self.step);
        let is_complete = events.len() as u64 == steps;
        (steps > 0).then(|| ClosedRevision { revision, events: is_complete.then_some(events) })
    }
}

/// A clock that shows the time of one step, in Unix milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StepTime(pub i64);

impl Clock for StepTime {
    fn now(&self) -> SystemTime {
        clock::time(self.0)
    }
}
