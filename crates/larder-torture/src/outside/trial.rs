//! The trial of ends: processes that are killed, or whose disk loses its power.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use indicatif::ProgressBar;
use serde::Serialize;

use super::rounds::{self, Figures, Rounds};
use super::{End, Plant, Work, possible, run};

pub type Report = rounds::Report<Plant, Ends, Ended>;

/// What was done, by the kind of work.
#[derive(Debug, Serialize)]
pub struct Ends {
    #[serde(skip)]
    end: End,
    works: BTreeMap<String, Count>,
}

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

/// What a process was doing when it was ended.
#[derive(Debug, Serialize)]
pub struct Ended {
    work: Work,
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.work.fmt(formatter)
    }
}

/// Ends processes that do these works by turns.
pub fn trial(end: End, works: &[Work], rounds: &Rounds<Plant>, bar: &ProgressBar) -> io::Result<Report> {
    possible(end).map_err(|why| {
        io::Error::other(format!("no power can be cut here; that needs root, loop devices and ext4: {why}"))
    })?;
    let mut works = works.iter().copied().cycle();
    rounds.run(end.name(), Ends { end, works: BTreeMap::new() }, bar, |seed, ends| {
        let Some(work) = works.next() else { return Ok(None) };
        let folder = crate::scratch::folder()?;
        let verdict = run(seed, end, work, rounds.plant, folder.path())?;
        let count = ends.works.entry(work.to_string()).or_default();
        count.ends += 1;
        count.acknowledged += verdict.acknowledged;
        count.late += verdict.late;
        count.late_lost += u64::from(verdict.late_was_lost);
        count.early += u64::from(verdict.acknowledged == 0);
        count.failed += u64::from(!verdict.complaints.is_empty());
        Ok(Some((Ended { work }, verdict.complaints)))
    })
}

impl Figures for Ends {
    /// One line for each kind of work.
    fn lines(&self, _: usize) -> Vec<String> {
        let line = |(work, count): (&String, &Count)| {
            let Count { ends, acknowledged, early, late, late_lost, failed } = count;
            let late = match self.end {
                End::PowerCut => format!(", {late} more during the cut, lost after {late_lost} cuts"),
                End::Kill => String::new(),
            };
            format!(
                "{work}: {ends} ends, {early} before anything was acknowledged; {acknowledged} acknowledged{late}; {failed} failed"
            )
        };
        self.works.iter().map(line).collect()
    }
}
