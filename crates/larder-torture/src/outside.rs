//! Trials from outside: a process works with larder, and is ended at a random moment.
//!
//! Either it is killed, or the power of its disk is cut: that is an ext4 file system of its own, in an image in memory,
//! mounted through a loop device. What was synced is there afterwards, and what was not is gone.

mod answers;
mod calls;
mod damage;
mod disk;
mod following;
mod judge;
mod limits;
mod lines;
mod liveness;
mod persevering;
mod rounds;
mod shutdown;
mod trial;
mod worker;
mod write;

use std::fmt;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde::Serialize;

pub use self::calls::{Wanted as WantedCalls, trial as call_trial};
pub use self::damage::{
    Part as DamagedPart, Plant as DamagePlant, take_part as use_damaged, trial as damage_trial,
};
pub use self::disk::Disk;
pub use self::limits::{Limit, trial as limit_trial};
use self::liveness::judge_in_time;
pub use self::rounds::{Figures, Report, Rounds};
pub use self::trial::trial;
pub use self::worker::work;
use self::worker::{THREADS, Worker};
use crate::moment;
use crate::random::Random;

/// How a process is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Kill,
    PowerCut,
}

impl End {
    /// What the trial is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kills",
            Self::PowerCut => "power-cuts",
        }
    }
}

/// What the process is doing when it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Makes a store, and writes to it.
    Create,
    /// Writes from three threads; the log is copied and restarted on the way.
    Commits,
    /// The same, with a checkpoint after every 60 frames of the log: it is being copied or restarted nearly always.
    Checkpoints,
    /// Opens a file of an earlier version, which is upgraded.
    Upgrade,
    /// Makes backups beside a writer, each under a new name.
    Backup,
    /// Restores four backups by turns.
    Restore,
    /// Opens a store, writes to it and closes it, again and again.
    Reopen,
    /// Writes and reads, and goes on whatever fails.
    Persevere,
    /// Holds the write lock for some time, again and again.
    Hold,
    /// Appends to a bare file and syncs it, without larder: shows what the system itself does.
    BareFile,
}

impl Work {
    /// What kills and power cuts go through by turns.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::Commits,
        Self::Checkpoints,
        Self::Upgrade,
        Self::Backup,
        Self::Restore,
        Self::BareFile,
    ];

    /// Whether larder takes part. The control shows what a power cut does without it.
    pub fn is_control(self) -> bool {
        self == Self::BareFile
    }

    /// The threads that ask for something, by number.
    fn threads(self) -> std::ops::Range<u64> {
        0..if self.has_watcher() || self == Self::Persevere { THREADS } else { 1 }
    }

    /// Whether a watcher follows what the process writes.
    fn has_watcher(self) -> bool {
        matches!(self, Self::Create | Self::Commits | Self::Checkpoints)
    }

    /// Within which time the process is ended, once it has begun.
    fn lasts(self) -> Duration {
        Duration::from_millis(match self {
            Self::Create | Self::Upgrade | Self::BareFile | Self::Reopen => 150,
            Self::Restore => 1_500,
            Self::Backup => 300,
            Self::Commits | Self::Checkpoints | Self::Persevere | Self::Hold => 700,
        })
    }
}

impl fmt::Display for Work {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Create => "create",
            Self::Commits => "commits",
            Self::Checkpoints => "checkpoints",
            Self::Upgrade => "upgrade",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Reopen => "reopen",
            Self::Persevere => "persevere",
            Self::Hold => "hold",
            Self::BareFile => "bare-file",
        })
    }
}

/// A fault that is planted on purpose, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// Writes are acknowledged before they are on the disk (`Durability::Relaxed`). A power cut shows it.
    Relaxed,
    /// A write is acknowledged before larder is asked for it. A kill shows it.
    Early,
    /// A write that has failed is acknowledged. A failing call shows it, and a limit.
    Ignored,
    /// A thread whose write has failed says nothing for long. A limit shows it, and a failing call.
    Silent,
    /// A thread whose write has failed writes no more, and says of each further write that it was refused. A limit shows
    /// it.
    Resigned,
    /// The watcher says nothing of what it is told. A failing call shows it, and a limit.
    Deaf,
    /// The process that opens the store after a kill gets no answer for 30 s.
    Stuck,
}

/// What one end came to.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How many writes, backups, restores or upgrades were acknowledged before the end.
    pub acknowledged: u64,
    /// How many were acknowledged while the power was being cut.
    pub late: u64,
    /// Whether one of these is not there. No fault: see [`run`].
    pub late_was_lost: bool,
    /// What is wrong; empty if nothing is.
    pub complaints: Vec<String>,
}

/// Whether a process can be ended in this way here, or why not.
pub fn possible(end: End) -> Result<(), String> {
    if end == End::Kill {
        return Ok(());
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let disk = Disk::new(folder.path()).map_err(|error| error.to_string())?;
    disk.cut().map_err(|error| error.to_string())
}

/// Ends a process once while it does `work`.
///
/// A real power cut ends the process with the disk. Here the process runs on for a moment, and while the system ends the
/// file system, a sync may succeed although the file system's journal is not written any more. So only what was
/// acknowledged before the cut began has to be there. `folder` is empty, and lies on another disk than the one that is cut.
pub fn run(seed: u64, end: End, work: Work, plant: Option<Plant>, folder: &Path) -> io::Result<Verdict> {
    let mut random = Random::new(seed);
    let mut disk = if end == End::PowerCut { Some(Disk::new(folder)?) } else { None };
    let path = disk.as_ref().map_or(folder, Disk::path).to_owned();
    worker::prepare(work, &path)?;
    disk.as_ref().map_or(Ok(()), Disk::sync)?;
    let mut worker = Worker::start(work, plant, &path)?;
    worker.wait_until_it_begins()?;
    let most = u64::try_from(work.lasts().as_micros()).unwrap_or(u64::MAX);
    // A file in memory is written much faster.
    let most = if end == End::Kill { most / 5 } else { most };
    sleep(Duration::from_micros(random.below(most)));
    let (answers, cut) = match &mut disk {
        // Whatever a killed process has printed was acknowledged before its end.
        None => (worker.kill()?, None),
        Some(disk) => {
            let begins = moment::now();
            disk.cut()?;
            let answers = worker.kill()?;
            disk.mount_again()?;
            (answers, Some(begins..u64::MAX))
        }
    };
    let cut = cut.as_slice();
    let (before, late) = answers.acknowledged(cut);
    let committed: Vec<_> = before.iter().copied().chain(answers.told(cut)).collect();
    let judge = |committed: &[_], late: u64| judge_in_time(work, &path, committed, late, plant);
    let mut complaints = judge(&committed, late.len() as u64);
    let all = [committed, late.clone()].concat();
    let late_was_lost = complaints.is_empty() && !late.is_empty() && !judge(&all, 0).is_empty();
    complaints.extend(answers.told_wrongly());
    Ok(Verdict { acknowledged: before.len() as u64, late: late.len() as u64, late_was_lost, complaints })
}
