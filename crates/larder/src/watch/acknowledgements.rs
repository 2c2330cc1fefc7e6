//! Which events a cursor has returned that are not acknowledged yet.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::data::{Error, Event, LogPosition, Result, Revision};

/// How many unacknowledged events are remembered one by one. Of older ones only the revision is known.
const UNACKNOWLEDGED_MAX: usize = 4096;

/// Which events a cursor has returned that are not acknowledged yet.
pub(super) struct Acknowledgements {
    /// Sorted by position.
    unacknowledged: VecDeque<Returned>,
    /// Everything up to here is acknowledged.
    done: LogPosition,
    /// The latest revision of an event that `unacknowledged` had no room for.
    forgotten: Revision,
    hashes: RandomState,
    /// How often the cursor has begun at another place.
    beginnings: u64,
}

/// What an acknowledgement leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledging {
    /// The position up to which everything is acknowledged then.
    pub position: LogPosition,
    /// The beginning that the position is of.
    beginning: u64,
}

/// An event that the cursor has returned.
struct Returned {
    revision: Revision,
    /// A hash that tells the events of one revision apart: an event does not say which of them it is.
    content: u64,
    /// Where a watch continues once the event is acknowledged.
    after: LogPosition,
}

impl Acknowledgements {
    pub fn from(done: LogPosition) -> Self {
        let (unacknowledged, hashes) = (VecDeque::new(), RandomState::new());
        Self { unacknowledged, done, forgotten: Revision(0), hashes, beginnings: 0 }
    }

    /// Forgets everything, since the cursor begins at another place.
    pub fn begin_at(&mut self, done: LogPosition) {
        *self = Self { beginnings: self.beginnings + 1, ..Self::from(done) };
    }

    /// Notes that the caller received an event; `after` is the position after it.
    pub fn hand_out(&mut self, event: &Event, after: LogPosition) {
        if self.unacknowledged.len() == UNACKNOWLEDGED_MAX
            && let Some(oldest) = self.unacknowledged.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest.revision);
        }
        let returned = Returned { revision: event.revision, content: self.content(event), after };
        // Threads that share a cursor may arrive here in another order than they received the events.
        let index = self.unacknowledged.partition_point(|other| other.after <= after);
        self.unacknowledged.insert(index, returned);
    }

    /// The position up to which everything is acknowledged once `event` is; `None` if it is already. Of two equal
    /// events in one commit the first counts, so that none is skipped.
    pub fn acknowledging(&self, event: &Event) -> Result<Option<Acknowledging>> {
        let position = self.position_of(event)?;
        Ok(position.map(|position| Acknowledging { position, beginning: self.beginnings }))
    }

    fn position_of(&self, event: &Event) -> Result<Option<LogPosition>> {
        let content = self.content(event);
        let is_it = |other: &&Returned| other.revision == event.revision && other.content == content;
        if let Some(returned) = self.unacknowledged.iter().find(is_it) {
            return Ok(Some(returned.after).filter(|after| *after > self.done));
        }
        if event.revision <= self.done.revision {
            return Ok(None);
        }
        if event.revision <= self.forgotten {
            let before = LogPosition::after(event.revision.previous());
            return Ok(Some(before).filter(|before| *before > self.done));
        }
        Err(Error::NotReceived { revision: event.revision })
    }

    /// Notes that an event was acknowledged, unless the cursor has begun at another place meanwhile.
    pub fn settle(&mut self, acknowledged: Acknowledging) {
        if acknowledged.beginning != self.beginnings {
            return;
        }
        self.done = self.done.max(acknowledged.position);
        while self.unacknowledged.front().is_some_and(|oldest| oldest.after <= self.done) {
            self.unacknowledged.pop_front();
        }
    }

    fn content(&self, event: &Event) -> u64 {
        let value = event.value.as_ref().map(|value| value.as_bytes());
        self.hashes.hash_one((event.kind, &event.group, &event.key, value))
    }
}
