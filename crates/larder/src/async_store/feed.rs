//! Watching, awaited.

use super::{AsyncCursor, AsyncMirror, AsyncStore, AsyncWatcher};
use crate::data::{CursorInfo, Event, Pattern, Result, ResumeToken, Since};
use crate::store::Store;
use crate::watch::Subscription;

/// What there is to hear.
impl<S: 'static> AsyncStore<S> {
    /// See [`Store::watch`].
    ///
    /// # Errors
    /// As there.
    pub async fn watch(&self, pattern: impl Into<Pattern>) -> Result<AsyncWatcher> {
        let pattern = pattern.into();
        let watcher = self.read(move |store| store.watch(pattern)).await?;
        Ok(AsyncWatcher::new(watcher, self.store.shared()))
    }

    /// See [`Store::watch_from`].
    ///
    /// # Errors
    /// As there.
    pub async fn watch_from(
        &self,
        pattern: impl Into<Pattern>,
        after: impl Into<Since>,
    ) -> Result<AsyncWatcher> {
        let (pattern, after) = (pattern.into(), after.into());
        let watcher = self.read(move |store| store.watch_from(pattern, after)).await?;
        Ok(AsyncWatcher::new(watcher, self.store.shared()))
    }

    /// See [`Store::mirror`].
    ///
    /// # Errors
    /// As there.
    pub async fn mirror(&self, pattern: impl Into<Pattern>) -> Result<AsyncMirror> {
        let pattern = pattern.into();
        let mirror = self.read(move |store| store.mirror(pattern)).await?;
        Ok(AsyncMirror::new(mirror, self.store.shared()))
    }

    /// See [`Store::cursor`].
    ///
    /// # Errors
    /// As there.
    pub async fn cursor(&self, name: impl AsRef<str>) -> Result<AsyncCursor> {
        self.cursor_on(name, Pattern::all()).await
    }

    /// See [`Store::cursor_on`].
    ///
    /// # Errors
    /// As there.
    pub async fn cursor_on(&self, name: impl AsRef<str>, pattern: impl Into<Pattern>) -> Result<AsyncCursor> {
        let (name, pattern) = (name.as_ref().to_owned(), pattern.into());
        let cursor = self.write(move |store| store.cursor_on(name, pattern)).await?;
        Ok(AsyncCursor::new(cursor, self.store.shared()))
    }

    /// See [`Store::cursor_from`].
    ///
    /// # Errors
    /// As there.
    pub async fn cursor_from(
        &self,
        name: impl AsRef<str>,
        pattern: impl Into<Pattern>,
        begin: impl Into<Since>,
    ) -> Result<AsyncCursor> {
        let (name, pattern, begin) = (name.as_ref().to_owned(), pattern.into(), begin.into());
        let cursor = self.write(move |store| store.cursor_from(name, pattern, begin)).await?;
        Ok(AsyncCursor::new(cursor, self.store.shared()))
    }

    /// See [`Store::cursors`].
    ///
    /// # Errors
    /// As there.
    pub async fn cursors(&self) -> Result<Vec<CursorInfo>> {
        self.read(Store::cursors).await
    }

    /// See [`Store::delete_cursor`].
    ///
    /// # Errors
    /// As there.
    pub async fn delete_cursor(&self, name: impl AsRef<str>) -> Result<bool> {
        let name = name.as_ref().to_owned();
        self.write(move |store| store.delete_cursor(name)).await
    }

    /// See [`Store::token`].
    ///
    /// # Errors
    /// As there.
    pub async fn token(&self) -> Result<ResumeToken> {
        self.read(Store::token).await
    }

    /// See [`Store::on_change`]. The function is called on a thread for what blocks, so it may block; it is
    /// called also where the future of the write was dropped meanwhile.
    pub fn on_change(&self, call: impl Fn(&Event) + Send + Sync + 'static) -> Subscription {
        self.store.on_change(call)
    }

    /// See [`Store::history`].
    ///
    /// # Errors
    /// As there.
    pub async fn history(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Vec<Event>> {
        let (group, key) = (group.as_ref().to_owned(), key.as_ref().to_owned());
        self.read(move |store| store.history(group, key)).await
    }
}
