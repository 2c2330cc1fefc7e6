//! How writers wake the thread that checkpoints, and when they wait for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::data::{locked, unpoisoned};

/// How long a commit waits at most for a checkpoint that the writers have outrun.
const WAIT_MAX: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct Signal {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether a commit is to wait. Relaxed, as below: it guards no data, and seen late it costs one commit more.
    crowded: AtomicBool,
    /// Whether the thread was called and has not finished.
    called: AtomicBool,
}

#[derive(Default)]
struct State {
    woken: bool,
    /// Whether a checkpoint copies right now; while it rests, nobody waits for it.
    works: bool,
    stopped: bool,
}

impl Signal {
    /// Wakes the thread, unless it was called before. Returns whether this call did.
    pub fn call(&self, is_crowded: bool) -> bool {
        if is_crowded {
            self.crowded.store(true, Ordering::Relaxed);
        }
        if self.called.load(Ordering::Relaxed) || self.called.swap(true, Ordering::Relaxed) {
            return false;
        }
        locked(&self.state).woken = true;
        self.changed.notify_all();
        true
    }

    /// Lets the next long log call again.
    pub fn arm(&self) {
        self.set_works(false);
        self.called.store(false, Ordering::Relaxed);
    }

    /// Waits to be called; returns whether there is more to do.
    pub fn wait(&self) -> bool {
        let idle = |state: &mut State| !state.woken && !state.stopped;
        let mut state = unpoisoned(self.changed.wait_while(locked(&self.state), idle));
        state.woken = false;
        state.works = !state.stopped;
        state.works
    }

    /// Rests between two attempts; returns whether the store is closed meanwhile.
    pub fn rest(&self, time: Duration) -> bool {
        self.set_works(false);
        let goes_on = |state: &mut State| !state.stopped;
        unpoisoned(self.changed.wait_timeout_while(locked(&self.state), time, goes_on)).0.stopped
    }

    pub fn resume(&self) {
        self.set_works(true);
    }

    fn set_works(&self, works: bool) {
        locked(&self.state).works = works;
        if !works {
            self.crowded.store(false, Ordering::Relaxed);
            self.changed.notify_all();
        }
    }

    pub fn stop(&self) {
        locked(&self.state).stopped = true;
        self.changed.notify_all();
    }

    /// Waits while a checkpoint copies, if the log is too long, and not for long.
    #[inline]
    pub fn let_catch_up(&self) {
        if self.crowded.load(Ordering::Relaxed) {
            self.wait_for_copying();
        }
    }

    #[cold]
    fn wait_for_copying(&self) {
        let works = |state: &mut State| state.works && !state.stopped;
        drop(self.changed.wait_timeout_while(locked(&self.state), WAIT_MAX, works));
        self.crowded.store(false, Ordering::Relaxed);
    }
}
