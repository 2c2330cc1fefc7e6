//! What an engine is told when it opens a store.

use std::sync::Arc;
use std::time::Duration;

use crate::data::{Clock, Consistency, Durability, WallClock};

/// How an engine opens a store. [`Options`](crate::opening::Options) documents each of them.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub durability: Durability,
    pub cache_bytes: u64,
    pub history_changes_max: u64,
    pub history_bytes_max: u64,
    /// How long a call may wait for a lock or for a cluster.
    pub timeout: Duration,
    pub read_only: bool,
    /// Whether a store that does not exist is created.
    pub create: bool,
    pub consistency: Consistency,
    pub cache_age_max: Duration,
    pub clock_difference_max: Duration,
    pub clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            cache_bytes: 64 << 20,
            history_changes_max: 100_000,
            history_bytes_max: 64 << 20,
            timeout: Duration::from_secs(5),
            read_only: false,
            create: true,
            consistency: Consistency::Linearizable,
            cache_age_max: Duration::from_secs(1),
            clock_difference_max: Duration::ZERO,
            clock: Arc::new(WallClock),
        }
    }
}
