//! The locks and atomics of the protocol. The model has the same names for loom's.

pub use std::sync::atomic::{AtomicU64, Ordering};
pub use std::sync::{Mutex, MutexGuard};

/// A lock that each reader takes on a cache line of its own, so that readers on many cores do not
/// slow each other down; a writer takes all of them.
pub use crossbeam_utils::sync::{
    ShardedLock as Lock, ShardedLockReadGuard as ReadGuard, ShardedLockWriteGuard as WriteGuard,
};
