//! Writes, awaited.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::handle::AsyncStore;
use crate::data::{Condition, Result, Revision, Value};
use crate::store::{Request, Store};

/// Writes: see [`AsyncStore`] for the errors that any of them may return.
impl<S: 'static> AsyncStore<S> {
    /// Sets an entry that does not expire, and returns the revision.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// assert_eq!(store.get("config", "colour").await?.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write: see [`AsyncStore`].
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn set(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
    ) -> Result<Revision> {
        self.write(Request::set(self.scope(), group, key, value, None)).await
    }

    /// Sets an entry to a value that serde can serialize, as JSON. The entry does not expire; to give it a TTL or a
    /// condition, pass [`Value::from_json`] to another call.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set_json("config", "ports", &[80, 443]).await?;
    /// assert_eq!(store.get("config", "ports").await?.unwrap(), "[80,443]");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::Unwritable`](crate::Error::Unwritable) if JSON cannot express the value.
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn set_json(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<Revision> {
        let json = Value::from_json(value);
        self.set(group, key, json?).await
    }

    /// Sets an entry that expires after `ttl`, counted from the first poll. A TTL that is too long to represent never
    /// expires.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use std::time::Duration;
    /// # use larder::AsyncStore;
    /// # let store = AsyncStore::in_memory().await?;
    /// store.set_with_ttl("session", "token", "abc", Duration::from_secs(3600)).await?;
    /// assert!(store.entry("session", "token").await?.unwrap().expires_at.is_some());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::InvalidTtl`](crate::Error::InvalidTtl) if the TTL is zero.
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn set_with_ttl(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> Result<Revision> {
        let expires_at_ms = self.store.shared().expiry_ms(ttl)?;
        self.write(Request::set(self.scope(), group, key, value, expires_at_ms)).await
    }

    /// Sets an entry with the time at which it expires, or with none. Programs that move entries between stores need this;
    /// an entry whose time has passed is written, but no read shows it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::AsyncStore;
    /// # let store = AsyncStore::in_memory().await?;
    /// # let other = AsyncStore::in_memory().await?;
    /// # store.set("session", "token", "abc").await?;
    /// if let Some(entry) = store.entry("session", "token").await? {
    ///     other.set_until("session", entry.key, entry.value, entry.expires_at).await?;
    /// }
    /// # assert!(other.exists("session", "token").await?);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write: see [`AsyncStore`].
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn set_until(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        expires_at: Option<SystemTime>,
    ) -> Result<Revision> {
        self.write(Request::set_until(self.scope(), group, key, value, expires_at)).await
    }

    /// Sets an entry if a condition holds for it, so that two writers cannot overwrite each other's work. The entry does
    /// not expire.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::{AsyncStore, Condition, Error};
    /// # let store = AsyncStore::in_memory().await?;
    /// let first = store.set_if("config", "colour", Condition::Absent, "blue").await?;
    /// store.set_if("config", "colour", Condition::Revision(first), "green").await?;
    /// let late = store.set_if("config", "colour", Condition::Revision(first), "red").await;
    /// assert!(matches!(late, Err(Error::Conflict { .. })));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::Conflict`](crate::Error::Conflict) if the condition does not hold.
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn set_if(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
        value: impl Into<Value>,
    ) -> Result<Revision> {
        self.write(Request::set(self.scope(), group, key, value, None).only_if(condition)).await
    }

    /// Sets an entry that expires after `ttl`, counted from the first poll, if a condition holds for it. With
    /// [`Condition::Absent`] it is a lease: one caller gets it, and the others get it once the time is over.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use std::time::Duration;
    /// # use larder::{AsyncStore, Condition, Error};
    /// # let store = AsyncStore::in_memory().await?;
    /// let lease = Duration::from_secs(30);
    /// store.set_if_with_ttl("locks", "report", Condition::Absent, "worker-1", lease).await?;
    /// let refused = store.set_if_with_ttl("locks", "report", Condition::Absent, "worker-2", lease).await;
    /// assert!(matches!(refused, Err(Error::Conflict { .. })));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write, [`Error::Conflict`](crate::Error::Conflict) if the condition does not hold, and
    /// [`Error::InvalidTtl`](crate::Error::InvalidTtl) if the TTL is zero.
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn set_if_with_ttl(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> Result<Revision> {
        let expires_at_ms = self.store.shared().expiry_ms(ttl)?;
        self.write(Request::set(self.scope(), group, key, value, expires_at_ms).only_if(condition)).await
    }

    /// Deletes an entry, and returns whether it existed.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// assert!(store.delete("config", "colour").await?);
    /// assert!(!store.delete("config", "colour").await?);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write: see [`AsyncStore`].
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn delete(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        self.write(Request::delete(self.scope(), group, key)).await
    }

    /// Deletes an entry if a condition holds for it, and returns whether it existed.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::{AsyncStore, Condition, Error};
    /// # let store = AsyncStore::in_memory().await?;
    /// let revision = store.set("jobs", "7", "waiting").await?;
    /// store.set("jobs", "7", "running").await?;
    /// let late = store.delete_if("jobs", "7", Condition::Revision(revision)).await;
    /// assert!(matches!(late, Err(Error::Conflict { .. })));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::Conflict`](crate::Error::Conflict) if the condition does not hold.
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn delete_if(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
    ) -> Result<bool> {
        self.write(Request::delete(self.scope(), group, key).only_if(condition)).await
    }

    /// Gives an entry a new TTL, counted from the first poll, and keeps its value. Returns whether the entry existed. It is
    /// a change like any other: watchers receive a `Set` event with the value and the new expiry.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use std::time::Duration;
    /// # use larder::AsyncStore;
    /// # let store = AsyncStore::in_memory().await?;
    /// store.set("session", "token", "abc").await?;
    /// assert!(store.touch("session", "token", Duration::from_secs(60)).await?);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::InvalidTtl`](crate::Error::InvalidTtl) if the TTL is zero.
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn touch(&self, group: impl AsRef<str>, key: impl Into<String>, ttl: Duration) -> Result<bool> {
        let expires_at_ms = self.store.shared().expiry_ms(ttl)?;
        self.write(Request::touch(self.scope(), group, key, expires_at_ms)).await
    }

    /// Removes the expiry of an entry and keeps its value. Returns whether the entry existed. It is a change like any
    /// other, as with [`touch`](Self::touch).
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use std::time::Duration;
    /// # use larder::AsyncStore;
    /// # let store = AsyncStore::in_memory().await?;
    /// store.set_with_ttl("session", "token", "abc", Duration::from_secs(60)).await?;
    /// assert!(store.persist("session", "token").await?);
    /// assert_eq!(store.entry("session", "token").await?.unwrap().expires_at, None);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write: see [`AsyncStore`].
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn persist(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        self.write(Request::touch(self.scope(), group, key, None)).await
    }

    /// Adds `by` to the integer that an entry holds as decimal text, and returns the sum. A missing entry counts as 0. An
    /// expiry stays as it is.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// assert_eq!(store.increment("stats", "visits", 1).await?, 1);
    /// assert_eq!(store.increment("stats", "visits", 41).await?, 42);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write, [`Error::NotANumber`](crate::Error::NotANumber) if the entry holds something else, and
    /// [`Error::Overflow`](crate::Error::Overflow) if the sum does not fit into an `i64`.
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn increment(&self, group: impl AsRef<str>, key: impl Into<String>, by: i64) -> Result<i64> {
        self.write(Request::increment(self.scope(), group, key, by)).await
    }

    /// Deletes a group with all its keys, and returns how many keys it had.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// store.set("config", "size", "10").await?;
    /// assert_eq!(store.delete_group("config").await?, 2);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write: see [`AsyncStore`].
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn delete_group(&self, group: impl AsRef<str>) -> Result<u64> {
        self.write(Request::delete_group(self.scope(), group)).await
    }

    /// Deletes every group whose name starts with `prefix`, and returns how many keys they had. The prefix is literal; `""`
    /// deletes all groups. Watchers receive one `DeleteGroup` event for each group.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("mail.in", "1", "x").await?;
    /// store.set("mail.out", "1", "x").await?;
    /// assert_eq!(store.delete_prefix("mail.").await?, 2);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write: see [`AsyncStore`].
    ///
    /// # Cancellation
    /// If the future is dropped, the write takes effect in full or not at all.
    pub async fn delete_prefix(&self, prefix: impl AsRef<str>) -> Result<u64> {
        self.write(Request::delete_prefix(self.scope(), prefix)).await
    }

    /// Removes all expired entries from storage, and returns how many there were. It makes several commits if there are
    /// many.
    ///
    /// No read shows an expired entry in any case. The store removes them in the background, unless
    /// [`Options::expiry_timer`](crate::Options::expiry_timer) turned that off.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use std::time::Duration;
    /// # use larder::{AsyncStore, ManualClock, Store};
    /// let clock = ManualClock::new();
    /// let options = Store::options().clock(clock.clone()).expiry_timer(false);
    /// let store = AsyncStore::connect_with(options, ":memory:").await?;
    /// store.set_with_ttl("session", "token", "abc", Duration::from_secs(60)).await?;
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(store.purge_expired().await?, 1);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any write: see [`AsyncStore`].
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the entries are removed all the same.
    pub async fn purge_expired(&self) -> Result<u64> {
        self.exclusive(Store::purge_expired).await
    }
}
