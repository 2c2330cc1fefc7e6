use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use config::ConfigError;
use larder::{Error, ErrorKind, Watcher};

use crate::held::Held;

/// How many changes one reload takes at the most, so that a writer who never rests cannot put it off.
const BURST_MAX: usize = 10_000;

/// How long to leave a store alone that could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps a configuration up to date, on a thread of its own, until its watcher is closed.
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

    /// Waits for a change, and takes those that came with it.
    fn changes(&self) -> Result<(), Error> {
        match self.watcher.recv() {
            // What is missing from the log is in the group, which is what will be read.
            Ok(_) | Err(Error::Compacted { .. }) => {}
            Err(error) => return Err(error),
        }
        for _ in 0..BURST_MAX {
            // An error comes again with the next `recv`, or was `Compacted`.
            if !matches!(self.watcher.try_recv(), Ok(Some(_))) {
                break;
            }
        }
        Ok(())
    }

    /// Puts in force what there is now, or says why not; whether to go on.
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
            let of_store = is_of_store(&error);
            self.keep(error);
            // What is wrong with the values only a change can mend, which will be heard of.
            if !of_store {
                return true;
            }
            if !self.held.pause(RETRY) {
                return false;
            }
        }
    }

    /// A panic of the caller's code is an error too: the thread has to outlive it.
    fn load(&mut self) -> Result<T, ConfigError> {
        panic::catch_unwind(AssertUnwindSafe(&mut self.load))
            .unwrap_or_else(|_| Err(ConfigError::Message("reading the configuration panicked".into())))
    }

    fn keep(&self, error: ConfigError) {
        let cause: &dyn std::error::Error = &error;
        tracing::warn!(group = self.group, error = cause, "the configuration stays as it was");
        self.held.keep(Arc::new(error));
    }
}

/// Whether the store could not be read, and might be later.
fn is_of_store(error: &ConfigError) -> bool {
    let ConfigError::Foreign(cause) = error else { return false };
    cause.downcast_ref::<Error>().is_some_and(|error| error.kind() != ErrorKind::Closed)
}

pub(crate) fn foreign(error: Error) -> ConfigError {
    ConfigError::Foreign(error.into())
}
