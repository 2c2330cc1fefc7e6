//! Neighbours: four processes use one store at once, and are killed now and then, beside other programs that use the same
//! file with plain SQLite.

mod backups;
mod calls;
mod copies;
mod disturber;
mod feed_verdict;
mod feeds;
mod history;
mod judge;
mod notes;
mod processes;
mod quotas;
mod restorer;
mod trial;
mod upkeep;
mod verdict;
mod worker;
mod writes;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder::{Durability, Options, Sabotage, Store};
use serde::Serialize;

pub use self::trial::{Plan, trial};

/// How many processes use the store with larder.
const WORKERS: u64 = 4;

/// How long a call of larder waits for a lock.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How much longer than the longest hold of a neighbour and the timeout together a call may take; and how long a watcher
/// may need for what was written before everybody fell silent.
const BOUND: Duration = Duration::from_secs(10);

/// The groups whose history is short: the log does not keep what was written there.
const CHURN: &str = "churn";

/// What tells a feed that nothing follows.
const END: (&str, &str) = ("plain", "end");

fn options() -> Options {
    // Files in memory: how long a disk takes is not the question.
    let options = Store::options().history(10_000_000, 4 << 30).timeout(TIMEOUT);
    options.durability(Durability::Full).cache_bytes(1 << 20)
}

fn open(path: &Path) -> larder::Result<Store> {
    options().open(path)
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Uses the store with larder.
    Worker,
    /// Does with plain SQLite what is allowed to do with a database file.
    Plain,
    /// The same from the shell `sqlite3`, where there is one.
    Shell,
    /// Holds a read transaction, and checkpoints by itself, as Litestream does.
    Replicator,
    /// Has the store open with larder, and lets another process restore a backup over it.
    Restorer,
    /// That other process.
    Restore,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Worker => "worker",
            Self::Plain => "plain",
            Self::Shell => "shell",
            Self::Replicator => "replicator",
            Self::Restorer => "restorer",
            Self::Restore => "restore",
        })
    }
}

/// A fault that is planted on purpose, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// A worker says that its writes were acknowledged before it makes them.
    Early,
    /// A worker says that a write was acknowledged, and makes it afterwards: if it is killed in between, the write is not
    /// there.
    Ahead,
    /// A worker drops an event that it was told.
    EventDropped,
    /// A worker says that a quota was set, and sets none.
    QuotaUnset,
    /// A neighbour holds the write lock, and nobody is told.
    SilentHold,
    /// The tallies of a commit are not written.
    TalliesSkipped,
    /// The cache has the values of a commit before SQLite has committed it.
    PublishedBeforeCommit,
    /// A value that was read is cached, although somebody may have committed since.
    CacheFillUnchecked,
    /// The keys that other processes have changed stay in the cache.
    CacheNotCaughtUp,
    /// A commit is taken for the own one by the count of changes alone.
    OwnCommitByCount,
}

impl Plant {
    /// What is planted in larder itself.
    fn in_larder(self) -> Option<Sabotage> {
        Some(match self {
            Self::Early | Self::Ahead | Self::EventDropped | Self::QuotaUnset | Self::SilentHold => {
                return None;
            }
            Self::TalliesSkipped => Sabotage::TalliesSkipped,
            Self::PublishedBeforeCommit => Sabotage::PublishedBeforeCommit,
            Self::CacheFillUnchecked => Sabotage::CacheFillUnchecked,
            Self::CacheNotCaughtUp => Sabotage::CacheNotCaughtUp,
            Self::OwnCommitByCount => Sabotage::OwnCommitByCount,
        })
    }
}

/// What a process of the trial is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Part {
    pub role: Role,
    /// Its number among all processes.
    pub number: u64,
    /// How often it was killed before.
    #[arg(long, default_value_t = 0)]
    pub life: u64,
    /// Where the store and the notes are.
    pub folder: PathBuf,
    #[arg(long)]
    pub seed: u64,
    /// When the calls end: see `moment`.
    #[arg(long)]
    pub until: u64,
    #[arg(long)]
    pub plant: Option<Plant>,
}

impl Part {
    fn store(&self) -> PathBuf {
        self.folder.join("store.db")
    }

    /// What it notes in a life.
    fn notes(&self, life: u64) -> PathBuf {
        self.folder.join(notes_of(self.number, life))
    }

    /// How complaints name it.
    fn name(&self) -> String {
        format!("w{}.{}", self.number, self.life)
    }

    /// Every second worker opens the asynchronous face.
    fn is_async(&self) -> bool {
        self.number % 2 == 1
    }

    fn is_over(&self) -> bool {
        crate::moment::now() >= self.until
    }
}

/// The file of what a process notes in a life.
fn notes_of(number: u64, life: u64) -> String {
    format!("notes-{number}-{life}.jsonl")
}

/// Takes part, until the trial ends.
pub fn take_part(part: &Part) -> std::io::Result<()> {
    match part.role {
        Role::Worker => {
            larder::plant(part.plant.and_then(Plant::in_larder));
            worker::work(part)
        }
        Role::Restorer => restorer::let_others_restore(part),
        Role::Restore => restorer::restore(part),
        Role::Plain | Role::Shell | Role::Replicator => disturber::disturb(part),
    }
}
