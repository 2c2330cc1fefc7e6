//! What a watcher or cursor has received, and whether that is right.

use std::time::Duration;

use larder::{Cursor, Error, Event, Watcher};

use crate::common::WAIT_MAX;
use crate::operation::Wanted;
use crate::plain::{Change, Place, Plain};

/// A watcher or a cursor.
#[derive(Debug)]
pub enum Source {
    Watcher(Watcher),
    Cursor(Cursor),
}

impl Source {
    fn receive(&self, timeout: Duration) -> Result<Option<Event>, Error> {
        match self {
            Self::Watcher(watcher) => watcher.recv_timeout(timeout),
            Self::Cursor(cursor) => cursor.recv_timeout(timeout),
        }
    }
}

/// One that receives events, and how far it is.
#[derive(Debug)]
pub struct Reader {
    pub source: Source,
    pub wanted: Wanted,
    /// After the last event that it received.
    position: Place,
    /// The last revision up to which it was told that changes may be missing.
    told: u64,
    /// It has received everything, and only its own process has written since. It gets the next 1,024 events from
    /// memory.
    pub is_live: bool,
    /// What it received and may acknowledge.
    pub received: Vec<Change>,
}

impl Reader {
    pub fn new(source: Source, wanted: Wanted, position: Place) -> Self {
        Self { source, wanted, position, told: 0, is_live: false, received: Vec::new() }
    }

    /// The changes that it has yet to receive, as far as it was not told that they may be missing.
    fn missing<'a>(&self, plain: &'a Plain) -> Vec<&'a Change> {
        let (wanted, position, told) = (self.wanted, self.position, self.told);
        let is_wanted = |change: &&Change| {
            change.place > position && wanted.matches(&change.event.group, change.event.key.as_deref())
        };
        let may_be_lost =
            |change: &Change| change.place.0 <= told && (!change.is_required || plain.is_half_lost(change));
        plain.log.iter().filter(is_wanted).filter(|change| !may_be_lost(change)).collect()
    }

    /// Receives all there is, and compares each event with the model.
    pub fn receive_all(&mut self, plain: &Plain) {
        loop {
            let missing = self.missing(plain);
            // What another process has written comes when its commit is noticed.
            let timeout = if missing.is_empty() { Duration::ZERO } else { WAIT_MAX };
            match self.source.receive(timeout) {
                Ok(None) => {
                    assert!(missing.is_empty(), "{self:?} misses {missing:?}");
                    self.is_live = true;
                    return;
                }
                Ok(Some(event)) => {
                    let found = plain.log.iter().find(|change| change.event == event);
                    let found = found.unwrap_or_else(|| panic!("{event:?} never happened"));
                    assert!(
                        found.place > self.position,
                        "{self:?} received {event:?} again, or out of order"
                    );
                    let is_wanted = self.wanted.matches(&event.group, event.key.as_deref());
                    assert!(is_wanted, "{self:?} received {event:?}");
                    let skipped = missing.iter().find(|change| change.place < found.place);
                    assert!(skipped.is_none(), "{self:?} skipped {skipped:?} without being told");
                    self.position = found.place;
                    self.received.push(found.clone());
                }
                Err(Error::Compacted { oldest }) => {
                    assert!(!self.is_live, "{self:?} was live, and was told of {oldest}");
                    assert!(
                        oldest.0 > self.told && oldest.0 >= self.position.0,
                        "{self:?} was told of {oldest}"
                    );
                    let lost = plain.lost_for(self.wanted);
                    assert!(oldest.0 <= lost, "{self:?} was told of {oldest}, and only {lost} may be lost");
                    self.told = oldest.0;
                }
                Err(error) => panic!("{self:?}: {error:?}"),
            }
        }
    }
}
