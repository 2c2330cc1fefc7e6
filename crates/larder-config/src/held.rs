//! The current configuration, shared by the follower and its readers.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use config::ConfigError;

/// The current configuration, and the error of the last reload if that failed.
pub(crate) struct Held<T> {
    /// Locked only to copy or replace the pointer, never during a reload.
    current: RwLock<Arc<T>>,
    state: Mutex<State>,
    /// Notified when any of the above changes.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    error: Option<Arc<ConfigError>>,
    stopped: bool,
}

impl<T> Held<T> {
    pub fn new(first: T) -> Self {
        Self { current: RwLock::new(Arc::new(first)), state: Mutex::default(), changed: Condvar::new() }
    }

    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn error(&self) -> Option<Arc<ConfigError>> {
        self.lock().error.clone()
    }

    /// Replaces the configuration.
    pub fn replace(&self, next: T) {
        let next = Arc::new(next);
        let mut state = self.lock();
        state.error = None;
        let before =
            std::mem::replace(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), next);
        drop(state);
        self.changed.notify_all();
        // Dropping the last reference runs the caller's code, so no lock may be held.
        drop(before);
    }

    /// Keeps the current configuration, and records an error.
    pub fn keep(&self, error: Arc<ConfigError>) {
        self.lock().error = Some(error);
        self.changed.notify_all();
    }

    /// Waits until the configuration is another one than `known`.
    pub fn wait_for_change(&self, known: &Arc<T>, timeout: Duration) -> Option<Arc<T>> {
        let is_known = |_: &mut State| Arc::ptr_eq(&self.current(), known);
        let (state, waited) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, is_known)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        (!waited.timed_out()).then(|| self.current())
    }

    /// Ends every current and future [`pause`](Self::pause).
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Waits for some time. Returns false if [`stop`](Self::stop) was called.
    pub fn pause(&self, time: Duration) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), time, |state| !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        !state.stopped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
