//! What the trials from outside share: rounds, each with the next seed, and a report. A trial says what one round is and
//! what its figures are.

use std::fmt::Display;
use std::io;
use std::time::Instant;

use indicatif::ProgressBar;
use serde::Serialize;

/// Which rounds are run.
pub struct Rounds<Plant> {
    /// The first seed; each round has the next one.
    pub seed: u64,
    pub number: u64,
    /// A fault that is planted. The first round that shows it is the last.
    pub plant: Option<Plant>,
}

/// What all rounds came to.
pub trait Figures: Serialize {
    /// What is printed in the end. `failed` is the number of rounds that failed.
    fn lines(&self, failed: usize) -> Vec<String>;
}

/// The result of a trial.
#[derive(Debug, Serialize)]
pub struct Report<Plant, Figures, Case> {
    trial: &'static str,
    seed: u64,
    planted: Option<Plant>,
    seconds: f64,
    #[serde(flatten)]
    figures: Figures,
    failures: Vec<Failure<Case>>,
}

/// A round that failed.
#[derive(Debug, Serialize)]
struct Failure<Case> {
    seed: u64,
    #[serde(flatten)]
    case: Case,
    complaints: Vec<String>,
}

impl<Plant: Copy> Rounds<Plant> {
    /// Runs the rounds. `round` gets the seed, and adds to the figures. It returns what was tried and everything that is
    /// wrong, or nothing if there is nothing to try.
    pub fn run<F: Figures, Case: Display>(
        &self,
        trial: &'static str,
        mut figures: F,
        bar: &ProgressBar,
        mut round: impl FnMut(u64, &mut F) -> io::Result<Option<(Case, Vec<String>)>>,
    ) -> io::Result<Report<Plant, F, Case>> {
        let begun = Instant::now();
        let mut failures = Vec::new();
        for seed in (self.seed..).take(usize::try_from(self.number).unwrap_or(usize::MAX)) {
            let Some((case, complaints)) = round(seed, &mut figures)? else { break };
            bar.inc(1);
            if complaints.is_empty() {
                continue;
            }
            bar.suspend(|| eprintln!("seed {seed}, {case}: {}", complaints.join("; ")));
            failures.push(Failure { seed, case, complaints });
            if self.plant.is_some() {
                break;
            }
        }
        let (seed, planted, seconds) = (self.seed, self.plant, begun.elapsed().as_secs_f64());
        Ok(Report { trial, seed, planted, seconds, figures, failures })
    }
}

impl<Plant, F: Figures, Case> Report<Plant, F, Case> {
    pub fn lines(&self) -> Vec<String> {
        self.figures.lines(self.failures.len())
    }

    /// Whether a planted fault was found, and nothing else.
    pub fn is_as_it_should_be(&self) -> bool {
        self.failures.is_empty() == self.planted.is_none()
    }
}
