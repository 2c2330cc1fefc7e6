//! What a simulation may change: faults that are planted on purpose, to see whether it finds them, and sizes that make it
//! come to more in a short time. See `docs/torture.md`.
//!
//! Without the feature `simulation`, which no release is built with, nothing can be changed.

#[cfg(feature = "simulation")]
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// A step that is left out, or done too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The tallies of a commit are not written.
    TalliesSkipped,
    /// The cache has the values of a commit before SQLite has committed it.
    PublishedBeforeCommit,
    /// A value that was read is cached, although somebody may have committed since.
    CacheFillUnchecked,
    /// The keys that other processes have changed stay in the cache.
    CacheNotCaughtUp,
    /// A commit is taken for the own one by the count of changes alone, as it was before November 2026.
    OwnCommitByCount,
    /// A store is opened on a log that was never synced, as it was before November 2026.
    LogUnconfirmed,
    /// A read uses a transaction that was kept, although somebody has committed since.
    KeptReadUnchecked,
    /// The groups that a commit has changed stay in the cache as a whole.
    GroupsNotDropped,
    /// A restore locks a file that has lost its name meanwhile, as it was before 28 November 2026.
    LostNameLocked,
    /// Pages are read from the file, although the log has later ones.
    WalkerIgnoresLog,
    /// Pages that were read at one moment are used at the next.
    WalkerKeepsPages,
    /// A new store gets its name before it is on the disk.
    StoreNamedUnsynced,
}

/// The number of what is planted; 0 is nothing. Relaxed: it guards no data.
#[cfg(feature = "simulation")]
static PLANTED: AtomicU8 = AtomicU8::new(0);

/// Plants a fault in every store of this process, or takes it out again.
#[cfg(feature = "simulation")]
pub fn plant(fault: Option<Sabotage>) {
    PLANTED.store(fault.map_or(0, |fault| fault as u8 + 1), Ordering::Relaxed);
}

/// Whether a fault is planted.
#[cfg(feature = "simulation")]
#[inline]
pub fn is_planted(fault: Sabotage) -> bool {
    PLANTED.load(Ordering::Relaxed) == fault as u8 + 1
}

/// Never.
#[cfg(not(feature = "simulation"))]
#[inline]
pub const fn is_planted(_: Sabotage) -> bool {
    false
}

/// Whether this process is a simulation. Relaxed: it guards no data.
#[cfg(feature = "simulation")]
static SIMULATED: AtomicBool = AtomicBool::new(false);

/// Makes this process a simulation: logs are checkpointed early, and the system is not asked to report writes, since it
/// knows of none.
#[cfg(feature = "simulation")]
pub fn simulate() {
    SIMULATED.store(true, Ordering::Relaxed);
}

/// Whether this process is a simulation.
#[cfg(feature = "simulation")]
#[inline]
pub fn is_simulated() -> bool {
    SIMULATED.load(Ordering::Relaxed)
}

/// Never.
#[cfg(not(feature = "simulation"))]
#[inline]
pub const fn is_simulated() -> bool {
    false
}
