//! Which copies into a store run, so that none begins beside one that nobody waits for any more.
//!
//! The future of a copy can be dropped while its thread writes. That thread still writes what it is at. If the next run
//! had looked at the target by then, it would not see what comes after it: values that it has replaced, and entries that
//! it has deleted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};

use crate::data::locked;

/// The copies into a store that run in this process.
#[derive(Default)]
pub(crate) struct RunningCopies {
    /// The thread of each, and whether nobody waits for it any more.
    running: Mutex<Vec<(ThreadId, Arc<AtomicBool>)>>,
    ended: Condvar,
}

/// A copy that runs, until dropped.
pub(crate) struct RunningCopy<'a> {
    copies: &'a RunningCopies,
    abandoned: Arc<AtomicBool>,
}

impl RunningCopies {
    /// Waits until every copy that nobody waits for has ended. One that is abandoned while it waits here begins as well,
    /// and has to look at that first: whoever comes later does not wait for it yet.
    pub fn begin(&self, abandoned: &Arc<AtomicBool>) -> RunningCopy<'_> {
        let this = thread::current().id();
        let mut running = locked(&self.running);
        // One that runs on this thread has called back, and waits for this one.
        // Relaxed: what the flag orders is ordered by the lock.
        while running.iter().any(|(thread, abandoned)| *thread != this && abandoned.load(Ordering::Relaxed)) {
            running = self.ended.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        running.push((this, Arc::clone(abandoned)));
        RunningCopy { copies: self, abandoned: Arc::clone(abandoned) }
    }
}

impl Drop for RunningCopy<'_> {
    fn drop(&mut self) {
        locked(&self.copies.running).retain(|(_, abandoned)| !Arc::ptr_eq(abandoned, &self.abandoned));
        self.copies.ended.notify_all();
    }
}
