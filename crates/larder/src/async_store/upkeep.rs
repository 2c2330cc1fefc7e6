//! Statistics, checks for damage, backups, and the age of what is cached.

use std::path::Path;
use std::time::Duration;

use super::handle::AsyncStore;
use crate::data::{Result, Stats};
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

    /// Checks the store for damage, and returns one line for each finding; an undamaged store has none. It reads
    /// the whole store and counts everything again to compare it with the stored counts.
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
    pub async fn check(&self) -> Result<Vec<String>> {
        self.read(Store::check).await
    }

    /// Writes a copy of the store as it is now to a new SQLite file, while others read and write. The copy of a
    /// SQLite file has the same revisions, quotas and change log. The copy of a store on a cluster has its entries
    /// and quotas; its revisions and change log start anew.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// store.backup_to(&path).await?; // e.g. "backup.db"
    /// # assert!(path.exists());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) if the file exists,
    /// [`Error::Denied`](crate::Error::Denied) if it cannot be created, [`Error::BackupFailed`](crate::Error::BackupFailed) if it cannot be written to the end, and as any
    /// read. Then no file is left behind.
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the backup is made all the same.
    pub async fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref().to_owned();
        self.read(move |store| store.backup_to(path)).await
    }
}

impl<S: 'static> AsyncStore<S> {
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
