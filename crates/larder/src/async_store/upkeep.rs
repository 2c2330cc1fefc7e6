//! Statistics, checks for damage, and the age of what is cached.

use std::time::Duration;

use super::handle::AsyncStore;
use crate::data::{Finding, Health, Repair, Repaired, Result, Stats};
use crate::store::Store;

impl AsyncStore {
    /// Returns statistics about the store.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// assert_eq!(store.stats().await?.keys, 1);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`](crate::AsyncView).
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn stats(&self) -> Result<Stats> {
        self.read(Store::stats).await
    }

    /// Checks the store for damage, and returns what it finds; a sound store has nothing to find. It reads the whole
    /// store, all of one moment, and counts everything again to compare it with the stored counts. A [`Finding`] may
    /// also be [harmless](Finding::is_damage), such as a table of another program.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// assert!(store.check().await?.is_empty());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read. [`Error::Damaged`](crate::Error::Damaged) if damage prevents it from looking further.
    ///
    /// # Cancellation
    /// If the future is dropped, the check runs on, and its result is discarded.
    pub async fn check(&self) -> Result<Vec<Finding>> {
        self.read(Store::check).await
    }

    /// Corrects what [`check`](Self::check) finds, as far as it can be rebuilt from the entries: see
    /// [`Store::repair`](crate::Store::repair).
    ///
    /// ```
    /// use larder::Repair;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let done = store.repair(Repair::default()).await?;
    /// assert!(done.left.is_empty());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Store::repair`](crate::Store::repair).
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the repair is made all the same.
    pub async fn repair(&self, repair: Repair) -> Result<Repaired> {
        self.exclusive(move |store| store.repair(repair)).await
    }

    /// Gives the space that the store does not need back to the system, and returns how many bytes that is: see
    /// [`Store::compact`](crate::Store::compact).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", vec![b'x'; 100_000]).await?;
    /// store.delete_group("config").await?;
    /// store.compact().await?;
    /// assert_eq!(store.stats().await?.free_bytes, 0);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Store::compact`](crate::Store::compact).
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the store is compacted all the same.
    pub async fn compact(&self) -> Result<u64> {
        self.exclusive(Store::compact).await
    }

    /// Tells every client that the cluster was restored from a snapshot, and gives the store another identity: see
    /// [`Store::note_restored`]. It changes nothing for a store in a file or in memory.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.note_restored().await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write.
    ///
    /// # Cancellation
    /// If the future is dropped, the clients are told all the same.
    pub async fn note_restored(&self) -> Result<()> {
        self.read(Store::note_restored).await
    }
}

impl<S: 'static> AsyncStore<S> {
    /// Returns how this process stands to what the store is in: see [`Store::health`]. It never waits.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// assert!(store.health()?.feed.is_none());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn health(&self) -> Result<Health> {
        self.store.health()
    }

    /// Returns how old the result of a single read may be now: zero, unless the store is on a cluster and
    /// [`Consistency::Cached`](crate::Consistency::Cached). Then it is at most
    /// [`Options::cache_age_max`](crate::Options::cache_age_max), or `None` while the age is unknown and no read uses
    /// the cache. It never waits.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// assert_eq!(store.cache_age()?, Some(Duration::ZERO));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed).
    pub fn cache_age(&self) -> Result<Option<Duration>> {
        self.store.cache_age()
    }
}
