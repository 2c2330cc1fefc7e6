//! The deterministic simulator: the real engine on a disk, a clock and threads that a seed rules.

mod calls;
mod client;
mod disk;
mod feeds;
mod handles;
mod history;
mod interposed;
mod judge;
mod plan;
mod processor;
mod restores;
mod run;
mod shared_memory;
mod trial;
mod vfs;
mod world;

use larder::Sabotage;

use self::run::run;
pub use self::trial::trial;

/// A fault that is planted on purpose, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// Nothing is ever synced, although SQLite asks for it: as with `PRAGMA synchronous=OFF`.
    SynchronousOff,
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
    /// A store is opened on a log that was never synced.
    LogUnconfirmed,
    /// A read uses a transaction that was kept, although somebody has committed since.
    KeptReadUnchecked,
    /// The groups that a commit has changed stay in the cache as a whole.
    GroupsNotDropped,
    /// A restore locks a file that has lost its name meanwhile.
    LostNameLocked,
    /// Pages are read from the file, although the log has later ones.
    WalkerIgnoresLog,
    /// Pages that were read at one moment are used at the next.
    WalkerKeepsPages,
    /// A new store gets its name before it is on the disk.
    StoreNamedUnsynced,
}

impl Plant {
    /// What is planted in larder itself; `None` for what is planted in the disk.
    fn in_larder(self) -> Option<Sabotage> {
        Some(match self {
            Self::SynchronousOff => return None,
            Self::TalliesSkipped => Sabotage::TalliesSkipped,
            Self::PublishedBeforeCommit => Sabotage::PublishedBeforeCommit,
            Self::CacheFillUnchecked => Sabotage::CacheFillUnchecked,
            Self::CacheNotCaughtUp => Sabotage::CacheNotCaughtUp,
            Self::OwnCommitByCount => Sabotage::OwnCommitByCount,
            Self::LogUnconfirmed => Sabotage::LogUnconfirmed,
            Self::KeptReadUnchecked => Sabotage::KeptReadUnchecked,
            Self::GroupsNotDropped => Sabotage::GroupsNotDropped,
            Self::LostNameLocked => Sabotage::LostNameLocked,
            Self::WalkerIgnoresLog => Sabotage::WalkerIgnoresLog,
            Self::WalkerKeepsPages => Sabotage::WalkerKeepsPages,
            Self::StoreNamedUnsynced => Sabotage::StoreNamedUnsynced,
        })
    }
}
