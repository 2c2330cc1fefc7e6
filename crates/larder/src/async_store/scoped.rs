//! What only an [`AsyncScopedStore`] has: its namespace, quota and usage.

use super::handle::AsyncScopedStore;
use crate::data::{Quota, Result, Usage};
use crate::engine::Extent;
use crate::store::{Store, quota_of};

impl AsyncScopedStore {
    /// Returns the name of the namespace.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// assert_eq!(store.scoped("tenant-42")?.namespace(), "tenant-42");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn namespace(&self) -> &str {
        self.store.namespace()
    }

    /// Returns the quota of the namespace: how much it may hold. [`AsyncStore::set_quota`](crate::AsyncStore::set_quota)
    /// sets it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// assert_eq!(store.scoped("tenant-42")?.quota().await?, larder::Quota::default()); // no limits
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`](crate::AsyncView).
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn quota(&self) -> Result<Quota> {
        match self.store.shared().reader()?.try_namespaces(Some(self.namespace())) {
            Some(found) => Ok(quota_of(&found)),
            None => self.read(Store::quota).await,
        }
    }

    /// Returns how much the namespace holds now. It costs the same for ten keys and for ten million.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let tenant = store.scoped("tenant-42")?;
    /// tenant.set("preferences", "locale", "en-GB").await?;
    /// assert_eq!(tenant.usage().await?.keys, 1);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`](crate::AsyncView).
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn usage(&self) -> Result<Usage> {
        match self.store.shared().reader()?.try_usage(Extent::Prefix(self.store.scope().prefix())) {
            Some(usage) => Ok(usage),
            None => self.read(Store::usage).await,
        }
    }
}
