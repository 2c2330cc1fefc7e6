//! What an engine is told when it opens a store.

use std::sync::Arc;
use std::time::Duration;

use crate::data::{Clock, Consistency, Durability, History, WallClock};

/// How an engine opens a store. [`Options`](crate::opening::Options) documents each of them.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub durability: Durability,
    pub cache_bytes: u64,
    /// The history of groups for which none was set.
    pub history: History,
    /// How many bytes a history may have for the sake of cursors.
    pub cursor_bytes_max: u64,
    /// How long a call may wait for a lock or for a cluster.
    pub timeout: Duration,
    pub read_only: bool,
    /// Whether a store that does not exist is created.
    pub create: bool,
    /// Whether the group of a new file may use it, too.
    pub group_access: bool,
    pub allow_unsafe_file_system: bool,
    /// Whether what a commit appends to a log is written with one call.
    pub gathers_log_writes: bool,
    pub consistency: Consistency,
    pub cache_age_max: Duration,
    pub clock_difference_max: Duration,
    pub clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            cache_bytes: 256 << 20,
            history: History::default(),
            cursor_bytes_max: 1 << 30,
            timeout: Duration::from_secs(5),
            read_only: false,
            create: true,
            group_access: false,
            allow_unsafe_file_system: false,
            gathers_log_writes: cfg!(unix),
            consistency: Consistency::Linearizable,
            cache_age_max: Duration::from_secs(1),
            clock_difference_max: Duration::ZERO,
            clock: Arc::new(WallClock),
        }
    }
}
