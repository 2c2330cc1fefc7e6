//! Marks a thread while others wait for it: it leads a commit, removes what has expired, or follows the commits of
//! others.
//!
//! Such a thread may run a waker, a callback or a clock of the program's, which may drop the last handle of a store.
//! Closing the store waits for the threads that work for it, so a thread on duty has another one do it.

use std::cell::Cell;
use std::marker::PhantomData;

thread_local! {
    /// How many duties this thread has. It needs no destructor, so that it is there for destructors.
    static DUTIES: Cell<usize> = const { Cell::new(0) };
}

/// A duty of this thread, until dropped.
pub(crate) struct Duty(PhantomData<*const ()>);

impl Duty {
    pub fn begin() -> Self {
        change(|duties| duties + 1);
        Self(PhantomData)
    }

    /// Whether this thread is on duty.
    pub fn is_on() -> bool {
        DUTIES.try_with(Cell::get).is_ok_and(|duties| duties > 0)
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        change(|duties| duties - 1);
    }
}

fn change(change: impl FnOnce(usize) -> usize) {
    let _ = DUTIES.try_with(|duties| duties.set(change(duties.get())));
}
