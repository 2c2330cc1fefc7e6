//! The callbacks that run before a write returns.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::data::{Error, Event, Result, contained, locked};

/// How many callbacks deep a write may be: a callback may write, which calls callbacks, and so on.
const DEPTH_MAX: usize = 16;

thread_local! {
    /// How many callbacks this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// The functions to call after a commit, oldest first.
#[derive(Default)]
pub(crate) struct Callbacks {
    list: Mutex<Vec<Arc<Callback>>>,
    /// The length of the list, so that a commit without any takes no lock.
    length: AtomicUsize,
}

/// A function to call with each change.
pub(crate) type Callback = dyn Fn(&Arc<Event>) + Send + Sync;

impl Callbacks {
    pub fn is_empty(&self) -> bool {
        self.length.load(Ordering::SeqCst) == 0
    }

    /// How many callbacks deep the calling thread is, if a write may still be made there.
    pub fn depth(&self) -> Result<usize> {
        let depth = DEPTH.get();
        if depth >= DEPTH_MAX { Err(Error::CallbackLoop { depth }) } else { Ok(depth) }
    }

    pub fn run(&self, events: &[Arc<Event>], depth: usize) {
        if events.is_empty() || self.is_empty() {
            return;
        }
        // Called without the lock held: a callback may register and unregister, and write.
        let callbacks = locked(&self.list).clone();
        DEPTH.set(depth + 1);
        for event in events {
            for callback in &callbacks {
                // The write is done, and other callbacks wait for the event: a panic is reported and
                // goes no further.
                contained("a change callback", || callback(event));
            }
        }
        DEPTH.set(depth);
    }

    pub fn clear(&self) {
        self.change(Vec::clear);
    }

    pub fn change(&self, change: impl FnOnce(&mut Vec<Arc<Callback>>)) {
        let mut list = locked(&self.list);
        change(&mut list);
        self.length.store(list.len(), Ordering::SeqCst);
    }
}
