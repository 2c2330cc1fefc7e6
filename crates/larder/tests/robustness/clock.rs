//! Clocks that differ: each client has one that can be set while it runs.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use larder::{Clock, WallClock};

/// How far a client's clock may be ahead of the machine's, or behind it.
pub const SKEW_MAX_MS: i64 = 1000;

/// By how much the clocks of two clients may differ, and how old the time may be by which a write is decided.
pub const DIFFERENCE_MAX: Duration = Duration::from_millis(2 * SKEW_MAX_MS as u64 + 4000);

/// The machine's clock, and a difference to it.
#[derive(Clone, Default)]
pub struct SkewedClock(Arc<Shared>);

#[derive(Default)]
struct Shared {
    ahead_ms: AtomicI64,
    /// What to call when the clock is set.
    tells: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

impl SkewedClock {
    /// Sets how far it is ahead of the machine's; negative for behind it.
    pub fn set(&self, ahead_ms: i64) {
        self.0.ahead_ms.store(ahead_ms, Ordering::SeqCst);
        self.0.tells.lock().unwrap().iter().for_each(|tell| tell());
    }

    pub fn ahead_ms(&self) -> i64 {
        self.0.ahead_ms.load(Ordering::SeqCst)
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> SystemTime {
        let ahead = Duration::from_millis(self.ahead_ms().unsigned_abs());
        if self.ahead_ms() < 0 { SystemTime::now() - ahead } else { SystemTime::now() + ahead }
    }

    fn passed(&self) -> Option<Duration> {
        WallClock.passed()
    }

    fn on_set(&self, tell: Box<dyn Fn() + Send + Sync>) {
        self.0.tells.lock().unwrap().push(tell);
    }
}

impl fmt::Debug for SkewedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SkewedClock").field(&self.ahead_ms()).finish()
    }
}
