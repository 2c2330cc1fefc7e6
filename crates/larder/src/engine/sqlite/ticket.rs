//! One caller's place in the queue of commits, and how it learns the result.

use std::sync::Mutex;
use std::task::Waker;
use std::thread::{self, Thread};

use crate::data::{Result, locked};
use crate::engine::{Commit, Committed};

/// One caller's place in the queue.
pub(super) struct Ticket {
    /// Guards what is to be done: a leader takes it, a caller that gives up checks whether it was taken.
    work: Mutex<Work>,
    /// Guards the caller, and the result until the caller fetches it.
    pub slot: Mutex<Slot>,
}

/// What a ticket is for.
enum Work {
    Batch(Commit),
    /// A batch that a leader has taken.
    Taken,
    /// A closure, which only its own thread can run.
    Closure,
}

#[derive(Default)]
pub(super) struct Slot {
    /// Who receives the result, and how to wake that thread or task.
    pub caller: Caller,
    pub told: Option<Told>,
}

#[derive(Default)]
pub(super) enum Caller {
    /// Not there yet, or gone.
    #[default]
    Absent,
    /// This thread waits, and can lead.
    Waits(Thread),
    /// Its future was polled. Its thread must not block, so another one leads for it.
    Polls(Waker),
}

/// What a leader tells a caller.
pub(super) enum Told {
    /// The caller leads now.
    Lead,
    Done(Result<Committed>),
}

impl Ticket {
    /// A ticket for a batch, whose caller is not there yet.
    pub fn of_batch(commit: Commit) -> Self {
        Self { work: Mutex::new(Work::Batch(commit)), slot: Mutex::default() }
    }

    /// A ticket for a closure of this thread.
    pub fn of_closure() -> Self {
        let slot = Slot { caller: Caller::Waits(thread::current()), told: None };
        Self { work: Mutex::new(Work::Closure), slot: Mutex::new(slot) }
    }

    pub fn is_closure(&self) -> bool {
        matches!(*locked(&self.work), Work::Closure)
    }

    /// Whether no leader has taken its batch yet.
    pub fn is_untaken(&self) -> bool {
        matches!(*locked(&self.work), Work::Batch(_))
    }

    /// Takes the batch; `None` where there is none, or no longer.
    pub fn take_batch(&self) -> Option<Commit> {
        let mut work = locked(&self.work);
        match std::mem::replace(&mut *work, Work::Taken) {
            Work::Batch(commit) => Some(commit),
            other => {
                *work = other;
                None
            }
        }
    }

    pub fn tell(&self, told: Told) {
        let mut slot = locked(&self.slot);
        slot.told = Some(told);
        match std::mem::take(&mut slot.caller) {
            Caller::Waits(thread) => {
                slot.caller = Caller::Waits(thread.clone());
                drop(slot);
                // A leader that tells itself is awake.
                if thread.id() != thread::current().id() {
                    thread.unpark();
                }
            }
            Caller::Polls(waker) => {
                // Without the lock: a waker may run any code.
                drop(slot);
                waker.wake();
            }
            Caller::Absent => {}
        }
    }

    pub fn wait(&self) -> Told {
        loop {
            if let Some(told) = locked(&self.slot).told.take() {
                return told;
            }
            // Returns at once if the caller was told in between. It may also return without a reason.
            thread::park();
        }
    }
}
