//! The thread that keeps a live configuration up to date.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use config::ConfigError;
use larder::{Error, ErrorKind, Watcher};

use crate::held::Held;

/// The most events that one reload covers, so that a writer that never pauses cannot delay it forever.
const BURST_MAX: usize = 10_000;

/// How long to wait before reading again after the store failed.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps a configuration up to date until its watcher is closed.
pub(crate) struct Follower<T, F> {
    pub watcher: Arc<Watcher>,
    pub held: Arc<Held<T>>,
    pub load: F,
    /// The group's name, for the log.
    pub group: String,
}

impl<T, F: FnMut() -> Result<T, ConfigError>> Follower<T, F> {
    pub fn run(mut self) {
        loop {
            match self.changes() {
                Err(error) if error.kind() == ErrorKind::Closed => {
                    return self.held.keep(Arc::new(foreign(error)));
                }
                Err(error) => {
                    self.keep(foreign(error));
                    if !self.held.pause(RETRY) {
                        return;
                    }
                }
                Ok(()) => {}
            }
            if !self.reload() {
                return;
            }
        }
    }

    /// Waits for an event, and receives all others that are already there.
    fn changes(&self) -> Result<(), Error> {
        match self.watcher.recv() {
            // A gap in the log does not matter, because the whole group is read again.
            Ok(_) | Err(Error::Compacted { .. } | Error::ClusterRestored { .. }) => {}
            Err(error) => return Err(error),
        }
        for _ in 0..BURST_MAX {
            // The next `recv` returns an error again, unless it was one of these.
            if !matches!(self.watcher.try_recv(), Ok(Some(_))) {
                break;
            }
        }
        Ok(())
    }

    /// Loads the current values, or records the error. Returns whether to continue.
    fn reload(&mut self) -> bool {
        loop {
            let error = match self.load() {
                Ok(next) => {
                    tracing::debug!(group = self.group, "the configuration was replaced");
                    self.held.replace(next);
                    return true;
                }
                Err(error) => error,
            };
            let store_failed = is_store_failure(&error);
            self.keep(error);
            // Only a change can fix invalid values, and it will send an event.
            if !store_failed {
                return true;
            }
            if !self.held.pause(RETRY) {
                return false;
            }
        }
    }

    /// Loads the configuration. A panic in the caller's code becomes an error, so that the thread survives
    /// it.
    fn load(&mut self) -> Result<T, ConfigError> {
        panic::catch_unwind(AssertUnwindSafe(&mut self.load))
            .unwrap_or_else(|_| Err(ConfigError::Message("reading the configuration panicked".into())))
    }

    fn keep(&self, error: ConfigError) {
        let cause: &dyn std::error::Error = &error;
        tracing::warn!(group = self.group, error = cause, "the configuration was not replaced");
        self.held.keep(Arc::new(error));
    }
}

/// Whether the store failed in a way that may pass.
fn is_store_failure(error: &ConfigError) -> bool {
    let ConfigError::Foreign(cause) = error else { return false };
    cause.downcast_ref::<Error>().is_some_and(|error| error.kind() != ErrorKind::Closed)
}

pub(crate) fn foreign(error: Error) -> ConfigError {
    ConfigError::Foreign(error.into())
}
