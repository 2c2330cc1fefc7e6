//! Locks a mutex whatever happened to the threads that held it before.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also after a panic: what these locks guard is consistent whenever they are free.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
