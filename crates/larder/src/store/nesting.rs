//! Refuses a call on a store from inside its own transaction.

use std::cell::{Cell, RefCell};
use std::mem::{ManuallyDrop, take};

use crate::data::{Error, Result};

thread_local! {
    /// The addresses of the stores whose transaction closures run on this thread, innermost last.
    ///
    /// It has no destructor, so that it is there for a handle that is used or dropped by the destructor of another
    /// thread-local. It owns no memory while no closure runs.
    static RUNNING: RefCell<ManuallyDrop<Vec<usize>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };

    /// How many they are. Each read looks here first.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Marks this thread as inside a transaction of a store, until dropped.
pub(crate) struct Nesting;

impl Nesting {
    pub fn enter(store: usize) -> Self {
        let _ = RUNNING.try_with(|running| {
            let mut running = running.borrow_mut();
            running.push(store);
            DEPTH.set(running.len());
        });
        Self
    }

    /// Fails inside the store's own transaction, where a call would wait for itself.
    #[inline]
    pub fn check(store: usize) -> Result<()> {
        if Self::is_inside(store) { Err(Error::Nested) } else { Ok(()) }
    }

    /// Whether this thread is inside a transaction of the store.
    #[inline]
    pub fn is_inside(store: usize) -> bool {
        DEPTH.get() > 0 && Self::is_among_running(store)
    }

    #[cold]
    fn is_among_running(store: usize) -> bool {
        // Where thread-locals are gone with the thread, no closure runs any more.
        RUNNING.try_with(|running| running.borrow().contains(&store)).unwrap_or(false)
    }
}

impl Drop for Nesting {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| {
            let mut running = running.borrow_mut();
            running.pop();
            DEPTH.set(running.len());
            if running.is_empty() {
                drop(take(&mut **running));
            }
        });
    }
}
