//! Where events wait for one watcher.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Instant;

use crate::data::{Event, LogPosition, Pattern, Revision, locked, unpoisoned};
use crate::engine::Logged;

/// How many events wait for a watcher in memory. One that has more to catch up on reads the change
/// log instead.
pub(crate) const QUEUE_MAX: usize = 1024;

/// Where events wait for one watcher.
pub(crate) struct Mailbox {
    pub pattern: Pattern,
    /// The commit path takes this lock for a moment and never waits on anything while it has it.
    state: Mutex<Letters>,
    arrived: Condvar,
}

pub(crate) struct Letters {
    pub queue: VecDeque<Logged>,
    /// Whether commits put their events into the queue. Where not, the watcher is behind and reads
    /// on from the change log by itself.
    pub live: bool,
    /// Everything up to here is in the queue, was taken from it, or is not wanted. While live, so
    /// is all that was published since.
    pub position: LogPosition,
    /// The place after the last event that was taken.
    pub taken: LogPosition,
    pub closed: bool,
    /// How many threads wait: to wake nobody would cost each commit a call of the system.
    waiting: usize,
    /// The task that waits, if an async watcher does.
    pub waker: Option<Waker>,
}

/// What a watcher finds in its mailbox.
pub(crate) enum Delivery {
    /// An event, and the position after it.
    Event(Arc<Event>, LogPosition),
    /// Nothing yet: a commit will deliver it.
    Empty,
    /// The watcher has to read on from the change log.
    Behind,
    Closed,
}

impl Mailbox {
    /// A mailbox for what comes after `position`. It starts behind: its watcher finds out whether
    /// there is something in the log before it goes live.
    pub fn new(pattern: Pattern, position: LogPosition) -> Self {
        let letters = Letters {
            queue: VecDeque::new(),
            live: false,
            position,
            taken: position,
            closed: false,
            waiting: 0,
            waker: None,
        };
        Self { pattern, state: Mutex::new(letters), arrived: Condvar::new() }
    }

    pub fn lock(&self) -> MutexGuard<'_, Letters> {
        locked(&self.state)
    }

    /// Takes the wanted events of a commit, all or none: where they do not fit, the watcher is
    /// behind from here on.
    pub fn deliver(&self, revision: Revision, previous: Revision, events: &[Logged]) {
        let mut letters = self.lock();
        if letters.live && revision > letters.position.revision {
            if letters.queue.len() + events.len() <= QUEUE_MAX {
                letters.queue.extend(events.iter().cloned());
                letters.position = LogPosition::after(revision);
            } else {
                letters.fall_behind(previous);
            }
        }
        self.tell(letters);
    }

    /// Sends the watcher to the log for all that came after `previous`.
    pub fn send_to_log(&self, previous: Revision) {
        let mut letters = self.lock();
        letters.fall_behind(previous);
        self.tell(letters);
    }

    /// Forgets what is there, and has the watcher read on after another place.
    pub fn restart(&self, place: LogPosition) {
        let mut letters = self.lock();
        letters.queue.clear();
        letters.live = false;
        (letters.position, letters.taken) = (place, place);
        self.tell(letters);
    }

    pub fn close(&self) {
        let mut letters = self.lock();
        letters.closed = true;
        // No commit puts anything in any more, and a closed one does not go live again.
        letters.live = false;
        self.tell(letters);
    }

    /// Wakes the threads and the task that wait. The task is woken without the lock held, because its waker may do
    /// anything.
    fn tell(&self, mut letters: MutexGuard<'_, Letters>) {
        let waker = letters.waker.take();
        let anybody_waits = letters.waiting > 0;
        drop(letters);
        if anybody_waits {
            self.arrived.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until something arrives or the deadline passes; whether it may be worth a look.
    pub fn wait<'a>(
        &self,
        mut letters: MutexGuard<'a, Letters>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, Letters>, bool) {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return (letters, false);
        }
        letters.waiting += 1;
        let mut letters = match left {
            None => unpoisoned(self.arrived.wait(letters)),
            Some(left) => unpoisoned(self.arrived.wait_timeout(letters, left)).0,
        };
        letters.waiting -= 1;
        (letters, true)
    }
}

impl Letters {
    /// What comes next.
    pub fn next(&mut self) -> Delivery {
        match self.take() {
            Some((event, position)) => Delivery::Event(event, position),
            None if self.closed => Delivery::Closed,
            None if self.live => Delivery::Empty,
            None => Delivery::Behind,
        }
    }

    /// Takes the next event, and the place after it: where nothing more of its revision comes, that is the
    /// place after the whole revision.
    fn take(&mut self) -> Option<(Arc<Event>, LogPosition)> {
        let Logged { step, event } = self.queue.pop_front()?;
        let whole = LogPosition::after(event.revision);
        let more = self.queue.front().is_some_and(|next| next.event.revision == event.revision);
        let place = if !more && self.position >= whole {
            whole
        } else {
            LogPosition { revision: event.revision, step }
        };
        self.taken = place;
        Some((event, place))
    }

    fn fall_behind(&mut self, previous: Revision) {
        // While it was live nothing up to `previous` was missed, whatever its last event was.
        if self.live {
            self.live = false;
            self.position = self.position.max(LogPosition::after(previous));
        }
    }
}
