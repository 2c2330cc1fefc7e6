//! Timing: contenders take turns, so that a slow phase of the machine affects all of them, and results are
//! medians, so that a short stall does not count.

use std::time::{Duration, Instant};

use crate::Outcome;

/// How much time to spend on a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Counted rounds of each contender.
    pub rounds: usize,
    /// The approximate length of a round.
    pub round: Duration,
    /// Whether large stores may be smaller than stated.
    pub quick: bool,
}

impl Effort {
    pub const FULL: Self = Self { rounds: 11, round: Duration::from_millis(150), quick: false };
    pub const QUICK: Self = Self { rounds: 3, round: Duration::from_millis(15), quick: true };

    /// The number of keys of a large store.
    pub fn size(self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    /// The same effort with longer rounds, for work that takes milliseconds.
    #[cfg(feature = "etcd")]
    pub fn longer(self, times: u32) -> Self {
        Self { round: self.round * times, ..self }
    }

    /// The same effort with another number of rounds.
    pub fn rounds(self, rounds: usize) -> Self {
        Self { rounds: if self.quick { rounds.min(self.rounds) } else { rounds }, ..self }
    }
}

type Step<'a> = Box<dyn FnMut() -> Outcome + 'a>;
type Work<'a> = Box<dyn FnMut(u64) -> Outcome + 'a>;

/// A contender: a name, and a function that does a number of pieces of work and checks their results.
pub struct Contender<'a> {
    name: String,
    before: Option<Step<'a>>,
    work: Work<'a>,
    warm_up: u64,
    pieces_min: u64,
    pieces_max: u64,
}

impl<'a> Contender<'a> {
    pub fn new(name: impl Into<String>, work: impl FnMut(u64) -> Outcome + 'a) -> Self {
        Self {
            name: name.into(),
            before: None,
            work: Box::new(work),
            warm_up: 0,
            pieces_min: 1,
            pieces_max: 1 << 40,
        }
    }

    /// Does this many pieces before the timing begins, unless that takes too long.
    pub fn warmed_up(mut self, pieces: u64) -> Self {
        self.warm_up = pieces;
        self
    }

    /// Runs a step before each round, untimed.
    pub fn before(mut self, step: impl FnMut() -> Outcome + 'a) -> Self {
        self.before = Some(Box::new(step));
        self
    }

    /// Does at least this many pieces per round, however long they take.
    pub fn at_least(mut self, pieces: u64) -> Self {
        self.pieces_min = pieces;
        self
    }

    /// Does at most this many pieces per round.
    pub fn at_most(mut self, pieces: u64) -> Self {
        self.pieces_max = pieces;
        self
    }

    fn time(&mut self, pieces: u64) -> Outcome<Duration> {
        if let Some(before) = &mut self.before {
            before()?;
        }
        let begun = Instant::now();
        (self.work)(pieces)?;
        Ok(begun.elapsed())
    }

    /// Warms up, and determines how many pieces fill a round.
    fn pieces_per_round(&mut self, round: Duration) -> Outcome<u64> {
        let warm_up_max = round * 4 + Duration::from_millis(100);
        let begun = Instant::now();
        let mut warmed = 0;
        while warmed < self.warm_up && begun.elapsed() < warm_up_max {
            self.time(self.pieces_min)?;
            warmed += self.pieces_min;
        }
        let mut pieces = self.pieces_min;
        loop {
            let mut taken = self.time(pieces)?;
            if taken * 4 >= round {
                // The time may include a stall, so measure again.
                taken = taken.min(self.time(pieces)?);
            }
            if taken * 4 >= round || pieces >= self.pieces_max {
                let per_round = pieces as f64 * round.as_secs_f64() / taken.as_secs_f64();
                return Ok((per_round as u64).clamp(self.pieces_min, self.pieces_max));
            }
            pieces = (pieces * 2).min(self.pieces_max);
        }
    }
}

/// The times of one contender: nanoseconds per piece of work in each round, sorted.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: String,
    rounds_ns: Vec<f64>,
}

impl Figure {
    pub fn new(name: impl Into<String>, mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        Self { name: name.into(), rounds_ns: rounds }
    }

    /// The same figure with another name.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The time per item, if a piece of work has this many items.
    pub fn divided_by(mut self, items: f64) -> Self {
        self.rounds_ns.iter_mut().for_each(|round| *round /= items);
        self
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// The bounds of the middle half of the rounds.
    pub fn quartiles(&self) -> [f64; 2] {
        [self.at(0.25), self.at(0.75)]
    }

    /// The quantile: the value below which this part of the rounds lies.
    pub fn at(&self, part: f64) -> f64 {
        let Some(last) = self.rounds_ns.len().checked_sub(1) else { return f64::NAN };
        let position = part * last as f64;
        let (low, high) =
            (self.rounds_ns[position.floor() as usize], self.rounds_ns[position.ceil() as usize]);
        low + (high - low) * position.fract()
    }
}

/// Times the contenders in turn, for all rounds.
pub fn in_turn(effort: Effort, mut contenders: Vec<Contender<'_>>) -> Outcome<Vec<Figure>> {
    let mut pieces = Vec::new();
    for contender in &mut contenders {
        pieces.push(contender.pieces_per_round(effort.round)?);
    }
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for round in 0..effort.rounds {
        // Each round begins with another contender, so that none always follows the same one.
        for step in 0..contenders.len() {
            let index = (round + step) % contenders.len();
            let taken = contenders[index].time(pieces[index])?;
            rounds[index].push(taken.as_nanos() as f64 / pieces[index] as f64);
        }
    }
    Ok(contenders
        .into_iter()
        .zip(rounds)
        .map(|(contender, rounds)| Figure::new(contender.name, rounds))
        .collect())
}
