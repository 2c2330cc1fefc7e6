//! The trial of limits: something is taken away from a process that works, and given back.

mod field;
mod round;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;

use self::field::possible;
use self::round::run;
use super::Plant;
use super::persevering::TIMEOUT;

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Room on the disk, which is one in memory or one with ext4.
    FullDisk,
    /// Room in a file: `RLIMIT_FSIZE`.
    FileSize,
    /// Room that the process may use: a quota of btrfs.
    Quota,
    /// Permission to write: the system makes the disk read-only.
    ReadOnly,
    /// Further descriptors: `RLIMIT_NOFILE`.
    Descriptors,
    /// The lock to write: another process is stopped in the middle of a transaction.
    Frozen,
}

impl Limit {
    const ALL: [Self; 6] =
        [Self::FullDisk, Self::FileSize, Self::Quota, Self::ReadOnly, Self::Descriptors, Self::Frozen];
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::FullDisk => "full-disk",
            Self::FileSize => "file-size",
            Self::Quota => "quota",
            Self::ReadOnly => "read-only",
            Self::Descriptors => "descriptors",
            Self::Frozen => "frozen",
        })
    }
}

/// Within which time each call has to be answered, whatever is missing.
const ANSWERED_WITHIN: Duration = TIMEOUT.saturating_add(Duration::from_secs(5));

/// Within which time every thread writes again once nothing is missing any more.
const WRITES_WITHIN: Duration = Duration::from_secs(5);

/// What the trial is to do.
pub struct Plan {
    pub seed: u64,
    pub rounds: u64,
    /// All by turns if it is empty.
    pub limits: Vec<Limit>,
    pub plant: Option<Plant>,
}

/// The result of a trial.
#[derive(Debug, Serialize)]
pub struct Report {
    trial: &'static str,
    seed: u64,
    planted: Option<Plant>,
    seconds: f64,
    limits: BTreeMap<String, Count>,
    /// What could not be tried here, and why.
    pub skipped: BTreeMap<String, String>,
    pub failures: Vec<Failure>,
}

#[derive(Debug, Default, Serialize)]
struct Count {
    rounds: u64,
    /// How often it was taken away.
    times: u64,
    /// Processes that were killed.
    killed: u64,
    /// Processes that the system has ended, because a disk had no room for shared memory.
    ended_by_the_system: u64,
    /// How often each thing was answered.
    answers: BTreeMap<String, u64>,
    /// How often a thread missed a write that was acknowledged while the system made its disk read-only.
    late_lost: u64,
    longest_answer_ms: u64,
    /// From giving back until every thread has written.
    longest_return_ms: u64,
    failed: u64,
}

#[derive(Debug, Serialize)]
pub struct Failure {
    seed: u64,
    limit: Limit,
    complaints: Vec<String>,
}

/// Runs rounds, each with the next seed. Where a fault is planted, ends with the first round that shows it.
pub fn trial(plan: &Plan, bar: &ProgressBar) -> io::Result<Report> {
    let begun = Instant::now();
    let mut report = Report {
        trial: "limits",
        seed: plan.seed,
        planted: plan.plant,
        seconds: 0.0,
        limits: BTreeMap::new(),
        skipped: BTreeMap::new(),
        failures: Vec::new(),
    };
    let wanted = if plan.limits.is_empty() { &Limit::ALL[..] } else { &plan.limits };
    let mut limits = Vec::new();
    for limit in wanted.iter().copied() {
        match possible(limit) {
            Ok(()) => limits.push(limit),
            Err(why) => drop(report.skipped.insert(limit.to_string(), why)),
        }
    }
    let seeds = (plan.seed..).take(usize::try_from(plan.rounds).unwrap_or(usize::MAX));
    for (seed, limit) in seeds.zip(limits.iter().copied().cycle()) {
        let outcome = run(seed, limit, plan.plant)?;
        let count = report.limits.entry(limit.to_string()).or_default();
        count.rounds += 1;
        count.times += outcome.times;
        count.killed += outcome.killed;
        count.ended_by_the_system += outcome.ended_by_the_system;
        count.late_lost += outcome.late_lost;
        for (answer, number) in outcome.answers.counts() {
            *count.answers.entry(answer).or_default() += number;
        }
        count.longest_answer_ms = count.longest_answer_ms.max(outcome.longest_answer / 1_000_000);
        count.longest_return_ms = count.longest_return_ms.max(outcome.longest_return / 1_000_000);
        bar.inc(1);
        if outcome.complaints.is_empty() {
            continue;
        }
        count.failed += 1;
        bar.suspend(|| eprintln!("seed {seed}, {limit}: {}", outcome.complaints.join("; ")));
        report.failures.push(Failure { seed, limit, complaints: outcome.complaints });
        if plan.plant.is_some() {
            break;
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

impl Report {
    /// One line for each thing that was taken away, or could not be.
    pub fn lines(&self) -> Vec<String> {
        let line = |(limit, count): (&String, &Count)| {
            let Count { rounds, times, killed, ended_by_the_system, answers, failed, .. } = count;
            let ended = match ended_by_the_system {
                0 => String::new(),
                ended => format!(", {ended} ended by the system"),
            };
            let (longest, last) = (count.longest_answer_ms, count.longest_return_ms);
            let answers: Vec<String> =
                answers.iter().map(|(answer, number)| format!("{number} {answer}")).collect();
            format!(
                "{limit}: {rounds} rounds, {times} times taken away, {killed} killed{ended}; {}; longest answer \
                 {longest} ms, all wrote again within {last} ms; {failed} failed",
                answers.join(", ")
            )
        };
        let skipped = self.skipped.iter().map(|(limit, why)| format!("{limit}: skipped: {why}"));
        self.limits.iter().map(line).chain(skipped).collect()
    }
}
