//! One caller's place in the queue of commits, and how it is told what became of it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{self, Thread};

use crate::data::Result;
use crate::engine::{Commit, Committed};

/// One caller's place in the queue.
pub(super) struct Ticket {
    /// What to commit, until a leader takes it; or, always `None`, a closure, which only its own
    /// thread can run.
    pub work: Mutex<Option<Commit>>,
    pub is_closure: bool,
    pub slot: Mutex<Slot>,
}

#[derive(Default)]
pub(super) struct Slot {
    /// Who is to be told, and how.
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
    /// Its future was polled. Its thread is not to be held up, so others lead for it.
    Polls(Waker),
}

/// What a leader tells a caller.
pub(super) enum Told {
    /// You lead.
    Lead,
    Done(Result<Committed>),
}

impl Ticket {
    pub fn new(commit: Option<Commit>, caller: Caller) -> Self {
        Self {
            is_closure: commit.is_none(),
            work: Mutex::new(commit),
            slot: Mutex::new(Slot { caller, told: None }),
        }
    }

    pub fn tell(&self, told: Told) {
        let mut slot = locked(&self.slot);
        slot.told = Some(told);
        match std::mem::take(&mut slot.caller) {
            Caller::Waits(thread) => {
                slot.caller = Caller::Waits(thread.clone());
                drop(slot);
                // Who leads for itself is awake.
                if thread.id() != thread::current().id() {
                    thread.unpark();
                }
            }
            Caller::Polls(waker) => {
                // Without the lock: it is not known what a waker does.
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
            // Returns at once where it was told in between, and now and then for no reason.
            thread::park();
        }
    }
}

/// Locks, also after a panic: what these locks guard is consistent whenever they are free.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
