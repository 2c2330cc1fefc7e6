//! The clock of a store.

use super::contained::caught;
use super::error::Result;
use super::locked::locked;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The clock of a store: [`WallClock`] unless set with [`Options::clock`](crate::Options::clock), and
/// [`ManualClock`] in tests.
///
/// This clock alone decides what has expired, to the millisecond.
///
/// A clock should not panic. If it does, a read panics in its caller, a write fails with
/// [`Error::Panicked`](crate::Error::Panicked), and the expiry timer tries again a second later.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use larder::{Clock, Store};
///
/// /// Runs one hour ahead.
/// #[derive(Debug)]
/// struct Ahead;
///
/// impl Clock for Ahead {
///     fn now(&self) -> SystemTime {
///         SystemTime::now() + Duration::from_secs(3600)
///     }
/// }
///
/// let store = Store::options().clock(Ahead).in_memory()?;
/// # Ok::<(), larder::Error>(())
/// ```
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the current time.
    fn now(&self) -> SystemTime;

    /// Returns the time since a fixed moment, which setting the clock does not change.
    ///
    /// By this a store notices that the clock was set: by a bad time server, or when a virtual machine resumes. If
    /// [`now`](Self::now) has moved by over a minute more or less than this, reads follow the clock, but what has
    /// expired is not removed from storage until the clock has come back, or has passed evenly for ten minutes. So a
    /// clock that leaps ahead and back loses nothing.
    ///
    /// The default implementation returns `None`: then the clock is always believed.
    fn passed(&self) -> Option<Duration> {
        None
    }

    /// Registers a function to call whenever the time is set, as opposed to passing.
    ///
    /// The store's expiry timer sleeps until the next entry expires, so a clock that jumps has to wake it. The
    /// default implementation ignores the function, which is right for a clock that never jumps.
    fn on_set(&self, tell: Box<dyn Fn() + Send + Sync>) {
        drop(tell);
    }
}

/// A shared clock is a clock.
impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }

    fn passed(&self) -> Option<Duration> {
        (**self).passed()
    }

    fn on_set(&self, tell: Box<dyn Fn() + Send + Sync>) {
        (**self).on_set(tell);
    }
}

/// The clock of the machine: [`SystemTime::now`].
///
/// ```
/// let store = larder::Store::options().clock(larder::WallClock).in_memory()?; // the default
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn passed(&self) -> Option<Duration> {
        Some(since_boot())
    }
}

/// The time since the machine was started, including the time for which it was suspended.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(feature = "simulation")))]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// The time that has passed since the first call. Whether that includes the time for which the machine was suspended
/// depends on the system. A simulation rules this clock, and not the other.
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(feature = "simulation"))))]
fn since_boot() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

/// A clock that stands still until it is moved, so that tests need not sleep.
///
/// Clones share one time.
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
    time: Mutex<ManualTime>,
    /// Called whenever the time is set.
    listeners: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
}

#[derive(Clone, Copy, Default)]
struct ManualTime {
    /// Since the Unix epoch.
    now: Duration,
    /// By how much it was moved forwards as time passes, and not set.
    passed: Duration,
}

impl ManualClock {
    /// Creates a clock that shows 2026-01-01T00:00:00Z.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use larder::{Clock, ManualClock};
    /// assert_eq!(ManualClock::new().now(), UNIX_EPOCH + Duration::from_secs(1_767_225_600));
    /// ```
    pub fn new() -> Self {
        Self::at(UNIX_EPOCH + Duration::from_secs(1_767_225_600))
    }

    /// Creates a clock that shows `time`. A time before 1970 counts as 1970.
    ///
    /// ```
    /// use std::time::UNIX_EPOCH;
    /// use larder::{Clock, ManualClock};
    /// assert_eq!(ManualClock::at(UNIX_EPOCH).now(), UNIX_EPOCH);
    /// ```
    pub fn at(time: SystemTime) -> Self {
        let clock = Self::default();
        clock.set(time);
        clock
    }

    /// Moves the time forwards, as time passes.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use larder::{Clock, ManualClock};
    /// let clock = ManualClock::at(UNIX_EPOCH);
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(clock.now(), UNIX_EPOCH + Duration::from_secs(1));
    /// ```
    pub fn advance(&self, by: Duration) {
        self.update(|time| ManualTime {
            now: time.now.saturating_add(by),
            passed: time.passed.saturating_add(by),
        });
    }

