//! The store at one moment, awaited.

use std::ops::Deref;

use super::view::AsyncView;
use crate::data::{Result, Revision};

/// The store as it was at one moment: see [`AsyncStore::snapshot`](crate::AsyncStore::snapshot). All its reads are
/// those of [`AsyncView`].
///
/// Later writes, deletions and purges do not show. An entry whose time comes while the snapshot is held disappears
/// from it. While a snapshot of a file is held, SQLite cannot checkpoint the write-ahead log, which grows with every
/// write. A snapshot of a store in memory is a copy of it.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let store = larder::AsyncStore::in_memory().await?;
/// store.set("config", "colour", "blue").await?;
/// let snapshot = store.snapshot().await?;
/// store.set("config", "colour", "green").await?;
/// assert_eq!(snapshot.get("config", "colour").await?.unwrap(), "blue");
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a snapshot shows its moment only while it is held"]
pub struct AsyncSnapshot {
    view: AsyncView,
}

impl AsyncSnapshot {
    pub(super) fn new(view: AsyncView) -> Self {
        Self { view }
    }

    /// Returns the revision of the latest commit that the snapshot shows.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let revision = store.set("config", "colour", "blue").await?;
    /// assert_eq!(store.snapshot().await?.revision().await?, revision);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn revision(&self) -> Result<Revision> {
        self.view.read(|view| view.reader()?.revision().wait()).await
    }
}

impl Deref for AsyncSnapshot {
    type Target = AsyncView;

    fn deref(&self) -> &AsyncView {
        &self.view
    }
}
