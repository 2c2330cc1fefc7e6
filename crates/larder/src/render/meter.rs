//! Counts what a rendering uses, and ends it once that is too much.

use std::cell::Cell;
use std::time::Instant;

use super::fault::{Fault, Outcome};
use super::limits::{BYTES_MAX, STEPS_MAX, TIME_MAX};

/// How many bytes count as one step.
const BYTES_PER_STEP: u64 = 64;

/// How many steps go by between two looks at the clock.
const STEPS_PER_LOOK: u64 = 1024;

/// What one rendering has used. Once a limit is reached, every later call fails, too.
#[derive(Debug)]
pub(super) struct Meter {
    steps: Cell<u64>,
    bytes: Cell<u64>,
    next_look: Cell<u64>,
    is_late: Cell<bool>,
    deadline: Instant,
}

impl Meter {
    pub fn new() -> Self {
        Self {
            steps: Cell::new(0),
            bytes: Cell::new(0),
            next_look: Cell::new(STEPS_PER_LOOK),
            is_late: Cell::new(false),
            deadline: Instant::now() + TIME_MAX,
        }
    }

    /// Counts steps.
    pub fn step(&self, steps: u64) -> Outcome<()> {
        let total = self.steps.get().saturating_add(steps);
        self.steps.set(total);
        if total >= self.next_look.get() {
            self.next_look.set(total + STEPS_PER_LOOK);
            self.look_at_the_clock()?;
        }
        self.check()
    }

    /// Counts the steps of reading or comparing some bytes.
    pub fn read(&self, bytes: usize) -> Outcome<()> {
        self.step(bytes as u64 / BYTES_PER_STEP)
    }

    /// Counts bytes. It is called before they are allocated.
    pub fn make(&self, bytes: usize) -> Outcome<()> {
        self.bytes.set(self.bytes.get().saturating_add(bytes as u64));
        self.check()
    }

    /// Fails if the time is over. It is called after what takes long by itself, such as a read of the store.
    pub fn look_at_the_clock(&self) -> Outcome<()> {
        if Instant::now() > self.deadline {
            self.is_late.set(true);
        }
        self.check()
    }

    /// Fails if anything was too much already.
    pub fn check(&self) -> Outcome<()> {
        if self.steps.get() <= STEPS_MAX && self.bytes.get() <= BYTES_MAX && !self.is_late.get() {
            return Ok(());
        }
        Err(Fault::new(if self.is_late.get() {
            format!("it takes more than {TIME_MAX:?}")
        } else if self.bytes.get() > BYTES_MAX {
            format!("out of fuel: it makes more than {} MiB", BYTES_MAX >> 20)
        } else {
            format!("out of fuel: it takes more than {STEPS_MAX} steps")
        }))
    }
}

/// A text that is counted before it grows.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    meter: &'a Meter,
    text: String,
}

impl<'a> Draft<'a> {
    pub fn new(meter: &'a Meter) -> Self {
        Self { meter, text: String::new() }
    }

    /// Goes on with a text that was counted before.
    pub fn onto(meter: &'a Meter, text: String) -> Self {
        Self { meter, text }
    }

    pub fn push(&mut self, text: &str) -> Outcome<()> {
        self.meter.make(text.len())?;
        self.text.push_str(text);
        Ok(())
    }

    /// Counts steps that write nothing.
    pub fn count(&self, steps: u64) -> Outcome<()> {
        self.meter.step(steps)
    }

    /// Counts bytes that are made on the way.
    pub fn count_bytes(&self, bytes: usize) -> Outcome<()> {
        self.meter.make(bytes)
    }

    pub fn push_char(&mut self, character: char) -> Outcome<()> {
        self.push(character.encode_utf8(&mut [0; 4]))
    }

    pub fn repeat(&mut self, text: &str, times: usize) -> Outcome<()> {
        if text.is_empty() {
            // It makes no bytes, however often it is repeated, so nothing would end the loop below.
            return Ok(());
        }
        self.meter.make(text.len().saturating_mul(times))?;
        self.text.reserve(text.len() * times);
        for _ in 0..times {
            self.text.push_str(text);
        }
        Ok(())
    }

    pub fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{Fault, Meter, STEPS_PER_LOOK};
    use crate::data::Error;

    #[test]
    fn work_ends_when_its_time_is_over_whether_it_computes_or_waits() {
        let late = || Meter { deadline: std::time::Instant::now(), ..Meter::new() };
        std::thread::yield_now();
        let reason = |fault: Fault| match fault.into_error() {
            Error::Template { reason, .. } => reason,
            error => error.to_string(),
        };
        let meter = late();
        assert_eq!(reason(meter.step(STEPS_PER_LOOK).unwrap_err()), "it takes more than 5s");
        assert_eq!(reason(meter.step(0).unwrap_err()), "it takes more than 5s");
        assert_eq!(reason(late().look_at_the_clock().unwrap_err()), "it takes more than 5s");
    }
}
