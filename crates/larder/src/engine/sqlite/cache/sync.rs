//! The locks and atomics of the protocol. The model has the same names for loom's.

pub use std::sync::atomic::{AtomicU64, Ordering};
pub use std::sync::{Mutex, MutexGuard};

/// A lock with a cache line per reader, so that readers on many cores do not slow each other down. A writer
/// takes all of the lines.
pub use crossbeam_utils::sync::{
    ShardedLock as Lock, ShardedLockReadGuard as ReadGuard, ShardedLockWriteGuard as WriteGuard,
};
