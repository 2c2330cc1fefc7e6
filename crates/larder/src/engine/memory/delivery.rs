//! What a commit delivers to those who listen.

use std::sync::Arc;

use super::draft::{Done, Logging};
use crate::data::{Event, Revision, contained};
use crate::engine::{Committed, Interest, Outcome, Sink};

/// A commit with more events is read from the log by its watchers.
const EVENTS_MAX: u64 = 10_000;

/// A commit for those who receive it.
pub(super) struct Delivery {
    revision: Revision,
    has_changed: bool,
    /// `None` where only the log has all of them.
    events: Option<Vec<Arc<Event>>>,
    soonest_ms: Option<i64>,
}

impl Delivery {
    /// What is delivered of a commit that follows `before`.
    pub fn of(done: &Done, before: Revision, interest: Interest) -> Self {
        let has_changed = done.steps > 0;
        let wanted = match interest {
            Interest::None => false,
            Interest::Some => done.steps <= EVENTS_MAX,
            Interest::Every => true,
        };
        let events = || {
            let appended = done.logging.iter().filter_map(|logging| match logging {
                Logging::Append(event) => Some(Arc::clone(event)),
                Logging::SetHistory(..) => None,
            });
            appended.collect()
        };
        Self {
            revision: if has_changed { before.next() } else { before },
            has_changed,
            events: wanted.then(events),
            soonest_ms: done.soonest_ms,
        }
    }

    /// Tells the sink, while leading, so in the order of revisions. Returns what the caller learns.
    pub fn deliver(self, sink: &dyn Sink, outcomes: Vec<Outcome>, interest: Interest) -> Committed {
        let Self { revision, has_changed, events, soonest_ms } = self;
        if has_changed {
            let published = contained("what receives commits", || {
                sink.publish(revision.previous(), revision, events.as_deref());
                if let Some(at_ms) = soonest_ms {
                    sink.will_expire(at_ms);
                }
            });
            if published.is_none() {
                // The log has what was not published.
                contained("what receives commits", || sink.others_committed());
            }
        }
        let events = if interest == Interest::Every { events.unwrap_or_default() } else { Vec::new() };
        Committed { revision, outcomes, events }
    }
}
