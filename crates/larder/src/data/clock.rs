//! Where a store takes the time from.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a store takes the time from: the wall clock, or a [`ManualClock`] in tests.
///
/// Expiry is decided by this clock alone, to the millisecond.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> SystemTime;

    /// Asks to be told when the time is set, rather than passes. The store's expiry timer
    /// sleeps until something is due, and a clock that is moved by hand must wake it. A clock
    /// that only ever runs has nothing to tell, which is what this method does by itself.
    fn on_set(&self, tell: Box<dyn Fn() + Send + Sync>) {
        drop(tell);
    }
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that stands still until it is moved, so that no test has to sleep.
///
/// Clones show the same time.
///
/// ```
/// use std::time::Duration;
/// use larder::{ManualClock, Store};
///
/// let clock = ManualClock::new();
/// let store = Store::options().clock(clock.clone()).in_memory()?;
/// store.set_with_ttl("session", "token", "abc", Duration::from_secs(60))?;
///
/// clock.advance(Duration::from_millis(59_999));
/// assert!(store.exists("session", "token")?);
/// clock.advance(Duration::from_millis(1));
/// assert!(!store.exists("session", "token")?);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ManualClock(Arc<Manual>);

#[derive(Default)]
struct Manual {
    /// Since the Unix epoch.
    now: Mutex<Duration>,
    /// Whom to tell that the time was set.
    listeners: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

impl ManualClock {
    /// A clock that shows 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        Self::at(UNIX_EPOCH + Duration::from_secs(1_767_225_600))
    }

    /// A clock that shows `time`; anything before 1970 counts as 1970.
    pub fn at(time: SystemTime) -> Self {
        let clock = Self::default();
        clock.set(time);
        clock
    }

    /// Moves the time on.
    pub fn advance(&self, by: Duration) {
        self.update(|now| now.saturating_add(by));
    }

    /// Sets the time, forwards or back.
    pub fn set(&self, time: SystemTime) {
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.update(|_| time);
    }

    fn update(&self, change: impl FnOnce(Duration) -> Duration) {
        {
            let mut now = self.0.now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = change(*now);
        }
        // Told without a lock held: a listener may read the time, or set it.
        let listeners = self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for tell in listeners {
            tell();
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        let now = *self.0.now.lock().unwrap_or_else(PoisonError::into_inner);
        UNIX_EPOCH.checked_add(now).unwrap_or(UNIX_EPOCH)
    }

    fn on_set(&self, tell: Box<dyn Fn() + Send + Sync>) {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(tell.into());
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

/// The last millisecond that RFC 3339 can write, 9999-12-31T23:59:59.999Z: what would expire
/// later never does.
const LAST_MS: i64 = 253_402_300_799_999;

/// The clock's time in milliseconds since the Unix epoch.
pub(crate) fn now_ms(clock: &dyn Clock) -> i64 {
    ms(clock.now())
}

/// A time in milliseconds since the Unix epoch.
pub(crate) fn ms(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// When an entry written now with this TTL expires; `None` where that is too far off to write
/// down. A part of a millisecond counts as a whole one, so that no entry lives shorter than asked.
pub(crate) fn expiry_ms(clock: &dyn Clock, ttl: Duration) -> Option<i64> {
    let ttl_ms = i64::try_from(ttl.as_nanos().div_ceil(1_000_000)).ok()?;
    now_ms(clock).checked_add(ttl_ms).filter(|at| *at <= LAST_MS)
}

/// Milliseconds since the Unix epoch, as a time.
pub(crate) fn time(ms: i64) -> SystemTime {
    let distance = Duration::from_millis(ms.unsigned_abs());
    let time = if ms < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_too_long_to_represent_never_expires() {
        let clock = ManualClock::new();
        assert_eq!(expiry_ms(&clock, Duration::MAX), None);
        assert_eq!(expiry_ms(&clock, Duration::from_secs(1 << 60)), None);
        assert_eq!(expiry_ms(&clock, Duration::from_millis(5)), Some(1_767_225_600_005));
    }

    #[test]
    fn a_part_of_a_millisecond_counts_as_a_whole_one() {
        let clock = ManualClock::new();
        assert_eq!(expiry_ms(&clock, Duration::from_nanos(1)), Some(1_767_225_600_001));
    }
}
