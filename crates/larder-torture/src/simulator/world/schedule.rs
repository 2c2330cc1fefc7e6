//! Who runs next, and who rests.

use super::{STEPS_MAX, State, Thread, Woken, World};
use crate::simulator::plan::Call;

/// How long a thread rests at most, in nanoseconds.
const RESTS: u64 = 3_000_000;

/// How often others write at most while a thread rests where a plan says.
const OTHERS_WRITE: u64 = 4;

/// After so many choices of who runs next, a run has no end, too. Threads that only sleep and wake make no calls.
const CHOICES_MAX: u64 = 10 * STEPS_MAX;

impl World {
    /// Whether a thread rests before this call.
    pub(super) fn rest(&mut self, call: Call) -> Option<State> {
        if self.process() == 0 {
            return None;
        }
        if self.plan.rests_at == Some(call) {
            let written = self.written + 1 + self.schedule.below(OTHERS_WRITE);
            return self.schedule.one_in(2).then_some(State::Rests { written, until: self.now + RESTS });
        }
        let rests = self.schedule.one_in(self.rest_one_in);
        rests.then(|| State::Sleeps { until: self.now + self.schedule.below(RESTS) })
    }

    /// Who runs next. `own` is the calling thread, where it can go on.
    pub(super) fn choose(&mut self, own: Option<usize>) -> usize {
        self.choices += 1;
        if self.choices > CHOICES_MAX {
            self.give_up("the run has no end: its threads only sleep and wake");
        }
        if own.is_some() && !self.schedule.one_in(self.switch_one_in) {
            return self.current;
        }
        loop {
            let now = self.now;
            for thread in &mut self.threads {
                match thread.state {
                    State::Sleeps { until } if until <= now => thread.state = State::Ready,
                    State::Rests { written, until } if until <= now || written <= self.written => {
                        thread.state = State::Ready;
                    }
                    State::Waits { deadline: Some(deadline), .. } if deadline <= now => {
                        thread.state = State::Ready;
                        thread.woken = Woken::TimedOut;
                    }
                    _ => {}
                }
            }
            let ready = |thread: &&Thread| thread.state == State::Ready;
            let count = self.threads.iter().filter(ready).count();
            if count > 0 {
                let place = self.schedule.place(count);
                let ready = self.threads.iter().enumerate().filter(|(_, thread)| ready(thread));
                return ready.map(|(number, _)| number).nth(place).unwrap_or_default();
            }
            let deadlines = self.threads.iter().filter_map(|thread| match thread.state {
                State::Sleeps { until } | State::Rests { until, .. } => Some(until),
                State::Waits { deadline, .. } => deadline,
                _ => None,
            });
            match deadlines.min() {
                Some(soonest) => self.now = soonest,
                None => self.give_up("every thread waits for another"),
            }
        }
    }
}
