//! Where the connection that writes is: free, or with the leader of a commit or a checkpoint.

use std::sync::{Condvar, Mutex, MutexGuard};

use super::writer::Writer;
use crate::data::{Error, Result, locked, unpoisoned};
use crate::engine::Process;

/// The place of the one writer of a store.
pub(super) struct WriterSlot {
    /// Held by whoever is next. Without it, a leader that commits without pause would take the writer again before
    /// another thread wakes up.
    next: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
    /// The process that opened the store.
    process: Process,
}

struct State {
    place: Place,
    /// How many threads wait for a change of place: to wake nobody would cost each commit a call of the system.
    waiting: usize,
}

enum Place {
    Free(Box<Writer>),
    /// The leader of a commit has it, or a checkpoint.
    Leader,
    Closed,
}

impl WriterSlot {
    pub fn new(writer: Writer) -> Self {
        let state = State { place: Place::Free(Box::new(writer)), waiting: 0 };
        Self {
            next: Mutex::new(()),
            state: Mutex::new(state),
            changed: Condvar::new(),
            process: Process::current(),
        }
    }

    /// Waits for the writer, for the leader of a cohort or the last step of a checkpoint. Nobody takes a second turn
    /// before this one.
    pub fn lease(&self) -> Result<Lease<'_>> {
        let _next = locked(&self.next);
        let mut state = locked(&self.state);
        loop {
            match std::mem::replace(&mut state.place, Place::Leader) {
                Place::Free(writer) => return Ok(Lease { slot: self, writer: Some(writer) }),
                Place::Closed => {
                    state.place = Place::Closed;
                    return Err(Error::Closed);
                }
                other => state = self.wait(state, other),
            }
        }
    }

    /// Takes the writer for good, once no commit is under way. `None` if that was done before.
    pub fn close(&self) -> Option<Box<Writer>> {
        let _next = locked(&self.next);
        let mut state = locked(&self.state);
        loop {
            match std::mem::replace(&mut state.place, Place::Closed) {
                Place::Free(writer) => return Some(writer),
                Place::Closed => return None,
                other => state = self.wait(state, other),
            }
        }
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>, place: Place) -> MutexGuard<'a, State> {
        state.place = place;
        state.waiting += 1;
        let mut state = unpoisoned(self.changed.wait(state));
        state.waiting -= 1;
        state
    }

    /// Whether a closure has returned in a process that it has forked. SQLite and all locks are the parent's there.
    pub fn is_forked(&self) -> bool {
        !self.process.is_current()
    }

    fn move_to(&self, place: Place) {
        let mut state = locked(&self.state);
        state.place = place;
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }
}

/// The writer, for as long as a thread leads. Dropping it returns the writer.
pub(super) struct Lease<'a> {
    pub slot: &'a WriterSlot,
    /// `None` while an open transaction has it.
    pub writer: Option<Box<Writer>>,
}

impl Lease<'_> {
    /// The writer, unless a transaction is open.
    pub fn writer(&mut self) -> rusqlite::Result<&mut Writer> {
        self.writer.as_deref_mut().ok_or(rusqlite::Error::InvalidQuery)
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.slot.is_forked() {
            // Another thread of the parent may have held the lock of the slot.
            std::mem::forget(self.writer.take());
            return;
        }
        self.slot.move_to(self.writer.take().map_or(Place::Closed, Place::Free));
    }
}
