//! Reading, awaited.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::stream::{AsyncEntryStream, AsyncKeyStream, Steps};
use crate::data::{Entries, Entry, Found, GroupInfo, Page, Result, Value};
use crate::store::{Open, Scope, Source, View};

/// Everything that can be read, awaited: what [`AsyncStore`](crate::AsyncStore) and
/// [`AsyncSnapshot`](crate::AsyncSnapshot) have in common, as [`View`] is for the blocking face.
///
/// What the cache has is there at once. All else is read on a thread that the runtime has for what blocks.
///
/// Each method reads, and fails, as its namesake in [`View`], and with
/// [`Error::NoRuntime`](crate::Error::NoRuntime) outside of a Tokio runtime.
#[derive(Clone)]
pub struct AsyncView {
    view: View,
    shared: Arc<Open>,
}

impl AsyncView {
    pub(super) fn new(source: Source, shared: Arc<Open>, scope: Scope) -> Self {
        Self { view: View::new(source, scope), shared }
    }

    pub(super) fn scope(&self) -> &Scope {
        self.view.scope()
    }

    /// See [`View::get`].
    ///
    /// # Errors
    /// As there.
    pub async fn get(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Value>> {
        Ok(self.find(group.as_ref(), key.as_ref()).await?.map(Value::from))
    }

    /// See [`View::get_json`].
    ///
    /// # Errors
    /// As there.
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        group: impl AsRef<str>,
        key: impl AsRef<str>,
    ) -> Result<Option<T>> {
        self.get(group, key).await?.map(|value| value.json()).transpose()
    }

    /// See [`View::entry`].
    ///
    /// # Errors
    /// As there.
    pub async fn entry(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Entry>> {
        Ok(self.find(group.as_ref(), key.as_ref()).await?.map(Entry::from))
    }

    /// See [`View::exists`].
    ///
    /// # Errors
    /// As there.
    pub async fn exists(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<bool> {
        Ok(self.find(group.as_ref(), key.as_ref()).await?.is_some())
    }

    /// See [`View::get_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn get_all(&self, group: impl AsRef<str>) -> Result<Entries> {
        let group = group.as_ref().to_owned();
        self.read(move |view| view.get_all(group)).await
    }

    /// See [`View::entries`]: a [`Stream`](futures_core::Stream) of them.
    ///
    /// # Errors
    /// As there.
    pub async fn entries(&self, group: impl AsRef<str>) -> Result<AsyncEntryStream> {
        let group = group.as_ref().to_owned();
        let entries = self.read(move |view| view.entries(group)).await?;
        Ok(AsyncEntryStream(Steps::over(entries, Arc::clone(&self.shared))))
    }

    /// See [`View::keys`]: a [`Stream`](futures_core::Stream) of them.
    ///
    /// # Errors
    /// As there.
    pub async fn keys(&self, group: impl AsRef<str>) -> Result<AsyncKeyStream> {
        let group = group.as_ref().to_owned();
        let keys = self.read(move |view| view.keys(group)).await?;
        Ok(AsyncKeyStream(Steps::over(keys, Arc::clone(&self.shared))))
    }

    /// See [`View::page`].
    ///
    /// # Errors
    /// As there.
    pub async fn page(&self, group: impl AsRef<str>, after: Option<&str>, limit: usize) -> Result<Page> {
        let (group, after) = (group.as_ref().to_owned(), after.map(str::to_owned));
        self.read(move |view| view.page(group, after.as_deref(), limit)).await
    }

    /// See [`View::get_page`].
    ///
    /// # Errors
    /// As there.
    pub async fn get_page(&self, group: impl AsRef<str>, offset: u64, limit: usize) -> Result<Vec<Entry>> {
        let group = group.as_ref().to_owned();
        self.read(move |view| view.get_page(group, offset, limit)).await
    }

    /// See [`View::count`].
    ///
    /// # Errors
    /// As there.
    pub async fn count(&self, group: impl AsRef<str>) -> Result<u64> {
        let group = group.as_ref().to_owned();
        self.read(move |view| view.count(group)).await
    }

    /// See [`View::count_all`].
    ///
    /// # Errors
    /// As there.
    pub async fn count_all(&self, prefix: impl AsRef<str>) -> Result<u64> {
        let prefix = prefix.as_ref().to_owned();
        self.read(move |view| view.count_all(prefix)).await
    }

    /// See [`View::groups`].
    ///
    /// # Errors
    /// As there.
    pub async fn groups(&self, prefix: impl AsRef<str>) -> Result<Vec<GroupInfo>> {
        let prefix = prefix.as_ref().to_owned();
        self.read(move |view| view.groups(prefix)).await
    }

    /// See [`View::group_exists`].
    ///
    /// # Errors
    /// As there.
    pub async fn group_exists(&self, group: impl AsRef<str>) -> Result<bool> {
        Ok(self.count(group).await? > 0)
    }

    /// See [`View::split`].
    ///
    /// # Errors
    /// As there.
    pub async fn split(
        &self,
        group: impl AsRef<str>,
        key: impl AsRef<str>,
        separator: &str,
    ) -> Result<Option<Vec<String>>> {
        self.get(group, key).await?.map(|value| value.split(separator)).transpose()
    }

    /// See [`View::fields`].
    ///
    /// # Errors
    /// As there.
    pub async fn fields(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Vec<String>>> {
        self.get(group, key).await?.map(|value| value.fields()).transpose()
    }

    /// See [`View::render`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "templates")]
    pub async fn render(&self, template: impl AsRef<str>, group: impl AsRef<str>) -> Result<String> {
        let (template, group) = (template.as_ref().to_owned(), group.as_ref().to_owned());
        self.read(move |view| view.render(&template, group)).await
    }

    /// See [`View::render_strict`].
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "templates")]
    pub async fn render_strict(&self, template: impl AsRef<str>, group: impl AsRef<str>) -> Result<String> {
        let (template, group) = (template.as_ref().to_owned(), group.as_ref().to_owned());
        self.read(move |view| view.render_strict(&template, group)).await
    }

    async fn find(&self, group: &str, key: &str) -> Result<Option<Found>> {
        let group = self.scope().group(group);
        let answer = self.view.reader()?.get_unblocked(&group, key);
        if let Some(answer) = answer {
            return answer.await;
        }
        let (group, key) = (group.into_owned(), key.to_owned());
        self.read(move |view| view.reader()?.get(&group, &key).wait()).await
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let view = self.view.clone();
        self.shared.offload.read(move || read(&view)).await
    }
}

impl fmt::Debug for AsyncView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncView").field("view", &self.view).finish_non_exhaustive()
    }
}
