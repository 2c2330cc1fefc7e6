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
}

impl Effort {
    pub const FULL: Self = Self { rounds: 15, round: Duration::from_millis(200) };
    pub const QUICK: Self = Self { rounds: 3, round: Duration::from_millis(20) };
}

/// One that is timed: a name, and a function that does the work so many times and checks its results.
pub struct Contender<'a> {
    name: &'a str,
    work: Box<dyn FnMut(u64) -> Outcome + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new(name: &'a str, work: impl FnMut(u64) -> Outcome + 'a) -> Self {
        Self { name, work: Box::new(work) }
    }
}

/// What one contender took: the median of its rounds, in nanoseconds per piece of work.
#[derive(Clone, Debug)]
pub struct Timing {
    pub name: String,
    pub median_ns: f64,
}

/// Times the contenders in turn, round after round.
pub fn in_turn(effort: Effort, mut contenders: Vec<Contender<'_>>) -> Outcome<Vec<Timing>> {
    let mut times = Vec::new();
    for contender in &mut contenders {
        times.push(pieces_per_round(effort, &mut contender.work)?);
    }
    let mut rounds: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds {
        for ((contender, pieces), rounds) in contenders.iter_mut().zip(&times).zip(&mut rounds) {
            let begun = Instant::now();
            (contender.work)(*pieces)?;
            rounds.push(begun.elapsed().as_nanos() as f64 / *pieces as f64);
        }
    }
    let timings = contenders.iter().zip(rounds);
    Ok(timings
        .map(|(contender, rounds)| Timing { name: contender.name.into(), median_ns: median(rounds) })
        .collect())
}

/// Warms up, and finds out how many pieces of work make a round.
fn pieces_per_round(effort: Effort, work: &mut dyn FnMut(u64) -> Outcome) -> Outcome<u64> {
    let mut pieces = 1;
    loop {
        let begun = Instant::now();
        work(pieces)?;
        let taken = begun.elapsed();
        if taken * 4 >= effort.round || pieces >= 1 << 40 {
            let per_round = pieces as f64 * effort.round.as_secs_f64() / taken.as_secs_f64();
            return Ok((per_round as u64).max(1));
        }
        pieces *= 2;
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}
