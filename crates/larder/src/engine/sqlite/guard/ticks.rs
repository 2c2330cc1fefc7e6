//! A clock that costs next to nothing to read, and is exact to a few milliseconds.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A moment of that clock, in milliseconds since some other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tick(i64);

impl Tick {
    #[inline]
    pub fn now() -> Self {
        Self(now_ms())
    }
}

/// Says when something has become due again.
#[derive(Debug)]
pub(super) struct Due {
    /// When it was done last. Relaxed: it guards no data.
    done: AtomicI64,
}

impl Due {
    /// Due at once.
    pub fn at_once() -> Self {
        Self { done: AtomicI64::new(i64::MIN) }
    }

    /// Whether `every` has passed since it was done last.
    #[inline]
    pub fn is_due(&self, now: Tick, every: Duration) -> bool {
        let passed = now.0.saturating_sub(self.done.load(Ordering::Relaxed));
        passed >= i64::try_from(every.as_millis()).unwrap_or(i64::MAX)
    }

    /// When it was done last.
    #[inline]
    pub fn last(&self) -> Tick {
        Tick(self.done.load(Ordering::Relaxed))
    }

    /// Makes it due.
    pub fn forget(&self) {
        self.done.store(i64::MIN, Ordering::Relaxed);
    }

    /// Notes that it was done.
    #[inline]
    pub fn done(&self, now: Tick) {
        self.done.store(now.0, Ordering::Relaxed);
    }
}

/// Milliseconds since some moment.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(feature = "simulation")))]
#[inline]
fn now_ms() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// A simulation rules the clock of the standard library alone.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(feature = "simulation"))))]
fn now_ms() -> i64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    i64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(i64::MAX)
}
