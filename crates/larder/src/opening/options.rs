//! How a store is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::data::{Clock, Consistency, Durability};
use crate::engine::{Settings, sqlite};

/// How a store is opened.
///
/// ```
/// use std::time::Duration;
/// use larder::{Durability, Store};
///
/// let store = Store::options()
///     .durability(Durability::Relaxed)
///     .cache_bytes(16 << 20)
///     .history(10_000, 8 << 20)
///     .timeout(Duration::from_secs(1))
///     .in_memory()?;
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until something is opened with them"]
pub struct Options {
    pub(super) settings: Settings,
    pub(super) max_value_bytes: u64,
    pub(super) expiry_timer: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { settings: Settings::default(), max_value_bytes: 64 << 20, expiry_timer: true }
    }
}

impl Options {
    /// When a write counts as done. [`Durability::Full`] unless set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// How much memory the cache may take, in bytes of keys, values and what it takes to find them.
    /// 64 MiB unless set; 0 turns it off. Reads from the cache are never stale, whichever thread or
    /// process wrote last; it is shared by all handles of a store and private to its process.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.settings.cache_bytes = bytes;
        self
    }

    /// How much the change log keeps: this many changes of this many bytes (keys, values and what
    /// it takes to find them). 100,000 and 64 MiB unless set. Older changes go little by little
    /// with later writes; those of the latest commit always stay.
    pub fn history(mut self, changes: u64, bytes: u64) -> Self {
        self.settings.history_changes_max = changes;
        self.settings.history_bytes_max = bytes;
        self
    }

    /// How long a call waits for other processes to let go of the file before it fails with
    /// [`Error::Busy`]. Five seconds unless set. On a cluster it is how long a call may take, elections and
    /// members that do not answer included, before it fails with [`Error::Unreachable`] or
    /// [`Error::Unknown`]; less than 200 milliseconds count as that many, more than a day as a day.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Whether writes are refused with [`Error::ReadOnly`]. A file opened so is never created,
    /// migrated or purged.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.settings.read_only = read_only;
        self
    }

    /// Whether a file that is not there is made, which it is unless set to false. Without, opening
    /// it fails with [`Error::NoStore`].
    pub fn create(mut self, create: bool) -> Self {
        self.settings.create = create;
        self
    }

    /// The largest value that may be set, in bytes. 64 MiB unless set; at most 900 MiB.
    pub fn max_value_bytes(mut self, bytes: u64) -> Self {
        self.max_value_bytes = bytes.min(sqlite::VALUE_BYTES_MAX);
        self
    }

    /// What a read of a store on an etcd cluster may show. [`Consistency::Linearizable`] unless set, here or
    /// in the location (`?consistency=cached`).
    pub fn consistency(mut self, consistency: Consistency) -> Self {
        self.settings.consistency = consistency;
        self
    }

    /// How old what [`Consistency::Cached`] shows may be. One second unless set.
    pub fn cache_age_max(mut self, age: Duration) -> Self {
        self.settings.cache_age_max = age;
        self
    }

    /// By how much the clocks of the machines may differ that use a store on an etcd cluster. None unless
    /// set. A client judges by its own clock what has expired; but it removes nothing before it has for this
    /// long, so that one whose clock is ahead takes away nothing that others still see. Events of what
    /// expires come so much later. A store in a SQLite file has the one clock of its machine.
    pub fn clock_difference_max(mut self, difference: Duration) -> Self {
        self.settings.clock_difference_max = difference;
        self
    }

    /// Whether a thread of the store removes what has expired, as it does unless set to false.
    /// Reads leave out what has expired in any case. Without it,
    /// [`Store::purge_expired`](crate::Store::purge_expired) removes it.
    pub fn expiry_timer(mut self, on: bool) -> Self {
        self.expiry_timer = on;
        self
    }

    /// Where the store takes the time from. The machine's clock unless set.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("durability", &self.settings.durability)
            .field("history", &(self.settings.history_changes_max, self.settings.history_bytes_max))
            .field("timeout", &self.settings.timeout)
            .field("read_only", &self.settings.read_only)
            .field("clock", &self.settings.clock)
            .finish_non_exhaustive()
    }
}
