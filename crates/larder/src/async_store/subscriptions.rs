//! Subscribing to changes, awaited.

use super::cursor::AsyncCursor;
use super::handle::AsyncStore;
use super::mirror::AsyncMirror;
use super::watcher::AsyncWatcher;
use crate::data::{CursorInfo, Event, Pattern, Result, ResumeToken, Since};
use crate::store::Store;
use crate::watch::Subscription;

/// Subscriptions: watchers, mirrors, cursors and callbacks.
impl<S: 'static> AsyncStore<S> {
    /// Watches the changes that match a pattern, from now on.
    ///
    /// A watcher never delays a writer and never misses a change: one that lags reads on from the change log, in order,
    /// until it has caught up.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mut changes = store.watch(("config", "*")).await?;
    /// store.set("config", "colour", "blue").await?;
    /// store.set("other", "key", "does not match").await?;
    /// assert_eq!(changes.recv().await?.key.as_deref(), Some("colour"));
    /// assert!(changes.try_recv().await?.is_none());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read, and [`Error::TooLarge`](crate::Error::TooLarge) for a pattern that no name can match.
    ///
    /// # Cancellation
    /// Dropping the future ends the subscription.
    pub async fn watch(&self, pattern: impl Into<Pattern>) -> Result<AsyncWatcher> {
        let pattern = pattern.into();
        let watcher = self.read(move |store| store.watch(pattern)).await?;
        Ok(AsyncWatcher::new(watcher, self.store.shared()))
    }

    /// Watches the changes that match a pattern and came after a revision: first those in the change log, then new ones.
    /// `0` starts at the beginning. A [`ResumeToken`] instead of a revision also says which store it belongs to, and marks
    /// a position inside a commit.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let first = store.set("config", "colour", "blue").await?;
    /// store.set("config", "colour", "green").await?;
    /// let mut changes = store.watch_from(("config", "*"), first).await?;
    /// assert_eq!(changes.recv().await?.value.unwrap(), "green");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Compacted`](crate::Error::Compacted) if the log no longer has all of them,
    /// [`Error::FutureRevision`](crate::Error::FutureRevision) if the store has not reached the revision,
    /// [`Error::OtherStore`](crate::Error::OtherStore) for a token of another store,
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a pattern that no name can match, and as any read.
    ///
    /// # Cancellation
    /// Dropping the future ends the subscription.
    pub async fn watch_from(
        &self,
        pattern: impl Into<Pattern>,
        after: impl Into<Since>,
    ) -> Result<AsyncWatcher> {
        let (pattern, after) = (pattern.into(), after.into());
        let watcher = self.read(move |store| store.watch_from(pattern, after)).await?;
        Ok(AsyncWatcher::new(watcher, self.store.shared()))
    }

    /// Returns a mirror: it receives every entry that matches a pattern, and then every change since exactly that moment. A
    /// program that keeps a copy of a configuration needs one.
    ///
    /// The entries come group by group and sorted by key, in constant memory. The mirror holds a snapshot until all of them
    /// were received.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::{AsyncStore, Update};
    /// # let store = AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// let mut mirror = store.mirror(("config", "*")).await?;
    /// store.set("config", "size", "10").await?;
    /// let mut copy = std::collections::BTreeMap::new();
    /// while let Some(update) = mirror.try_recv().await? {
    ///     match update {
    ///         Update::Entry(_, entry) => drop(copy.insert(entry.key, entry.value)),
    ///         Update::Current(revision) => println!("complete as of {revision}"),
    ///         Update::Change(event) => match (event.key, event.value) {
    ///             (Some(key), Some(value)) => drop(copy.insert(key, value)),
    ///             (Some(key), None) => drop(copy.remove(&key)),
    ///             (None, _) => copy.clear(),
    ///         },
    ///     }
    /// }
    /// assert_eq!((copy.len(), copy["size"].as_str()), (2, Some("10")));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read, and [`Error::TooLarge`](crate::Error::TooLarge) for a pattern that no name can match.
    ///
    /// # Cancellation
    /// Dropping the future ends the subscription.
    pub async fn mirror(&self, pattern: impl Into<Pattern>) -> Result<AsyncMirror> {
        let pattern = pattern.into();
        let mirror = self.read(move |store| store.mirror(pattern)).await?;
        Ok(AsyncMirror::new(mirror, self.store.shared()))
    }

    /// Returns a cursor: a watcher of all changes whose position the store remembers under a name. It continues after the
    /// last event that was acknowledged under that name with [`AsyncCursor::ack`], in this process or an earlier one. A new
    /// name starts now.
    ///
    /// An acknowledged event does not come again after a crash; one that was not acknowledged does. A cursor does not keep
    /// the change log from being pruned: if the log no longer has the next event, the first [`recv`](AsyncCursor::recv)
    /// fails with [`Error::Compacted`](crate::Error::Compacted).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mut mailer = store.cursor("mailer").await?;
    /// store.set("orders", "1", "a book").await?;
    /// store.set("orders", "2", "a pen").await?;
    /// let first = mailer.recv().await?;
    /// mailer.ack(&first).await?;
    /// drop(mailer); // or a crash
    ///
    /// let mut mailer = store.cursor("mailer").await?;
    /// assert_eq!(mailer.recv().await?.key.as_deref(), Some("2"));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidCursor`](crate::Error::InvalidCursor) unless the name consists of letters, digits, `.`, `_` and `-`,
    /// at most 128 of them; as any read; and, if the name is new, as any write.
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the store may remember a new name all the same.
    pub async fn cursor(&self, name: impl AsRef<str>) -> Result<AsyncCursor> {
        self.cursor_on(name, Pattern::all()).await
    }

    /// Returns a cursor for the changes that match a pattern: see [`cursor`](Self::cursor). The store remembers the
    /// position and not the pattern, so use the same pattern each time.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mut mailer = store.cursor_on("mailer", ("orders", "*")).await?;
    /// store.set("config", "colour", "does not match").await?;
    /// store.set("orders", "1", "a book").await?;
    /// assert_eq!(mailer.recv().await?.group, "orders");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`cursor`](Self::cursor), and [`Error::TooLarge`](crate::Error::TooLarge) for a pattern that no name can match.
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the store may remember a new name all the same.
    pub async fn cursor_on(&self, name: impl AsRef<str>, pattern: impl Into<Pattern>) -> Result<AsyncCursor> {
        let (name, pattern) = (name.as_ref().to_owned(), pattern.into());
        let cursor = self.exclusive(move |store| store.cursor_on(name, pattern)).await?;
        Ok(AsyncCursor::new(cursor, self.store.shared()))
    }

    /// Returns a cursor that starts after `begin` if its name is new: see [`cursor_on`](Self::cursor_on). `0` is the
    /// beginning of the change log. A name that the store remembers continues where it was; [`AsyncCursor::seek`] moves it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("orders", "1", "a book").await?;
    /// let mut mailer = store.cursor_from("mailer", ("orders", "*"), 0).await?;
    /// assert_eq!(mailer.recv().await?.key.as_deref(), Some("1"));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`cursor_on`](Self::cursor_on); if the name is new, also as [`watch_from`](Self::watch_from).
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the store may remember a new name all the same.
    pub async fn cursor_from(
        &self,
        name: impl AsRef<str>,
        pattern: impl Into<Pattern>,
        begin: impl Into<Since>,
    ) -> Result<AsyncCursor> {
        let (name, pattern, begin) = (name.as_ref().to_owned(), pattern.into(), begin.into());
        let cursor = self.exclusive(move |store| store.cursor_from(name, pattern, begin)).await?;
        Ok(AsyncCursor::new(cursor, self.store.shared()))
    }

    /// Returns the named cursors, sorted by name.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let mailer = store.cursor("mailer").await?;
    /// store.set("orders", "1", "a book").await?;
    /// let cursors = store.cursors().await?;
    /// assert_eq!((cursors[0].name.as_str(), cursors[0].behind), ("mailer", 1));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`](crate::AsyncView).
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn cursors(&self) -> Result<Vec<CursorInfo>> {
        self.read(Store::cursors).await
    }

    /// Deletes the position that the store remembers under a cursor's name, and returns whether there was one.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.cursor("mailer").await?;
    /// assert!(store.delete_cursor("mailer").await?);
    /// assert!(!store.delete_cursor("mailer").await?);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidCursor`](crate::Error::InvalidCursor), and as any write.
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the position is deleted all the same.
    pub async fn delete_cursor(&self, name: impl AsRef<str>) -> Result<bool> {
        let name = name.as_ref().to_owned();
        self.exclusive(move |store| store.delete_cursor(name)).await
    }

    /// Returns a token for the latest commit, from which [`watch_from`](Self::watch_from) can start later.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let token = store.token().await?;
    /// store.set("config", "colour", "blue").await?;
    /// let mut changes = store.watch_from(("config", "*"), token).await?;
    /// assert_eq!(changes.recv().await?.key.as_deref(), Some("colour"));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`](crate::AsyncView).
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn token(&self) -> Result<ResumeToken> {
        self.read(Store::token).await
    }

    /// Registers a callback: it runs for each change made through this store, after the commit and before the write
    /// returns, on a blocking thread. So it may block, and it may use the [`blocking`](Self::blocking) handle. It runs even
    /// if the future of the write was dropped after the commit began.
    ///
    /// If callbacks trigger each other without end, a write in them fails with
    /// [`Error::CallbackLoop`](crate::Error::CallbackLoop). Writes of several tasks run the callback concurrently, so it
    /// may see changes in another order than their revisions. It does not run for writes of other processes;
    /// [`watch`](Self::watch) receives every change in order. A panic in the callback is reported with `tracing`.
    ///
    /// Dropping the subscription unregisters the callback.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let (sender, changed) = std::sync::mpsc::channel();
    /// let subscription = store.on_change(move |event| drop(sender.send(event.key.clone())));
    /// store.set("config", "colour", "blue").await?;
    /// assert_eq!(changed.try_recv().unwrap().as_deref(), Some("colour"));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn on_change(&self, call: impl Fn(&Event) + Send + Sync + 'static) -> Subscription {
        self.store.on_change(call)
    }

    /// Returns the changes of one key that are still in the change log, oldest first, and the deletions of its whole group.
    /// It may read the whole log.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// store.set("config", "colour", "green").await?;
    /// let history = store.history("config", "colour").await?;
    /// assert_eq!(history[0].value.as_ref().unwrap(), "blue");
    /// assert_eq!(history.len(), 2);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`](crate::AsyncView).
    ///
    /// # Cancellation
    /// If the future is dropped, the log is read to its end, and the result discarded.
    pub async fn history(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Vec<Event>> {
        let (group, key) = (group.as_ref().to_owned(), key.as_ref().to_owned());
        self.read(move |store| store.history(group, key)).await
    }
}
