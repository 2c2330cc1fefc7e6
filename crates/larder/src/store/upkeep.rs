//! Figures about a store, and looking for damage.

use std::time::Duration;

use super::handle::Store;
use crate::data::{Result, Stats};

impl Store {
    /// Figures about the store.
    ///
    /// # Errors
    /// As any read.
    pub fn stats(&self) -> Result<Stats> {
        self.shared().engine()?.stats().wait()
    }

    /// Looks for damage, and returns a line for each thing that it finds; none is good news. It reads
    /// the whole file, counts everything again and holds it against the tallies.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert!(store.check()?.is_empty());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read. Damage that keeps it from looking further is [`Error::Damaged`](crate::Error::Damaged).
    pub fn check(&self) -> Result<Vec<String>> {
        self.shared().engine()?.check().wait()
    }
}

impl<S> Store<S> {
    /// How old what a single read shows may be at the moment. It is zero for a store in a SQLite file or in
    /// memory, and for one on a cluster with [`Consistency::Linearizable`](crate::Consistency::Linearizable):
    /// those show everything that was written before the read began. With
    /// [`Consistency::Cached`](crate::Consistency::Cached) it is at most
    /// [`Options::cache_age_max`](crate::Options::cache_age_max), or `None` where that cannot be known, because
    /// the cluster does not answer, say; then nothing is shown from memory, and every read asks the cluster.
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
