//! What the async watcher, cursor and mirror are made of.

use std::task::Context;

pub(crate) use super::cursor::{Cursor, CursorState};
pub(crate) use super::mirror::{InitialState, Mirror};
use super::watcher::Watcher;
pub(crate) use super::watcher::unless_closed;
use crate::delivery::Delivery;

impl Watcher {
    /// What comes next. If that is nothing yet, the task is woken when there is something.
    pub(crate) fn poll_next(&self, context: &Context<'_>) -> Delivery {
        let mut letters = self.mailbox.lock();
        let next = letters.next();
        if let Delivery::Empty = next {
            letters.waker = Some(context.waker().clone());
        }
        next
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
        self.current.as_ref().is_some_and(|(_, entries)| entries.is_at_hand())
    }
}
