//! Counts what operators ask for.

use std::sync::atomic::AtomicU64;

/// What this client has met so far. Relaxed: no other memory depends on it.
#[derive(Default)]
pub struct Counts {
    pub retries: AtomicU64,
    pub contended: AtomicU64,
    pub unknown: AtomicU64,
}
