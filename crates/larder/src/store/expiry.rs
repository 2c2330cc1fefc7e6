//! The timer that removes expired entries.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::data::clock::now_ms;
use crate::data::{Clock, ErrorKind, Result, caught, locked, report, unpoisoned};
use crate::engine::Duty;

/// The longest sleep. The timer has to look now and then: another process may set an entry that expires sooner,
/// which it learns only while there are watchers, and somebody may set the machine's clock, which it never
/// learns.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// How long to wait after a purge failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A thread that sleeps until the next entry expires, then removes it.
pub(crate) struct ExpiryTimer {
    alarm: Arc<Alarm>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Removes what is due, and returns when the next entry expires, in Unix milliseconds; or returns `None` if the
/// store is gone.
type Purge = dyn Fn() -> Option<Result<Option<i64>>> + Send;

/// Wakes the timer.
pub(crate) struct Alarm {
    /// When the timer will wake, in Unix milliseconds, so that a write that expires later need not take the lock.
    wakes_at_ms: AtomicI64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Something may be due sooner than the timer expects.
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
        change(&mut locked(&self.state));
        self.changed.notify_one();
    }

    /// Notes that a commit set an entry that expires at `at_ms`.
    pub fn expect(&self, at_ms: i64) {
        // SeqCst, here and in `run`: the timer announces when it will wake, and then looks for what is due; a
        // writer commits, and then looks at the announcement. Either the timer finds the committed entry, or the
        // writer finds the announcement and rings.
        if at_ms < self.wakes_at_ms.load(Ordering::SeqCst) {
            self.ring(|state| state.rung = true);
        }
    }
}

impl ExpiryTimer {
    /// A timer that has not started.
    pub fn new(alarm: Arc<Alarm>) -> Self {
        Self { alarm, thread: Mutex::new(None) }
    }

    /// Starts the thread.
    pub fn start(&self, clock: Arc<dyn Clock>, purge: Box<Purge>) {
        let alarm = Arc::downgrade(&self.alarm);
        clock.on_set(Box::new(move || {
            if let Some(alarm) = alarm.upgrade() {
                alarm.ring(|state| state.rung = true);
            }
        }));
        let alarm = Arc::clone(&self.alarm);
        let thread =
            thread::Builder::new().name("larder-expiry".into()).spawn(move || run(&alarm, &*clock, &*purge));
        match thread {
            Ok(thread) => *locked(&self.thread) = Some(thread),
            Err(error) => {
                report(
                    || tracing::warn!(%error, "the expiry timer got no thread; expired entries stay on disk"),
                );
            }
        }
    }

    /// Ends the thread, and waits for it.
    pub fn stop(&self) {
        self.alarm.ring(|state| state.stopped = true);
        let thread = locked(&self.thread).take();
        // The timer's own thread may drop the last handle; it cannot join itself.
        if let Some(thread) = thread.filter(|handle| handle.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
    }
}

fn run(alarm: &Alarm, clock: &dyn Clock, purge: &Purge) {
    let _duty = Duty::begin();
    loop {
        // From here until this thread announces when it wakes, every write that expires rings.
        alarm.wakes_at_ms.store(i64::MAX, Ordering::SeqCst);
        // The clock and the callbacks are the program's. Whatever they do, entries keep expiring.
        let pause = match caught("the expiry timer", || pause(alarm, clock, purge)).and_then(|pause| pause) {
            Ok(None) => return,
            Ok(Some(pause)) => pause,
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                report(|| tracing::warn!(error, "expired entries could not be removed; will retry"));
                PAUSE_AFTER_FAILURE
            }
        };
        let state = locked(&alarm.state);
        let waited = alarm.changed.wait_timeout_while(state, pause, |state| !state.rung && !state.stopped);
        let (mut state, _) = unpoisoned(waited);
        if state.stopped {
            return;
        }
        state.rung = false;
    }
}

/// Removes what is due, announces when the timer will wake, and returns how long it may sleep; or returns `None` if the
/// store is gone.
fn pause(alarm: &Alarm, clock: &dyn Clock, purge: &Purge) -> Result<Option<Duration>> {
    let Some(purged) = purge() else { return Ok(None) };
    let Some(next_ms) = purged? else { return Ok(Some(SLEEP_MAX)) };
    alarm.wakes_at_ms.store(next_ms, Ordering::SeqCst);
    let wait_ms = next_ms.saturating_sub(now_ms(clock)).max(0);
    Ok(Some(Duration::from_millis(wait_ms.unsigned_abs()).min(SLEEP_MAX)))
}
