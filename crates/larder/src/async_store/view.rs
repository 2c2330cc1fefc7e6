//! Reads, awaited.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::stream::{AsyncEntryStream, AsyncGroupStream, AsyncKeyStream};
use crate::data::{Entries, Entry, Found, GroupInfo, Page, Result, SmallValue, Value};
use crate::engine::{Columns, Extent, Scan};
use crate::store::{Open, Scope, View, page_of, scan_of_page};

/// Everything that can be read, awaited: what [`AsyncStore`](crate::AsyncStore) and
/// [`AsyncSnapshot`](crate::AsyncSnapshot) have in common, as [`View`] is for blocking handles. Both deref to it, so a
/// function that takes `&AsyncView` accepts either:
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use larder::{AsyncStore, AsyncView};
///
/// async fn greeting(view: &AsyncView) -> larder::Result<String> {
///     let name = view.get("user", "name").await?;
///     Ok(format!("Hello, {}!", name.unwrap_or_default().to_string_lossy()))
/// }
///
/// let store = AsyncStore::in_memory().await?;
/// store.set("user", "name", "Ada").await?;
/// assert_eq!(greeting(&store).await?, "Hello, Ada!");
/// let snapshot = store.snapshot().await?;
/// assert_eq!(greeting(&snapshot).await?, "Hello, Ada!");
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
///
/// A read that the cache can answer returns at once: of an entry, of a group that it keeps as a whole, or a count. Other
/// reads of a SQLite file run on the runtime's
/// blocking threads, at most 16 of one store at a time, and 8 of one namespace.
///
/// A read never shows an expired entry, to the millisecond, and never writes. On a store each call sees the latest
/// commit; on a snapshot all calls see the same moment.
///
/// Any read fails with [`Error::Closed`](crate::Error::Closed) once the store is closed, with
/// [`Error::NoRuntime`](crate::Error::NoRuntime) outside a Tokio runtime, and with
/// [`Error::Damaged`](crate::Error::Damaged), [`Error::Busy`](crate::Error::Busy),
/// [`Error::Unreachable`](crate::Error::Unreachable) or [`Error::Storage`](crate::Error::Storage) if the engine cannot
/// read.
#[derive(Clone)]
pub struct AsyncView {
    view: View,
    shared: Arc<Open>,
}

impl AsyncView {
    pub(super) fn new(view: View, shared: Arc<Open>) -> Self {
        Self { view, shared }
    }

    fn scope(&self) -> &Scope {
        self.view.scope()
    }

