use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::engine::LogPosition;
use crate::{Event, Pattern, Revision};

/// How many events wait for a watcher in memory. One that has more to catch up on reads the change
/// log instead.
pub(super) const QUEUE_MAX: usize = 1024;

/// Where events wait for one watcher.
pub(super) struct Mailbox {
    pub pattern: Pattern,
    /// The commit path takes this lock for a moment and never waits on anything while it has it.
    state: Mutex<Letters>,
    arrived: Condvar,
}

pub(super) struct Letters {
    pub queue: VecDeque<Arc<Event>>,
    /// Whether commits put their events into the queue. Where not, the watcher is behind and reads
    /// on from the change log by itself.
    pub live: bool,
    /// Everything up to here is in the queue, was taken from it, or is not wanted. While live, so
    /// is all that was published since.
    pub position: LogPosition,
    pub closed: bool,
}

impl Mailbox {
    /// A mailbox for what comes after `position`. It starts behind: its watcher finds out whether
    /// there is something in the log before it goes live.
    pub fn new(pattern: Pattern, position: LogPosition) -> Self {
        let letters = Letters { queue: VecDeque::new(), live: false, position, closed: false };
        Self { pattern, state: Mutex::new(letters), arrived: Condvar::new() }
    }

    pub fn lock(&self) -> MutexGuard<'_, Letters> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the wanted events of a commit, all or none: where they do not fit, the watcher is
    /// behind from here on.
    pub fn deliver(&self, revision: Revision, previous: Revision, events: &[Arc<Event>]) {
        let mut letters = self.lock();
        if letters.live && revision > letters.position.revision {
            if letters.queue.len() + events.len() <= QUEUE_MAX {
                letters.queue.extend(events.iter().cloned());
                letters.position = LogPosition::after(revision);
            } else {
                letters.fall_behind(previous);
            }
        }
        drop(letters);
        self.arrived.notify_all();
    }

    /// Sends the watcher to the log for all that came after `previous`.
    pub fn send_to_log(&self, previous: Revision) {
        self.lock().fall_behind(previous);
        self.arrived.notify_all();
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Waits until something arrives or the deadline passes; whether it may be worth a look.
    pub fn wait<'a>(
        &self,
        letters: MutexGuard<'a, Letters>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, Letters>, bool) {
        let Some(deadline) = deadline else {
            return (self.arrived.wait(letters).unwrap_or_else(PoisonError::into_inner), true);
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return (letters, false);
        }
        (self.arrived.wait_timeout(letters, left).unwrap_or_else(PoisonError::into_inner).0, true)
    }
}

impl Letters {
    fn fall_behind(&mut self, previous: Revision) {
        // While it was live nothing up to `previous` was missed, whatever its last event was.
        if self.live {
            self.live = false;
            self.position = self.position.max(LogPosition::after(previous));
        }
    }
}
