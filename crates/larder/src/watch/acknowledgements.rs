//! What a cursor has delivered and not been told about.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use crate::data::{Error, Event, LogPosition, Result, Revision};

/// How many events can be out at the same time and still be acknowledged one by one. Of older ones no more
/// is known than their revision.
const OUT_MAX: usize = 4096;

/// What a cursor has handed out and not been told about yet.
pub(super) struct Acknowledgements {
    /// In the order of their places.
    out: VecDeque<Out>,
    /// Up to here all was acknowledged.
    done: LogPosition,
    /// The latest revision of which something was left out of `out` for want of room.
    forgotten: Revision,
    hashes: RandomState,
}

struct Out {
    revision: Revision,
    /// Tells the events of one revision from each other: an event does not say which of them it is.
    content: u64,
    /// Where a watch goes on once the event was acknowledged.
    after: LogPosition,
}

impl Acknowledgements {
    pub fn from(done: LogPosition) -> Self {
        Self { out: VecDeque::new(), done, forgotten: Revision(0), hashes: RandomState::new() }
    }

    /// An event goes out.
    pub fn hand_out(&mut self, event: &Event, after: LogPosition) {
        if self.out.len() == OUT_MAX
            && let Some(oldest) = self.out.pop_front()
        {
            self.forgotten = self.forgotten.max(oldest.revision);
        }
        let out = Out { revision: event.revision, content: self.content(event), after };
        // Threads that share a cursor may come here in another order than they were given the events.
        let place = self.out.partition_point(|other| other.after <= after);
        self.out.insert(place, out);
    }

    /// The place up to which all is done once `event` and what went out before it are; `None` where that is
    /// known already. Of two that are alike in one commit the first counts, so that none is passed over.
    pub fn place_of(&self, event: &Event) -> Result<Option<LogPosition>> {
        let content = self.content(event);
        let is_it = |out: &&Out| out.revision == event.revision && out.content == content;
        if let Some(out) = self.out.iter().find(is_it) {
            return Ok(Some(out.after).filter(|after| *after > self.done));
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

    /// All up to a place was acknowledged.
    pub fn settle(&mut self, done: LogPosition) {
        self.done = self.done.max(done);
        while self.out.front().is_some_and(|out| out.after <= self.done) {
            self.out.pop_front();
        }
    }

    fn content(&self, event: &Event) -> u64 {
        let value = event.value.as_ref().map(|value| value.as_bytes());
        self.hashes.hash_one((event.kind, &event.group, &event.key, value))
    }
}
