//! One caller's place in the queue of commits, and how it learns the result.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::{self, Thread};

use crate::data::{Result, contained, locked};
use crate::engine::{Commit, Committed, Party, Share};

/// One caller's place in the queue.
pub(super) struct Ticket {
    /// Whose turn it waits for, and how much of that turn it takes.
    pub share: Share,
    /// Whether a cohort began without it, although it was its turn. Only changed under the lock of the queue.
    has_stepped_back: AtomicBool,
    /// Guards what is to be done: a leader takes it, a caller that gives up checks whether it was taken.
    work: Mutex<Work>,
    /// Guards the caller, and the result until the caller fetches it.
    pub slot: Mutex<Slot>,
}

/// What a ticket is for.
enum Work {
    Batch(Commit),
    /// A batch that a leader has taken, or that its caller has given up.
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

/// Whom to wake. Without any lock: a waker may run any code.
#[must_use]
pub(super) enum Wake {
    Nobody,
    Thread(Thread),
    Task(Waker),
}

impl Wake {
    pub fn wake(self) {
        match self {
            Self::Nobody => {}
            // A leader that tells itself is awake.
            Self::Thread(thread) if thread.id() == thread::current().id() => {}
            Self::Thread(thread) => thread.unpark(),
            Self::Task(waker) => {
                contained("the waker of a task that waits for a commit", || waker.wake());
            }
        }
    }
}

impl Ticket {
    /// A ticket for a batch, whose caller is not there yet.
    pub fn of_batch(commit: Commit) -> Self {
        let share = Share::of(&commit);
        let (work, slot) = (Mutex::new(Work::Batch(commit)), Mutex::default());
        Self { share, has_stepped_back: AtomicBool::new(false), work, slot }
    }

    /// A ticket for a closure of this thread.
    pub fn of_closure(party: Party) -> Self {
        let slot = Slot { caller: Caller::Waits(thread::current()), told: None };
        // How long a closure takes is the program's to say.
        let share = Share { party, weight: 0 };
        let (work, slot) = (Mutex::new(Work::Closure), Mutex::new(slot));
        Self { share, has_stepped_back: AtomicBool::new(false), work, slot }
    }

    pub fn is_closure(&self) -> bool {
        matches!(*locked(&self.work), Work::Closure)
    }

    /// Whether a leader has taken its batch, or its caller has.
    pub fn is_taken(&self) -> bool {
        matches!(*locked(&self.work), Work::Taken)
    }

    /// Lets a cohort begin without it, once. Returns false if one has.
    pub fn steps_back(&self) -> bool {
        // Relaxed: the lock of the queue orders it.
        !self.has_stepped_back.swap(true, Ordering::Relaxed)
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

    /// Tells the caller, and wakes it.
    pub fn tell(&self, told: Told) {
        self.leave(told).wake();
    }

    /// Leaves word for the caller, who is still to be woken.
    pub fn leave(&self, told: Told) -> Wake {
        let mut slot = locked(&self.slot);
        slot.told = Some(told);
        match std::mem::take(&mut slot.caller) {
            Caller::Waits(thread) => {
                slot.caller = Caller::Waits(thread.clone());
                Wake::Thread(thread)
            }
            Caller::Polls(waker) => Wake::Task(waker),
            Caller::Absent => Wake::Nobody,
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
