//! Rounds in turn, so that a machine that slows down slows all contenders down; medians, so that one
//! that stalls for a moment does not count.

use std::time::{Duration, Instant};

use crate::Outcome;

/// How much time to spend.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Counted rounds of each contender.
    pub rounds: usize,
    /// About how long a round takes.
    pub round: Duration,
    /// Whether large stores may be smaller than the row says.
    pub quick: bool,
}

impl Effort {
    pub const FULL: Self = Self { rounds: 11, round: Duration::from_millis(150), quick: false };
    pub const QUICK: Self = Self { rounds: 3, round: Duration::from_millis(15), quick: true };

    /// How many keys a large store gets.
    pub fn size(self, full: u64, quick: u64) -> u64 {
        if self.quick { quick } else { full }
    }

    /// Rounds so many times as long, where a piece of work takes milliseconds.
    #[cfg(feature = "etcd")]
    pub fn longer(self, times: u32) -> Self {
        Self { round: self.round * times, ..self }
    }

    /// Runs once what cannot be run often, and the more often what is short.
    pub fn rounds(self, rounds: usize) -> Self {
        Self { rounds: if self.quick { rounds.min(self.rounds) } else { rounds }, ..self }
    }
}

type Step<'a> = Box<dyn FnMut() -> Outcome + 'a>;
type Work<'a> = Box<dyn FnMut(u64) -> Outcome + 'a>;

/// One that is timed: a name, and a function that does the work so many times and checks its results.
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

    /// Does so many pieces before any are timed, unless they take long.
    pub fn warmed_up(mut self, pieces: u64) -> Self {
        self.warm_up = pieces;
        self
    }

    /// Runs something before each round, outside of the time.
    pub fn before(mut self, step: impl FnMut() -> Outcome + 'a) -> Self {
        self.before = Some(Box::new(step));
        self
    }

    /// At least so many pieces a round, however long they take.
    pub fn at_least(mut self, pieces: u64) -> Self {
        self.pieces_min = pieces;
        self
    }

    /// At most so many pieces a round.
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

    /// Warms up, and finds out how many pieces of work make a round.
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
                // It may only have been a stall.
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

/// What one contender took: nanoseconds for a piece of work, of each round, sorted.
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

    /// The same under another name.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same for one of so many things that a piece of work was about.
    pub fn divided_by(mut self, things: f64) -> Self {
        self.rounds_ns.iter_mut().for_each(|round| *round /= things);
        self
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// Between these lies the middle half of the rounds.
    pub fn quartiles(&self) -> [f64; 2] {
        [self.at(0.25), self.at(0.75)]
    }

    /// The value below which a part of the rounds lies.
    pub fn at(&self, part: f64) -> f64 {
        let Some(last) = self.rounds_ns.len().checked_sub(1) else { return f64::NAN };
        let place = part * last as f64;
        let (low, high) = (self.rounds_ns[place.floor() as usize], self.rounds_ns[place.ceil() as usize]);
        low + (high - low) * place.fract()
    }
}

/// Times the contenders in turn, round after round.
pub fn in_turn(effort: Effort, mut contenders: Vec<Contender<'_>>) -> Outcome<Vec<Figure>> {
    let mut pieces = Vec::new();
    for contender in &mut contenders {
        pieces.push(contender.pieces_per_round(effort.round)?);
    }
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for round in 0..effort.rounds {
        // Each round begins with another one, so that nobody always follows the same neighbour.
        for step in 0..contenders.len() {
            let place = (round + step) % contenders.len();
            let taken = contenders[place].time(pieces[place])?;
            rounds[place].push(taken.as_nanos() as f64 / pieces[place] as f64);
        }
    }
    Ok(contenders
        .into_iter()
        .zip(rounds)
        .map(|(contender, rounds)| Figure::new(contender.name, rounds))
        .collect())
}
