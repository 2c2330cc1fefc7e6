//! Whether the clock passes as time does, or was set.
//!
//! A clock that leaps ahead, by a bad time server or when a virtual machine resumes, makes everything with a TTL look
//! expired. Reads follow the clock, and are right again once it is. What was purged meanwhile is gone. So purging waits
//! until the clock has come back, or has passed evenly for a while.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clock::{Clock, ms};
use super::contained::report;
use super::locked::locked;

/// By how much a clock may differ from the time that has passed since the last look.
const BOUND_MS: i64 = 60_000;

/// One in so many is allowed on top: clocks run unevenly, and are slewed.
const DRIFT: i64 = 1000;

/// How long a clock that has leapt has to pass evenly.
const WAIT_MS: i64 = 10 * 60_000;

/// Watches one clock.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    clock: Arc<dyn Clock>,
    state: Mutex<Option<State>>,
}

/// What the last look saw. All in milliseconds.
#[derive(Clone, Copy, Debug)]
struct State {
    passed: i64,
    /// The clock's time less the time that has passed: constant, while the clock passes evenly.
    offset: i64,
    /// The offset before the clock leapt, and when it began to pass evenly again.
    leapt: Option<(i64, i64)>,
}

impl ClockWatch {
    /// The clock counts as right now.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let watch = Self { clock, state: Mutex::new(None) };
        // A clock that panics is looked at later.
        let _ = super::contained::caught("the clock", || watch.may_purge());
        watch
    }

    /// Looks at the clock; returns whether what it calls expired may be removed.
    pub fn may_purge(&self) -> bool {
        // A clock that does not tell how much time has passed is believed.
        let Some(passed) = self.clock.passed() else { return true };
        let passed = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let offset = ms(self.clock.now()).saturating_sub(passed);
        let mut state = locked(&self.state);
        let Some(before) = *state else {
            *state = Some(State { passed, offset, leapt: None });
            return true;
        };
        let bound = passed.saturating_sub(before.passed) / DRIFT + BOUND_MS;
        let is_near = |other: i64| offset.saturating_sub(other).saturating_abs() <= bound;
        let leapt = match before.leapt {
            None if is_near(before.offset) => None,
            None => Some((before.offset, passed)),
            Some((right, _)) if is_near(right) => None,
            Some((right, since)) if is_near(before.offset) => {
                (passed.saturating_sub(since) < WAIT_MS).then_some((right, since))
            }
            Some((right, _)) => Some((right, passed)),
        };
        *state = Some(State { passed, offset, leapt });
        drop(state);
        if leapt.is_some() && before.leapt.is_none() {
            let by = Duration::from_millis(offset.saturating_sub(before.offset).unsigned_abs());
            let way = if offset > before.offset { "ahead" } else { "back" };
            report(|| tracing::warn!("the clock was set {way} by {by:?}; expired entries are removed later"));
        }
        leapt.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ManualClock;

    const MINUTE: Duration = Duration::from_secs(60);

    fn watch() -> (ManualClock, ClockWatch) {
        let clock = ManualClock::new();
        (clock.clone(), ClockWatch::new(Arc::new(clock)))
    }

    #[test]
    fn a_clock_that_passes_is_believed_however_long_nobody_looked() {
        let (clock, watch) = watch();
        for minutes in [0, 1, 60, 60 * 24 * 365] {
            clock.advance(MINUTE * minutes);
            assert!(watch.may_purge());
        }
    }

    #[test]
    fn small_corrections_and_drift_are_no_leap() {
        let (clock, watch) = watch();
        clock.set(clock.now() + MINUTE);
        assert!(watch.may_purge());
        clock.set(clock.now() - MINUTE);
        assert!(watch.may_purge());
        clock.advance(MINUTE * 60 * 24);
        clock.set(clock.now() + MINUTE * 2);
        assert!(watch.may_purge(), "a drift of a thousandth in a day");
    }

    #[test]
    fn after_a_leap_purging_waits_until_the_clock_has_come_back() {
        for leap in [MINUTE * 2, MINUTE * 60 * 24 * 3650] {
            let (clock, watch) = watch();
            clock.set(clock.now() + leap);
            assert!(!watch.may_purge());
            clock.advance(MINUTE * 9);
            assert!(!watch.may_purge());
            clock.set(clock.now() - leap);
            assert!(watch.may_purge());
        }
    }

    #[test]
    fn after_a_leap_purging_waits_until_the_clock_has_passed_evenly_for_ten_minutes() {
        let (clock, watch) = watch();
        clock.set(clock.now() + MINUTE * 60);
        assert!(!watch.may_purge());
        clock.advance(MINUTE * 9);
        assert!(!watch.may_purge());
        clock.set(clock.now() + MINUTE * 60);
        assert!(!watch.may_purge(), "another leap");
        clock.advance(MINUTE * 9);
        assert!(!watch.may_purge());
        clock.advance(MINUTE);
        assert!(watch.may_purge());
        clock.advance(MINUTE);
        assert!(watch.may_purge());
    }

    #[test]
    fn a_leap_back_counts_as_well() {
        let (clock, watch) = watch();
        clock.set(clock.now() - MINUTE * 60);
        assert!(!watch.may_purge());
        clock.set(clock.now() + MINUTE * 60);
        assert!(watch.may_purge());
    }
}
