use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use config::ConfigError;

/// The configuration that is in force, and why the latest is not where it is not.
pub(crate) struct Held<T> {
    /// Locked for as long as it takes to copy or replace a pointer, whatever a reload does.
    current: RwLock<Arc<T>>,
    state: Mutex<State>,
    /// Something of the above is another.
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

    /// Puts another configuration in force.
    pub fn replace(&self, next: T) {
        let next = Arc::new(next);
        let mut state = self.lock();
        state.error = None;
        let before =
            std::mem::replace(&mut *self.current.write().unwrap_or_else(PoisonError::into_inner), next);
        drop(state);
        self.changed.notify_all();
        // Perhaps the last of it, and then the caller's code runs: not under a lock.
        drop(before);
    }

    /// Leaves the one that is in force.
    pub fn keep(&self, error: Arc<ConfigError>) {
        self.lock().error = Some(error);
        self.changed.notify_all();
    }

    /// Waits until another than `known` is in force.
    pub fn wait_for_other(&self, known: &Arc<T>, timeout: Duration) -> Option<Arc<T>> {
        let is_known = |_: &mut State| Arc::ptr_eq(&self.current(), known);
        let (state, waited) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, is_known)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        (!waited.timed_out()).then(|| self.current())
    }

    /// Ends every [`pause`](Self::pause), also those to come.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Lets time pass; whether to go on then.
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
