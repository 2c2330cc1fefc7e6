//! Events that wait in memory for one watcher.

use std::collections::VecDeque;
use std::sync::Arc;

use super::account::Account;
use crate::data::Event;
use crate::engine::Logged;

/// How many events wait for a watcher in memory. One that has more to catch up on reads the change
/// log instead.
const EVENTS_MAX: usize = 1024;

/// What an event takes beside its names and its value, in bytes.
pub(super) const EVENT_BYTES: usize = 256;

/// Events that wait in memory for one watcher.
pub(crate) struct Pile {
    events: VecDeque<Logged>,
    /// What they hold, if that is counted.
    bytes: usize,
    account: Option<Arc<Account>>,
}

impl Pile {
    pub fn new(account: Option<Arc<Account>>) -> Self {
        Self { events: VecDeque::new(), bytes: 0, account }
    }

    /// An empty pile for the same watcher.
    pub fn beside(&self) -> Self {
        Self::new(self.account.clone())
    }

    /// Whether some more events fit.
    pub fn has_room_for(&self, more: &[Logged]) -> bool {
        let bytes = || more.iter().map(|logged| size_of(&logged.event)).sum();
        self.events.len() + more.len() <= EVENTS_MAX
            && self.account.as_ref().is_none_or(|account| account.has_room_for(bytes()))
    }

    pub fn push(&mut self, logged: Logged) {
        if let Some(account) = &self.account {
            let size = size_of(&logged.event);
            self.bytes += size;
            account.hold(size);
        }
        self.events.push_back(logged);
    }

    pub fn pop(&mut self) -> Option<Logged> {
        let logged = self.events.pop_front()?;
        if let Some(account) = &self.account {
            let size = size_of(&logged.event);
            self.bytes -= size;
            account.release(size);
        }
        Some(logged)
    }

    pub fn front(&self) -> Option<&Logged> {
        self.events.front()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub fn clear(&mut self) {
        self.events.clear();
        if let Some(account) = &self.account {
            account.release(std::mem::take(&mut self.bytes));
        }
    }
}

impl Drop for Pile {
    fn drop(&mut self) {
        self.clear();
    }
}

fn size_of(event: &Event) -> usize {
    let key = event.key.as_ref().map_or(0, String::len);
    let value = event.value.as_ref().map_or(0, |value| value.len());
    EVENT_BYTES + event.group.len() + key + value
}
