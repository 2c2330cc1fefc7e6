//! The timer that removes what has expired, whichever engine keeps it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clock::now_ms;
use crate::engine::Mutation;
use crate::shared::Shared;
use crate::{Error, Result};

/// How many entries one commit removes, so that writers get their turn in between.
pub(crate) const PURGE_MAX: usize = 1000;

/// The longest sleep. Another process may set something that expires sooner, of which the timer hears
/// only while somebody watches, and the machine's clock may be set, of which it hears nothing: so it
/// looks now and then.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// How long to leave the store alone after a purge failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Sleeps until the next expiry, then removes what is due.
#[derive(Default)]
pub(crate) struct ExpiryTimer {
    alarm: Arc<Alarm>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What wakes the timer.
pub(crate) struct Alarm {
    /// When it means to wake, in Unix milliseconds, so that a write that expires later need not
    /// take the lock.
    wakes_at_ms: AtomicI64,
    /// Guards what the thread sleeps on.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// There may be something to do sooner than was thought.
    rung: bool,
    stopped: bool,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { wakes_at_ms: AtomicI64::new(i64::MIN), state: Mutex::default(), changed: Condvar::new() }
    }
}

impl Alarm {
    fn ring(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    /// Something was committed that expires at `at_ms`.
    pub fn expect(&self, at_ms: i64) {
        // SeqCst, here and in `run`: the timer announces when it will wake and then looks for what is
        // due; a writer commits and then looks at the announcement. Either the timer finds what was
        // committed, or the writer finds the announcement and rings.
        if at_ms < self.wakes_at_ms.load(Ordering::SeqCst) {
            self.ring(|state| state.rung = true);
        }
    }
}

impl ExpiryTimer {
    /// What wakes it.
    pub fn alarm(&self) -> Arc<Alarm> {
        Arc::clone(&self.alarm)
    }

    /// Starts the thread. It keeps the store open only while it works.
    pub fn start(&self, shared: &Arc<Shared>) {
        let alarm = Arc::downgrade(&self.alarm);
        shared.clock.on_set(Box::new(move || {
            if let Some(alarm) = alarm.upgrade() {
                alarm.ring(|state| state.rung = true);
            }
        }));
        let alarm = Arc::clone(&self.alarm);
        let store = Arc::downgrade(shared);
        let thread = thread::Builder::new().name("larder-expiry".into()).spawn(move || run(&alarm, &store));
        match thread {
            Ok(thread) => *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread),
            Err(error) => {
                tracing::warn!(%error, "no thread for the expiry timer; expired entries stay on disk")
            }
        }
    }

    /// Ends the thread, and waits for it.
    pub fn stop(&self) {
        self.alarm.ring(|state| state.stopped = true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may be dropped by the thread itself, which cannot wait for itself.
        if let Some(thread) = thread.filter(|handle| handle.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

fn run(alarm: &Alarm, store: &Weak<Shared>) {
    loop {
        // Whatever is set from here on rings, until `sleep` knows better.
        alarm.wakes_at_ms.store(i64::MAX, Ordering::SeqCst);
        let pause = match store.upgrade() {
            None => return,
            Some(shared) => match purge_due(&shared) {
                Ok(None) => SLEEP_MAX,
                Ok(Some(next_ms)) => {
                    alarm.wakes_at_ms.store(next_ms, Ordering::SeqCst);
                    let wait_ms = next_ms.saturating_sub(now_ms(&*shared.clock)).max(0);
                    Duration::from_millis(wait_ms.unsigned_abs()).min(SLEEP_MAX)
                }
                Err(Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "expired entries could not be removed; trying again");
                    PAUSE_AFTER_FAILURE
                }
            },
        };
        let state = alarm.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = alarm
            .changed
            .wait_timeout_while(state, pause, |state| !state.rung && !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return;
        }
        state.rung = false;
    }
}

/// Removes what is due, and returns when the next entry will be.
fn purge_due(shared: &Shared) -> Result<Option<i64>> {
    loop {
        let next_ms = shared.engine()?.next_expiry_ms().wait()?;
        if next_ms.is_none_or(|next_ms| next_ms > now_ms(&*shared.clock)) {
            return Ok(next_ms);
        }
        shared.apply(Mutation::Purge { prefix: String::new(), max: PURGE_MAX })?;
    }
}
