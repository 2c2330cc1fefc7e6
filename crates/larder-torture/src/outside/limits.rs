//! The trial of limits: something is taken away from a process that works, and given back.

mod field;
mod round;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;

use self::field::possible;
use self::round::run;
use super::Plant;
use super::persevering::TIMEOUT;
use super::rounds::{self, Figures, Rounds};

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

pub type Report = rounds::Report<Plant, Limits, Taken>;

/// What was done, by what was taken away.
#[derive(Debug, Serialize)]
pub struct Limits {
    limits: BTreeMap<String, Count>,
    /// What could not be tried here, and why.
    skipped: BTreeMap<String, String>,
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

/// What was taken away from a process.
#[derive(Debug, Serialize)]
pub struct Taken {
    limit: Limit,
}

impl fmt::Display for Taken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limit.fmt(formatter)
    }
}

/// Takes these things away by turns; all if there are none.
pub fn trial(limits: &[Limit], rounds: &Rounds<Plant>, bar: &ProgressBar) -> io::Result<Report> {
    let wanted = if limits.is_empty() { &Limit::ALL[..] } else { limits };
    let (mut limits, mut skipped) = (Vec::new(), BTreeMap::new());
    for limit in wanted.iter().copied() {
        match possible(limit) {
            Ok(()) => limits.push(limit),
            Err(why) => drop(skipped.insert(limit.to_string(), why)),
        }
    }
    let mut limits = limits.into_iter().cycle();
    rounds.run("limits", Limits { limits: BTreeMap::new(), skipped }, bar, |seed, all| {
        let Some(limit) = limits.next() else { return Ok(None) };
        let outcome = run(seed, limit, rounds.plant)?;
        let count = all.limits.entry(limit.to_string()).or_default();
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
        count.failed += u64::from(!outcome.complaints.is_empty());
        Ok(Some((Taken { limit }, outcome.complaints)))
    })
}

impl Figures for Limits {
    /// One line for each thing that was taken away, or could not be.
    fn lines(&self, _: usize) -> Vec<String> {
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
