//! Without a runtime, all work runs on the thread that calls.

/// Runs work for a store that is never awaited.
#[derive(Default)]
pub(crate) struct Offload {}

impl Offload {
    /// Runs what is left to do when a handle is dropped.
    pub fn wind_up(&self, work: impl FnOnce() + Send + 'static) {
        work();
    }
}
