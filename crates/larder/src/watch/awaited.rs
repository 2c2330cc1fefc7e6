//! What the async watcher, cursor and mirror are made of.

use std::task::{Context, Poll};

pub(crate) use super::cursor::{Cursor, CursorState};
pub(crate) use super::mirror::{InitialState, Mirror};
use super::watcher::Watcher;
pub(crate) use super::watcher::unless_closed;
use crate::data::{Error, Event, LogPosition, Result};
use crate::delivery::Delivery;
use crate::store::Scope;

impl Watcher {
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The next event, and the position after it. `None` if the watcher has to [read on](Watcher::read_on) in the
    /// change log first. If there is no event yet, the task is woken when there is one.
    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Poll<Result<Option<(Event, LogPosition)>>> {
        self.check_process()?;
        let mut letters = self.mailbox.lock();
        match letters.next() {
            Delivery::Event(event, position) => Poll::Ready(Ok(Some((self.scope.event(event), position)))),
            Delivery::Behind => Poll::Ready(Ok(None)),
            Delivery::Restored(latest) => Poll::Ready(Err(Error::ClusterRestored { latest })),
            Delivery::Refused(error) => Poll::Ready(Err(error)),
            Delivery::Closed => Poll::Ready(Err(Error::Closed)),
            Delivery::Empty => {
                let earlier = letters.waker.replace(context.waker().clone());
                // Without the lock: dropping a waker may drop a task, and a watcher with it.
                drop(letters);
                drop(earlier);
                Poll::Pending
            }
        }
    }
}

impl Cursor {
    pub(crate) fn into_parts(self) -> (Watcher, CursorState) {
        (self.watcher, self.state)
    }
}

impl Mirror {
    pub(crate) fn into_parts(self) -> (Option<InitialState>, Watcher) {
        (self.initial, self.watcher)
    }
}

impl InitialState {
    /// Whether the next entry is in memory.
    pub(crate) fn is_at_hand(&self) -> bool {
        self.current.as_ref().is_some_and(|(_, entries)| entries.has_next())
    }
}
