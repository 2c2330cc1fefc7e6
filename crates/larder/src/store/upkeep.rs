//! Statistics, checks for damage, and the age of what is cached.

use std::time::Duration;

use super::handle::Store;
use crate::data::{Result, Stats};

impl Store {
    /// Returns statistics about the store.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// assert_eq!(store.stats()?.keys, 1);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`](crate::View).
    pub fn stats(&self) -> Result<Stats> {
        self.shared().engine()?.stats().wait()
    }

    /// Checks the store for damage, and returns one line for each finding; an undamaged store has none. It reads
    /// the whole store and counts everything again to compare it with the stored counts.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert!(store.check()?.is_empty());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read. [`Error::Damaged`](crate::Error::Damaged) if damage prevents it from looking further.
    pub fn check(&self) -> Result<Vec<String>> {
        self.shared().engine()?.check().wait()
    }
}

impl<S> Store<S> {
    /// Returns how old the result of a single read may be now.
    ///
    /// It is zero for a store in a SQLite file or in memory, and on a cluster with
    /// [`Consistency::Linearizable`](crate::Consistency::Linearizable): their reads see every write that was
    /// acknowledged before the read began. With [`Consistency::Cached`](crate::Consistency::Cached) it is at most
    /// [`Options::cache_age_max`](crate::Options::cache_age_max), or `None` while the age is unknown, for example
    /// because the cluster does not answer. Then no read uses the cache.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// assert_eq!(store.cache_age()?, Some(Duration::ZERO));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) and [`Error::Nested`](crate::Error::Nested).
    pub fn cache_age(&self) -> Result<Option<Duration>> {
        Ok(self.shared().engine()?.cache_age())
    }
}
