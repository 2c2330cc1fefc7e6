//! A snapshot: a state that no commit changes any more.

use std::sync::Arc;

use super::reading::Reading;
use super::state::State;
use crate::data::{Clock, Entries, Found, GroupInfo, NamespaceInfo, Result, Revision, Usage};
use crate::engine::{Answer, Extent, Read, Scan};

/// One moment of the store.
pub(super) struct Moment {
    pub state: State,
    pub clock: Arc<dyn Clock>,
}

impl Moment {
    fn read<T>(&self, read: impl FnOnce(Reading<'_>) -> T) -> Answer<T> {
        // A panic of the clock is its caller's: nobody else waits for this.
        Answer::ready(Ok(read(Reading::new(&self.state, &*self.clock))))
    }
}

impl Read for Moment {
    fn try_get(&self, group: &str, key: &str) -> Option<Answer<Option<Found>>> {
        Some(self.read(|reading| reading.get(group, key)))
    }

    fn fetch(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.read(|reading| reading.get(group, key)).wait()
    }

    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries> {
        self.read(|reading| reading.scan(scan))
    }

    fn usage(&self, extent: Extent<'_>) -> Answer<Usage> {
        self.read(|reading| reading.usage(extent))
    }

    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>> {
        self.read(|reading| reading.groups(prefix))
    }

    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>> {
        self.read(|reading| reading.namespaces(only))
    }

    fn revision(&self) -> Answer<Revision> {
        Answer::ready(Ok(self.state.revision))
    }
}
