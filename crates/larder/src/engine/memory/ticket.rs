//! One caller's place in the queue of commits, and how it learns the result.

use std::sync::Mutex;
use std::task::Waker;
use std::thread::{self, Thread};

use crate::data::{Result, contained, locked};
use crate::engine::{Commit, Committed};

/// One caller's place in the queue.
pub(super) struct Ticket(Mutex<Slot>);

struct Slot {
    work: Work,
    /// Who receives the result, and how to wake that thread or task.
    caller: Caller,
    told: Option<Told>,
}

/// What a ticket is for.
pub(super) enum Work {
    Batch(Commit),
    /// What only its own thread can do, once it leads.
    Turn,
    /// A batch that a leader has taken, or that its caller has given up.
    Taken,
}

pub(super) enum Caller {
    /// Not there yet, or gone.
    Absent,
    /// This thread waits, and can lead.
    Waits(Thread),
    /// Its future was polled. Its thread must not block.
    Polls(Waker),
}

/// What a leader tells a caller.
pub(super) enum Told {
    /// The caller leads now.
    Lead,
    Done(Result<Committed>),
    /// The caller has its result, and leads now.
    DoneAndLead(Result<Committed>),
}

impl Ticket {
    /// A ticket for a batch, whose caller is not there yet.
    pub fn of_batch(commit: Commit) -> Self {
        Self(Mutex::new(Slot { work: Work::Batch(commit), caller: Caller::Absent, told: None }))
    }

    /// A ticket for what this thread does when it leads.
    pub fn of_turn() -> Self {
        let caller = Caller::Waits(thread::current());
        Self(Mutex::new(Slot { work: Work::Turn, caller, told: None }))
    }

    /// Takes what is to be done. A turn stays with its thread.
    pub fn take(&self) -> Work {
        let mut slot = locked(&self.0);
        match slot.work {
            Work::Turn => Work::Turn,
            _ => std::mem::replace(&mut slot.work, Work::Taken),
        }
    }

    /// Takes the batch away, unless a leader has taken it. Returns whether it was there. Nobody is told any more.
    pub fn give_up(&self) -> bool {
        let mut slot = locked(&self.0);
        slot.caller = Caller::Absent;
        matches!(std::mem::replace(&mut slot.work, Work::Taken), Work::Batch(_))
    }

    /// Whether a thread waits for it, which could lead.
    pub fn can_lead(&self) -> bool {
        matches!(locked(&self.0).caller, Caller::Waits(_))
    }

    /// Tells the caller, and wakes it.
    pub fn tell(&self, told: Told) {
        let mut slot = locked(&self.0);
        slot.told = Some(told);
        match std::mem::replace(&mut slot.caller, Caller::Absent) {
            Caller::Waits(thread) => {
                drop(slot);
                thread.unpark();
            }
            Caller::Polls(waker) => {
                // Without the lock: a waker may run any code.
                drop(slot);
                contained("the waker of a task that waits for a commit", || waker.wake());
            }
            Caller::Absent => {}
        }
    }

    /// What the caller was told; if that is nothing, `caller` is woken later.
    pub fn told_or(&self, caller: impl FnOnce() -> Caller) -> Option<Told> {
        let mut slot = locked(&self.0);
        let told = slot.told.take();
        if told.is_none() {
            slot.caller = caller();
        }
        told
    }

    /// Waits until the caller is told something.
    pub fn wait(&self) -> Told {
        loop {
            if let Some(told) = self.told_or(|| Caller::Waits(thread::current())) {
                return told;
            }
            thread::park();
        }
    }
}
