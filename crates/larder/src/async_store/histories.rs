//! How much of the change log is kept, by the groups of the changes.

use super::handle::AsyncStore;
use crate::data::{History, HistoryInfo, Result};
use crate::store::{Request, Store};

impl AsyncStore {
    /// Gives all groups whose names start with `prefix` a history of their own: how much of the change log is kept for
    /// them. [`Store::set_history`] says what that means.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::{AsyncStore, History};
    /// # let store = AsyncStore::in_memory().await?;
    /// store.set_history("session:", History::NONE).await?;
    /// store.set("session:7", "token", "abc").await?;
    /// assert!(store.history("session:7", "token").await?.is_empty());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write: see [`AsyncStore`]. [`Error::TooManyHistories`](crate::Error::TooManyHistories) beyond 256 of them.
    /// On a cluster, [`Error::Unsupported`](crate::Error::Unsupported).
    ///
    /// # Cancellation
    /// If the future is dropped, the history is set or it is not.
    pub async fn set_history(&self, prefix: impl AsRef<str>, history: History) -> Result<()> {
        self.write(Request::set_history(self.scope(), prefix, Some(history))).await.map(drop)
    }

    /// Removes the history of a prefix, and returns whether there was one. The changes that it holds move to the
    /// history that its groups belong to then.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::{AsyncStore, History};
    /// # let store = AsyncStore::in_memory().await?;
    /// store.set_history("session:", History::NONE).await?;
    /// assert!(store.remove_history("session:").await?);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`set_history`](Self::set_history).
    ///
    /// # Cancellation
    /// If the future is dropped, the history is removed or it is not.
    pub async fn remove_history(&self, prefix: impl AsRef<str>) -> Result<bool> {
        self.write(Request::set_history(self.scope(), prefix, None)).await
    }
}

impl<S: 'static> AsyncStore<S> {
    /// Returns the histories, sorted by prefix, with how much each holds. The first one of a whole store has the empty
    /// prefix. A cluster has none.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::{AsyncStore, History};
    /// # let store = AsyncStore::in_memory().await?;
    /// store.set_history("session:", History::NONE).await?;
    /// assert_eq!(store.histories().await?[1].prefix, "session:");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`](crate::AsyncView).
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn histories(&self) -> Result<Vec<HistoryInfo>> {
        self.read(Store::histories).await
    }
}
