//! How long a copy keeps trying.

use std::time::{Duration, Instant};

/// How long a copy may make no progress, because a store cannot be reached or other writers are always faster,
/// before it ends with that error.
pub(super) const STALL_MAX: Duration = Duration::from_secs(60);

/// Measures how long a copy has made no progress.
///
/// An attempt that failed is repeated from the beginning, and may read for long until it is where the last one was.
/// Reading is no stall, but it does not refill the budget either: only a write does, or an entry that no attempt
/// reached before. Otherwise a store that can be read but not written would be retried forever.
pub(super) struct RetryBudget {
    /// When the copy last took a step, or failed.
    last: Instant,
    /// When the copy last got further than ever, or began an attempt.
    further: Instant,
    /// How many steps this attempt has taken.
    steps: u64,
    /// The most steps that any attempt has taken.
    steps_max: u64,
    stalled: Duration,
}

impl RetryBudget {
    pub fn new(now: Instant) -> Self {
        Self { last: now, further: now, steps: 0, steps_max: 0, stalled: Duration::ZERO }
    }

    /// An attempt begins.
    pub fn begin(&mut self, now: Instant) {
        self.steps = 0;
        self.further = now;
    }

    /// Something was read, which need not mean progress.
    pub fn stay_alive(&mut self, now: Instant) {
        self.last = now;
    }

    /// One more entry was looked at.
    pub fn step(&mut self, now: Instant) {
        self.last = now;
        self.steps += 1;
        if self.steps > self.steps_max {
            self.steps_max = self.steps;
            self.refill(now);
        }
    }

    /// The copy is further than it ever was.
    pub fn refill(&mut self, now: Instant) {
        self.last = now;
        self.further = now;
        self.stalled = Duration::ZERO;
    }

    /// Notes that an attempt failed, and returns whether the budget is spent. If what it read was `in_vain`, because
    /// the snapshot or the log that it read is lost, the time for reading counts, too.
    pub fn is_spent(&mut self, now: Instant, in_vain: bool) -> bool {
        let since = if in_vain { self.last.min(self.further) } else { self.last };
        self.stalled += now.saturating_duration_since(since);
        self.last = now;
        self.stalled > STALL_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    /// A copy's budget, and the time.
    struct Copying {
        budget: RetryBudget,
        now: Instant,
    }

    impl Copying {
        fn new() -> Self {
            let now = Instant::now();
            Self { budget: RetryBudget::new(now), now }
        }

        /// Begins an attempt, and takes steps of a duration.
        fn attempt(&mut self, steps: u64, each: Duration) {
            self.budget.begin(self.now);
            for _ in 0..steps {
                self.now += each;
                self.budget.step(self.now);
            }
        }

        /// Fails after a wait, and returns whether the budget is spent.
        fn fail(&mut self, after: Duration) -> bool {
            self.now += after;
            self.budget.is_spent(self.now, false)
        }
    }

    #[test]
    fn a_short_outage_is_waited_out_after_any_time_without_a_write() {
        let mut copying = Copying::new();
        copying.attempt(100, MINUTE);
        assert!(!copying.fail(5 * SECOND));
        // And another one, sooner.
        copying.attempt(80, MINUTE);
        assert!(!copying.fail(5 * SECOND));
    }

    #[test]
    fn a_copy_gives_up_on_an_unreachable_store() {
        let mut copying = Copying::new();
        copying.attempt(100, MINUTE);
        for _ in 0..12 {
            assert!(!copying.fail(5 * SECOND));
            copying.attempt(0, SECOND);
        }
        assert!(copying.fail(5 * SECOND));
    }

    #[test]
    fn a_copy_gives_up_on_a_store_that_can_only_be_read() {
        let mut copying = Copying::new();
        for _ in 0..12 {
            copying.attempt(100, MINUTE);
            assert!(!copying.fail(5 * SECOND));
        }
        copying.attempt(100, MINUTE);
        assert!(copying.fail(5 * SECOND));
    }

    #[test]
    fn progress_refills_the_whole_budget() {
        let mut copying = Copying::new();
        for attempt in 0..100 {
            copying.attempt(attempt + 1, SECOND);
            assert!(!copying.fail(50 * SECOND));
            copying.attempt(attempt, SECOND);
            copying.budget.refill(copying.now);
            assert!(!copying.fail(50 * SECOND));
        }
    }

    #[test]
    fn reading_in_vain_spends_the_budget() {
        let mut copying = Copying::new();
        copying.attempt(100, SECOND);
        assert!(!copying.budget.is_spent(copying.now, true));
        copying.attempt(101, SECOND);
        assert!(!copying.budget.is_spent(copying.now, true), "it got further");
        copying.attempt(50, SECOND);
        assert!(!copying.budget.is_spent(copying.now, true));
        copying.attempt(50, SECOND);
        assert!(copying.budget.is_spent(copying.now, true));
    }
}