    /// Sets the time, forwards or back, as somebody sets a clock: no time passes. A time before 1970 counts as 1970.
    ///
    /// If that moves the time by over a minute, a store waits with the removal of what has expired: see
    /// [`Clock::passed`].
    ///
    /// ```
    /// use std::time::UNIX_EPOCH;
    /// use larder::{Clock, ManualClock};
    /// let clock = ManualClock::new();
    /// clock.set(UNIX_EPOCH);
    /// assert_eq!(clock.now(), UNIX_EPOCH);
    /// ```
    pub fn set(&self, time: SystemTime) {
        let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.update(|before| ManualTime { now: time, ..before });
    }

    fn update(&self, change: impl FnOnce(ManualTime) -> ManualTime) {
        {
            let mut time = locked(&self.0.time);
            *time = change(*time);
        }
        // Called without a lock held: a listener may read the time, or set it.
        let listeners = locked(&self.0.listeners).clone();
        for tell in listeners {
            tell();
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        let now = locked(&self.0.time).now;
        // What the system cannot express is as late as anything that larder can.
        UNIX_EPOCH.checked_add(now).unwrap_or_else(|| time(LAST_MS))
    }

    fn passed(&self) -> Option<Duration> {
        Some(locked(&self.0.time).passed)
    }

    fn on_set(&self, tell: Box<dyn Fn() + Send + Sync>) {
        locked(&self.0.listeners).push(tell.into());
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

/// The last millisecond that RFC 3339 can express, 9999-12-31T23:59:59.999Z. What would expire later never
/// expires.
const LAST_MS: i64 = 253_402_300_799_999;

/// Returns the clock's time in milliseconds since the Unix epoch, on a thread that works for others as well: if the
/// clock panics, the call that needed the time gets an error.
pub(crate) fn try_now_ms(clock: &dyn Clock) -> Result<i64> {
    caught("the clock of the store", || now_ms(clock))
}

/// Returns the clock's time in milliseconds since the Unix epoch.
pub(crate) fn now_ms(clock: &dyn Clock) -> i64 {
    ms(clock.now())
}

/// Returns a time in milliseconds since the Unix epoch.
pub(crate) fn ms(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        // Rounded down, as after 1970.
        Err(before) => -i64::try_from(before.duration().as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX),
    }
}

/// Returns when an entry expires that is set to expire at `time`; `None` if that is after [`LAST_MS`]. A part of a
/// millisecond counts as a whole one, as in [`expiry_ms`].
pub(crate) fn expiry_at_ms(time: SystemTime) -> Option<i64> {
    let floor = ms(time);
    let has_part = time.duration_since(self::time(floor)).is_ok_and(|part| !part.is_zero());
    floor.checked_add(has_part.into()).filter(|at| *at <= LAST_MS)
}

/// Returns when an entry written now with this TTL expires; `None` if that is after [`LAST_MS`]. A part of a
/// millisecond counts as a whole one, so that no entry expires too early.
pub(crate) fn expiry_ms(clock: &dyn Clock, ttl: Duration) -> Option<i64> {
    let ttl_ms = i64::try_from(ttl.as_nanos().div_ceil(1_000_000)).ok()?;
    now_ms(clock).checked_add(ttl_ms).filter(|at| *at <= LAST_MS)
}

/// Returns the time of a number of milliseconds since the Unix epoch.
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
        for (nanoseconds, expires_at) in [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(expiry_at_ms(UNIX_EPOCH + Duration::from_nanos(nanoseconds)), Some(expires_at));
        }
        assert_eq!(expiry_at_ms(UNIX_EPOCH - Duration::from_nanos(1)), Some(0));
        assert_eq!(expiry_at_ms(UNIX_EPOCH - Duration::from_nanos(1_000_001)), Some(-1));
        assert_eq!(expiry_at_ms(time(LAST_MS)), Some(LAST_MS));
        assert_eq!(expiry_at_ms(time(LAST_MS) + Duration::from_nanos(1)), None);
        assert_eq!(expiry_at_ms(time(i64::MAX)), None);
    }
}
