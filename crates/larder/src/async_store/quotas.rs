//! What the owner of a store allows each namespace.

use super::handle::AsyncStore;
use crate::data::{Quota, Result};
use crate::store::Request;

impl AsyncStore {
    /// Sets the quota of a namespace, for every handle and process. [`Store::set_quota`](crate::Store::set_quota) says
    /// more.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::{AsyncStore, Quota};
    /// # let store = AsyncStore::in_memory().await?;
    /// store.set_quota("tenant-42", Quota { max_keys: Some(1), ..Quota::default() }).await?;
    /// let tenant = store.scoped("tenant-42")?;
    /// tenant.set("preferences", "locale", "en-GB").await?;
    /// assert!(tenant.set("preferences", "theme", "dark").await.is_err());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidNamespace`](crate::Error::InvalidNamespace), and as any write: see [`AsyncStore`].
    ///
    /// # Cancellation
    /// If the future is dropped, the quota is set or it is not.
    pub async fn set_quota(&self, namespace: impl AsRef<str>, quota: Quota) -> Result<()> {
        self.write(Request::set_quota(namespace.as_ref(), quota)?).await
    }
}