    /// Returns the value of an entry, or `None` if there is no such entry.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// assert_eq!(store.get("config", "colour").await?.unwrap(), "blue");
    /// assert_eq!(store.get("config", "size").await?, None);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn get(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Value>> {
        Ok(self.find(group.as_ref(), key.as_ref()).await?.map(Value::from))
    }

    /// Reads the value of an entry where it is. Returns what `read` returns, or `None` if there is no such entry.
    ///
    /// It costs less than [`get`](Self::get) where several threads read the same entry: a value of up to 256 bytes is
    /// copied instead of counting who has it. `read` runs on the task's thread.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "ports", "80,443").await?;
    /// let ports = store.get_with("config", "ports", |value| value.split(|byte| *byte == b',').count()).await?;
    /// assert_eq!(ports, Some(2));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result, and `read` is not called.
    pub async fn get_with<T>(
        &self,
        group: impl AsRef<str>,
        key: impl AsRef<str>,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>> {
        let (group, key) = (group.as_ref(), key.as_ref());
        {
            // Not kept across the wait below: every future would have room for it.
            let mut small = SmallValue::default();
            if let Some(is_there) = self.view.peek(group, key, &mut small)? {
                return Ok(is_there.then(|| read(small.as_bytes())));
            }
        }
        Ok(self.find(group, key).await?.map(|found| read(found.value())))
    }

    /// Returns the value of an entry, parsed as JSON, or `None` if there is no such entry.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "ports", "[80, 443]").await?;
    /// assert_eq!(store.get_json::<Vec<u16>>("config", "ports").await?.unwrap(), [80, 443]);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read, and [`Error::Unreadable`](crate::Error::Unreadable) if the value is not the JSON of a `T`.
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        group: impl AsRef<str>,
        key: impl AsRef<str>,
    ) -> Result<Option<T>> {
        self.get(group, key).await?.map(|value| value.json()).transpose()
    }

    /// Returns an entry with its revision and expiry, or `None` if there is no such entry.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let revision = store.set("config", "colour", "blue").await?;
    /// let entry = store.entry("config", "colour").await?.unwrap();
    /// assert_eq!((entry.revision, entry.expires_at), (revision, None));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn entry(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Option<Entry>> {
        Ok(self.find(group.as_ref(), key.as_ref()).await?.map(Entry::from))
    }

    /// Returns whether an entry exists.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// assert!(store.exists("config", "colour").await?);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn exists(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<bool> {
        Ok(self.find(group.as_ref(), key.as_ref()).await?.is_some())
    }

    /// Returns all keys and values of a group, as of one moment.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// store.set("config", "size", "10").await?;
    /// assert_eq!(store.get_all("config").await?.get("size").unwrap(), "10");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn get_all(&self, group: impl AsRef<str>) -> Result<Entries> {
        let group = group.as_ref();
        if let Some(all) = self.view.scan_at_hand(Scan::whole(group, Columns::Values))? {
            return Ok(all);
        }
        let group = group.to_owned();
        self.read(move |view| view.get_all(group)).await
    }

    /// Streams the entries of a group, sorted by key, as of one moment. It reads from the cache, or page by page, each on a
    /// blocking thread, so it takes no memory that grows with the group. Opening the stream reads the first page.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// let mut entries = store.entries("config").await?;
    /// while let Some(entry) = entries.next().await {
    ///     let entry = entry?;
    ///     println!("{} is {:?} since {}", entry.key, entry.value, entry.revision);
    /// }
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`]. So may each item.
    ///
    /// # Cancellation
    /// Dropping the future closes the stream.
    pub async fn entries(&self, group: impl AsRef<str>) -> Result<AsyncEntryStream> {
        let group = group.as_ref();
        let entries = match self.view.entries_at_hand(group)? {
            Some(entries) => entries,
            None => {
                let group = group.to_owned();
                self.read(move |view| view.entries(group)).await?
            }
        };
        Ok(AsyncGroupStream::new(entries, Arc::clone(&self.shared), self.scope().clone()))
    }

    /// Streams the keys of a group, sorted, as [`entries`](Self::entries) does. It reads no values.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "size", "10").await?;
    /// store.set("config", "colour", "blue").await?;
    /// let mut keys = store.keys("config").await?;
    /// assert_eq!(keys.next().await.transpose()?.as_deref(), Some("colour"));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`]. So may each item.
    ///
    /// # Cancellation
    /// Dropping the future closes the stream.
    pub async fn keys(&self, group: impl AsRef<str>) -> Result<AsyncKeyStream> {
        let group = group.as_ref();
        let keys = match self.view.keys_at_hand(group)? {
            Some(keys) => keys,
            None => {
                let group = group.to_owned();
                self.read(move |view| view.keys(group)).await?
            }
        };
        Ok(AsyncGroupStream::new(keys, Arc::clone(&self.shared), self.scope().clone()))
    }

    /// Returns up to `limit` entries of a group whose keys come after `after`, and where the next page begins. A page costs
    /// the same at any depth.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// for key in ["a", "b", "c"] {
    ///     store.set("items", key, "x").await?;
    /// }
    /// let first = store.page("items", None, 2).await?;
    /// let second = store.page("items", first.next.as_deref(), 2).await?;
    /// assert_eq!((first.entries.len(), second.entries.len()), (2, 1));
    /// assert_eq!(second.next, None);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn page(&self, group: impl AsRef<str>, after: Option<&str>, limit: usize) -> Result<Page> {
        let group = group.as_ref();
        if let Some(found) = self.view.scan_at_hand(scan_of_page(group, after, limit))? {
            return Ok(page_of(&found, after, limit));
        }
        let (group, after) = (group.to_owned(), after.map(str::to_owned));
        self.read(move |view| view.page(group, after.as_deref(), limit)).await
    }

    /// Returns up to `limit` entries of a group after skipping the first `offset`. It takes as many steps as it skips;
    /// [`page`](Self::page) does not.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// for key in ["a", "b", "c"] {
    ///     store.set("items", key, "x").await?;
    /// }
    /// assert_eq!(store.get_page("items", 1, 10).await?[0].key, "b");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn get_page(&self, group: impl AsRef<str>, offset: u64, limit: usize) -> Result<Vec<Entry>> {
        let group = group.as_ref();
        let scan = Scan { offset, limit, ..Scan::whole(group, Columns::All) };
        if let Some(found) = self.view.scan_at_hand(scan)? {
            return Ok((0..found.len()).map(|index| found.entry(index)).collect());
        }
        let group = group.to_owned();
        self.read(move |view| view.get_page(group, offset, limit)).await
    }

    /// Returns how many keys a group has. It costs the same for ten and for ten million.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// assert_eq!(store.count("config").await?, 1);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn count(&self, group: impl AsRef<str>) -> Result<u64> {
        let group = group.as_ref();
        if let Some(usage) = self.view.reader()?.try_usage(Extent::Group(&self.scope().group(group))) {
            return Ok(usage.keys);
        }
        let group = group.to_owned();
        self.read(move |view| view.count(group)).await
    }

    /// Returns how many keys there are in all groups whose names start with `prefix`; `""` counts all groups.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("mail.in", "1", "x").await?;
    /// store.set("mail.out", "1", "x").await?;
    /// assert_eq!(store.count_all("mail.").await?, 2);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn count_all(&self, prefix: impl AsRef<str>) -> Result<u64> {
        let prefix = prefix.as_ref();
        if let Some(usage) = self.view.reader()?.try_usage(Extent::Prefix(&self.scope().group(prefix))) {
            return Ok(usage.keys);
        }
        let prefix = prefix.to_owned();
        self.read(move |view| view.count_all(prefix)).await
    }

    /// Returns the groups whose names start with `prefix`, sorted by name; `""` lists all groups.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("mail.in", "1", "hello").await?;
    /// store.set("config", "colour", "blue").await?;
    /// let groups = store.groups("mail.").await?;
    /// assert_eq!((groups.len(), groups[0].name.as_str()), (1, "mail.in"));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn groups(&self, prefix: impl AsRef<str>) -> Result<Vec<GroupInfo>> {
        let prefix = prefix.as_ref();
        if let Some(groups) = self.view.reader()?.try_groups(&self.scope().group(prefix)) {
            return Ok(self.view.stripped(groups));
        }
        let prefix = prefix.to_owned();
        self.read(move |view| view.groups(prefix)).await
    }

    /// Returns whether a group exists, that is, has a key.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// assert!(store.group_exists("config").await?);
    /// assert!(!store.group_exists("mail").await?);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn group_exists(&self, group: impl AsRef<str>) -> Result<bool> {
        Ok(self.count(group).await? > 0)
    }

    async fn find(&self, group: &str, key: &str) -> Result<Option<Found>> {
        let group = self.scope().group(group);
        let answer = self.view.reader()?.try_get(&group, key);
        if let Some(answer) = answer {
            return answer.await;
        }
        let (group, key) = (group.into_owned(), key.to_owned());
        self.read(move |view| view.reader()?.fetch(&group, &key)).await
    }

    /// Runs a blocking read.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let view = self.view.clone();
        self.shared.offload.read(self.scope(), move || read(&view)).await
    }

    /// Runs a rendering.
    #[cfg(feature = "templates")]
    pub(super) async fn rendering<T: Send + 'static>(
        &self,
        render: impl FnOnce(&View) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let view = self.view.clone();
        self.shared.offload.render(self.scope(), move || render(&view)).await
    }
}

impl fmt::Debug for AsyncView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncView").field("view", &self.view).finish_non_exhaustive()
    }
}
