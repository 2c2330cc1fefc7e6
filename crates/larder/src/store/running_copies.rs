//! The copies that run into a store. A new one waits until those whose futures were dropped have stopped.
//!
//! The future of a copy can be dropped while its thread still writes a batch. If the next run had compared the target
//! before that, it would not notice the batch: values that it has replaced and entries that it has deleted would return.

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
    /// Waits until every abandoned copy has ended. A copy that is abandoned while it waits here is not waited for by those
    /// that come later. So it has to check `abandoned` before it writes.
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
