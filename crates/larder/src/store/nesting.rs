//! Refuses a call on a store from inside its own transaction.

use std::cell::RefCell;

use crate::data::{Error, Result};

thread_local! {
    /// The addresses of the stores whose transaction closures run on this thread, innermost last.
    static RUNNING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Marks this thread as inside a transaction of a store, until dropped.
pub(crate) struct Nesting;

impl Nesting {
    pub fn enter(store: usize) -> Self {
        RUNNING.with_borrow_mut(|running| running.push(store));
        Self
    }

    /// Fails inside the store's own transaction, where a call would wait for itself.
    pub fn check(store: usize) -> Result<()> {
        let inside = RUNNING.with_borrow(|running| running.contains(&store));
        if inside { Err(Error::Nested) } else { Ok(()) }
    }
}

impl Drop for Nesting {
    fn drop(&mut self) {
        RUNNING.with_borrow_mut(Vec::pop);
    }
}
