//! Locking without poison.

use std::sync::{LockResult, Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also after a thread has panicked while it held it. Every mutex of larder guards data that is
/// consistent whenever its lock is free.
pub(crate) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    unpoisoned(mutex.lock())
}

/// Takes what a lock, or a wait for a condition, returns, also after a panic: see [`locked`].
pub(crate) fn unpoisoned<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
