//! Reads from memory that are never stale, whichever thread or process wrote last.
//!
//! [`coherence`] is the protocol. [`shelf`](crate::engine::shelf) keeps and evicts entries. [`word`] is how the
//! cache learns of a commit. `docs/architecture.md` explains why it is correct.

mod coherence;
mod sync;
mod word;

#[cfg(test)]
mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use self::coherence::Cache;
pub(super) use self::coherence::{Commits, News};
pub(super) use self::word::{CommitMark, Word};
use super::wal_index::WalIndex;

/// The cache of a store.
pub(super) type StoreCache = Cache<StoreWord>;

/// The word of a store.
#[derive(Clone)]
pub(super) enum StoreWord {
    /// For a file, which other processes may write.
    Index(Arc<WalIndex>),
    /// For a store in memory, which only its own writer writes: the number of its commits.
    Counter(Arc<AtomicU64>),
}

impl Word for StoreWord {
    #[inline]
    fn word(&self) -> u64 {
        match self {
            Self::Index(index) => index.word(),
            // Acquire, with the Release below: a reader that sees the count sees what the commit wrote.
            Self::Counter(commits) => commits.load(Ordering::Acquire),
        }
    }

    fn mark(&self) -> Option<CommitMark> {
        match self {
            Self::Index(index) => index.mark(),
            Self::Counter(_) => {
                let word = self.word();
                // Only a difference of one matters, so the lower half is enough.
                Some(CommitMark { word, change: word as u32, frames: 0, restarts: 0 })
            }
        }
    }

    fn committed(&self) {
        if let Self::Counter(commits) = self {
            commits.fetch_add(1, Ordering::Release);
        }
    }
}
