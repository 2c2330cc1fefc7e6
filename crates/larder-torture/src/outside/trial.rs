//! The trial: many processes that are ended, each with a seed of its own.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use indicatif::ProgressBar;
use serde::Serialize;

use super::{End, Plant, Work, possible, run};

/// The result of a trial.
#[derive(Debug, Serialize)]
pub struct Report {
    trial: &'static str,
    seed: u64,
    planted: Option<Plant>,
    seconds: f64,
    works: BTreeMap<String, Count>,
    pub failures: Vec<Failure>,
}

/// What was done, for one kind of work.
#[derive(Debug, Default, Serialize)]
struct Count {
    ends: u64,
    acknowledged: u64,
    /// Ends before anything was acknowledged.
    early: u64,
    /// Acknowledged while the power was being cut.
    late: u64,
    /// Power cuts after which one of these was not there.
    late_lost: u64,
    failed: u64,
}

#[derive(Debug, Serialize)]
pub struct Failure {
    pub seed: u64,
    pub work: Work,
    pub complaints: Vec<String>,
}

/// What the trial is to do.
pub struct Plan {
    pub end: End,
    pub seed: u64,
    /// How many processes are ended.
    pub ends: u64,
    pub works: Vec<Work>,
    pub plant: Option<Plant>,
}

/// Ends processes, each with the next seed. Where a fault is planted, ends with the first process that shows it.
pub fn trial(plan: &Plan, bar: &ProgressBar) -> io::Result<Report> {
    let Plan { end, seed, ends, works, plant } = plan;
    possible(*end).map_err(|why| {
        io::Error::other(format!("no power can be cut here; that needs root, loop devices and ext4: {why}"))
    })?;
    let begun = Instant::now();
    let mut report = Report {
        trial: end.name(),
        seed: *seed,
        planted: *plant,
        seconds: 0.0,
        works: BTreeMap::new(),
        failures: Vec::new(),
    };
    for (seed, work) in (*seed..).zip(works.iter().cycle()).take(usize::try_from(*ends).unwrap_or(usize::MAX))
    {
        let folder = crate::scratch::folder()?;
        let verdict = run(seed, *end, *work, *plant, folder.path())?;
        let count = report.works.entry(work.to_string()).or_default();
        count.ends += 1;
        count.acknowledged += verdict.acknowledged;
        count.late += verdict.late;
        count.late_lost += u64::from(verdict.late_was_lost);
        count.early += u64::from(verdict.acknowledged == 0);
        bar.inc(1);
        if verdict.complaints.is_empty() {
            continue;
        }
        count.failed += 1;
        bar.suspend(|| eprintln!("seed {seed}, {work}: {}", verdict.complaints.join("; ")));
        report.failures.push(Failure { seed, work: *work, complaints: verdict.complaints });
        if plant.is_some() {
            break;
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

impl Report {
    /// One line for each kind of work.
    pub fn lines(&self) -> Vec<String> {
        let line = |(work, count): (&String, &Count)| {
            let Count { ends, acknowledged, early, late, late_lost, failed } = count;
            let late = match self.trial {
                "power-cuts" => format!(", {late} more during the cut, lost after {late_lost} cuts"),
                _ => String::new(),
            };
            format!(
                "{work}: {ends} ends, {early} before anything was acknowledged; {acknowledged} acknowledged{late}; {failed} failed"
            )
        };
        self.works.iter().map(line).collect()
    }
}
