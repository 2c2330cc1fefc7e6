//! How long a copy tries to go on.

use std::time::{Duration, Instant};

/// How long a copy tries to go on while a store cannot be reached, or others are always faster, before it ends
/// with that error.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Tells how long a copy has stood still.
///
/// An attempt that fails is made again from the beginning, and may read for long before it is where the one before
/// it was. To read that is not to stand still; but only what was never reached before, or is written, says that
/// all is well again. Otherwise a store that can be read and not be written to would be tried for ever.
pub(super) struct Patience {
    /// When it last took a step, or failed.
    last: Instant,
    /// When it last got further than ever, or began an attempt.
    further: Instant,
    /// How many steps this attempt has taken, and the most that any has.
    steps: u64,
    steps_max: u64,
    stood_still: Duration,
}

impl Patience {
    pub fn new(now: Instant) -> Self {
        Self { last: now, further: now, steps: 0, steps_max: 0, stood_still: Duration::ZERO }
    }

    /// An attempt begins.
    pub fn begin(&mut self, now: Instant) {
        self.steps = 0;
        self.further = now;
    }

    /// Something was read. It may be more each time, and not get the copy anywhere.
    pub fn is_alive(&mut self, now: Instant) {
        self.last = now;
    }

    /// One more entry was looked at.
    pub fn step(&mut self, now: Instant) {
        self.last = now;
        self.steps += 1;
        if self.steps > self.steps_max {
            self.steps_max = self.steps;
            self.get_on(now);
        }
    }

    /// It is further than it ever was.
    pub fn get_on(&mut self, now: Instant) {
        self.last = now;
        self.further = now;
        self.stood_still = Duration::ZERO;
    }

    /// An attempt has failed; whether that is enough. Where what it has read was `in_vain`, as the moment or the
    /// log that it was read for is lost, the time for that counts, too.
    pub fn is_over(&mut self, now: Instant, in_vain: bool) -> bool {
        let since = if in_vain { self.last.min(self.further) } else { self.last };
        self.stood_still += now.saturating_duration_since(since);
        self.last = now;
        self.stood_still > PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    /// A copy's patience, and the time.
    struct Copying {
        patience: Patience,
        now: Instant,
    }

    impl Copying {
        fn new() -> Self {
            let now = Instant::now();
            Self { patience: Patience::new(now), now }
        }

        /// Begins anew, and takes steps that take so long.
        fn attempt(&mut self, steps: u64, each: Duration) {
            self.patience.begin(self.now);
            for _ in 0..steps {
                self.now += each;
                self.patience.step(self.now);
            }
        }

        /// Fails after a wait.
        fn fail(&mut self, after: Duration) -> bool {
            self.now += after;
            self.patience.is_over(self.now, false)
        }
    }

    #[test]
    fn a_short_outage_is_waited_for_however_long_nothing_was_written() {
        let mut copying = Copying::new();
        copying.attempt(100, MINUTE);
        assert!(!copying.fail(5 * SECOND));
        // And another one, sooner.
        copying.attempt(80, MINUTE);
        assert!(!copying.fail(5 * SECOND));
    }

    #[test]
    fn a_store_that_cannot_be_reached_is_given_up_in_the_end() {
        let mut copying = Copying::new();
        copying.attempt(100, MINUTE);
        for _ in 0..12 {
            assert!(!copying.fail(5 * SECOND));
            copying.attempt(0, SECOND);
        }
        assert!(copying.fail(5 * SECOND));
    }

    #[test]
    fn a_store_that_can_only_be_read_is_given_up_in_the_end() {
        let mut copying = Copying::new();
        for _ in 0..12 {
            copying.attempt(100, MINUTE);
            assert!(!copying.fail(5 * SECOND));
        }
        copying.attempt(100, MINUTE);
        assert!(copying.fail(5 * SECOND));
    }

    #[test]
    fn whoever_gets_further_than_ever_has_all_the_time_again() {
        let mut copying = Copying::new();
        for attempt in 0..100 {
            copying.attempt(attempt + 1, SECOND);
            assert!(!copying.fail(50 * SECOND));
            copying.attempt(attempt, SECOND);
            copying.patience.get_on(copying.now);
            assert!(!copying.fail(50 * SECOND));
        }
    }

    #[test]
    fn what_is_read_in_vain_again_and_again_is_time_lost() {
        let mut copying = Copying::new();
        copying.attempt(100, SECOND);
        assert!(!copying.patience.is_over(copying.now, true));
        copying.attempt(101, SECOND);
        assert!(!copying.patience.is_over(copying.now, true), "it got further");
        copying.attempt(50, SECOND);
        assert!(!copying.patience.is_over(copying.now, true));
        copying.attempt(50, SECOND);
        assert!(copying.patience.is_over(copying.now, true));
    }
}
