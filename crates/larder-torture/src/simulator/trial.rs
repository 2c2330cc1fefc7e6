//! The trial: many runs, each with a seed of its own.

use std::io;
use std::time::Instant;

use indicatif::ProgressBar;
use serde::Serialize;

use super::{Plant, processor, run};

/// The result of a trial.
#[derive(Debug, Serialize)]
pub struct Report {
    trial: &'static str,
    seed: u64,
    seeds_run: u64,
    planted: Option<String>,
    seconds: f64,
    calls: u64,
    writes: u64,
    kills: u64,
    power_cuts: u64,
    failed_calls: u64,
    restores: u64,
    /// Of the last run: a number that stands for all its calls and their results.
    last_trace: u64,
    pub failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
pub struct Failure {
    seed: u64,
    complaints: Vec<String>,
}

/// Runs `seeds` seeds, from `seed` on. Where a fault is planted, ends with the first seed that finds it.
pub fn trial(seed: u64, seeds: u64, plant: Option<Plant>, bar: &ProgressBar) -> io::Result<Report> {
    processor::stay_on_one();
    let begun = Instant::now();
    let mut report = Report {
        trial: "simulator",
        seed,
        seeds_run: 0,
        planted: plant.map(|plant| format!("{plant:?}")),
        seconds: 0.0,
        calls: 0,
        writes: 0,
        kills: 0,
        power_cuts: 0,
        failed_calls: 0,
        restores: 0,
        last_trace: 0,
        failures: Vec::new(),
    };
    for seed in seed..seed.saturating_add(seeds) {
        let folder = crate::scratch::folder()?;
        let verdict = run(seed, plant, folder.path());
        report.seeds_run += 1;
        report.calls += verdict.steps;
        report.writes += verdict.writes;
        report.kills += verdict.kills;
        report.power_cuts += verdict.cuts;
        report.failed_calls += verdict.faults;
        report.restores += verdict.restores;
        report.last_trace = verdict.trace;
        bar.inc(1);
        if verdict.complaints.is_empty() {
            continue;
        }
        bar.suspend(|| {
            eprintln!("seed {seed}:");
            verdict.complaints.iter().for_each(|complaint| eprintln!("  {complaint}"));
        });
        report.failures.push(Failure { seed, complaints: verdict.complaints });
        if plant.is_some() {
            break;
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

impl Report {
    /// What was done, in one line.
    pub fn line(&self) -> String {
        let Self { seeds_run, seconds, calls, writes, kills, .. } = self;
        let Self { power_cuts, failed_calls, restores, failures, .. } = self;
        format!(
            "{seeds_run} seeds in {seconds:.1} s: {calls} calls of the VFS, {writes} writes, {kills} kills, \
             {power_cuts} power cuts, {failed_calls} failed calls, {restores} restores; {} seeds failed",
            failures.len()
        )
    }
}
