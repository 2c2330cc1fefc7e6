//! The reads that are there for programs that come from go-store, awaited.

use super::view::AsyncView;
use crate::data::Result;

impl AsyncView {
    /// Returns the parts of a value between `separator`, or `None` if there is no such entry.
    ///
    /// It is there for programs that come from go-store, which has it; it does the same as [`get`](Self::get) and then
    /// [`Value::split`](crate::Value::split).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("web", "hosts", "a,b").await?;
    /// assert_eq!(store.split("web", "hosts", ",").await?.unwrap(), ["a", "b"]);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read, and [`Error::Unreadable`](crate::Error::Unreadable) if the value is not UTF-8.
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn split(
        &self,
        group: impl AsRef<str>,
        key: impl AsRef<str>,
        separator: &str,
    ) -> Result<Option<Vec<String>>> {
        self.get(group, key).await?.map(|value| value.split(separator)).transpose()
    }

    /// Returns the words of a value, separated by white space, or `None` if there is no such entry.
    ///
    /// It is there for programs that come from go-store, which has it; it does the same as [`get`](Self::get) and then
    /// [`Value::fields`](crate::Value::fields).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("web", "hosts", " a  b ").await?;
    /// assert_eq!(store.fields("web", "hosts").await?.unwrap(), ["a", "b"]);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read, and [`Error::Unreadable`](crate::Error::Unreadable) if the value is not UTF-8.
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn fields(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Vec<String>>> {
        self.get(group, key).await?.map(|value| value.fields()).transpose()
    }
}
