//! What a [`Store`] writes.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::handle::Store;
use super::request::Request;
use crate::data::{Condition, Result, Revision, Value};

/// Writes: see [`Store`] for the errors that any of them may return.
impl<S> Store<S> {
    /// Sets an entry that does not expire, and returns the revision.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// store.set("config", "logo", vec![0x89, b'P', b'N', b'G'])?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`].
    pub fn set(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
    ) -> Result<Revision> {
        self.write(Request::set(self.scope(), group, key, value, None))
    }

    /// Sets an entry to a value that serde can serialize, as JSON. The entry does not expire; to give it a TTL or
    /// a condition, pass [`Value::from_json`] to another call.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set_json("config", "ports", &[80, 443])?;
    /// assert_eq!(store.get("config", "ports")?.unwrap(), "[80,443]");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::Unwritable`](crate::Error::Unwritable) if JSON cannot express the value.
    pub fn set_json(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<Revision> {
        self.set(group, key, Value::from_json(value)?)
    }

    /// Sets an entry that expires after `ttl`, counted from this call. A TTL that is too long to represent never
    /// expires.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// store.set_with_ttl("session", "token", "abc", Duration::from_secs(3600))?;
    /// assert!(store.entry("session", "token")?.unwrap().expires_at.is_some());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::InvalidTtl`](crate::Error::InvalidTtl) if the TTL is zero.
    pub fn set_with_ttl(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> Result<Revision> {
        let expires_at_ms = self.shared().expiry_ms(ttl)?;
        self.write(Request::set(self.scope(), group, key, value, expires_at_ms))
    }

    /// Sets an entry with the time at which it expires, or with none. Programs that move entries between stores
    /// need this; an entry whose time has passed is written, but no read shows it. A part of a millisecond counts as a
    /// whole one, and what would expire after the year 9999 never does.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// # let other = larder::Store::in_memory()?;
    /// # store.set("session", "token", "abc")?;
    /// if let Some(entry) = store.entry("session", "token")? {
    ///     other.set_until("session", entry.key, entry.value, entry.expires_at)?;
    /// }
    /// # assert!(other.exists("session", "token")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`].
    pub fn set_until(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        expires_at: Option<SystemTime>,
    ) -> Result<Revision> {
        self.write(Request::set_until(self.scope(), group, key, value, expires_at))
    }

    /// Sets an entry if a condition holds for it, so that two writers cannot overwrite each other's work. The
    /// entry does not expire.
    ///
    /// ```
    /// # use larder::{Condition, Error, Store};
    /// # let store = Store::in_memory()?;
    /// let first = store.set_if("config", "colour", Condition::Absent, "blue")?;
    /// store.set_if("config", "colour", Condition::Revision(first), "green")?;
    /// let late = store.set_if("config", "colour", Condition::Revision(first), "red");
    /// assert!(matches!(late, Err(Error::Conflict { .. })));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::Conflict`](crate::Error::Conflict) if the condition does not hold.
    pub fn set_if(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
        value: impl Into<Value>,
    ) -> Result<Revision> {
        self.write(Request::set(self.scope(), group, key, value, None).only_if(condition))
    }

    /// Sets an entry that expires after `ttl`, if a condition holds for it. With
    /// [`Condition::Absent`] it is a lease: one caller gets it, and the others get it once the time is over.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{Condition, Error, Store};
    /// # let store = Store::in_memory()?;
    /// let lease = Duration::from_secs(30);
    /// store.set_if_with_ttl("locks", "report", Condition::Absent, "worker-1", lease)?;
    /// let refused = store.set_if_with_ttl("locks", "report", Condition::Absent, "worker-2", lease);
    /// assert!(matches!(refused, Err(Error::Conflict { .. })));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write, [`Error::Conflict`](crate::Error::Conflict) if the condition does not hold, and
    /// [`Error::InvalidTtl`](crate::Error::InvalidTtl) if the TTL is zero.
    pub fn set_if_with_ttl(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> Result<Revision> {
        let expires_at_ms = self.shared().expiry_ms(ttl)?;
        self.write(Request::set(self.scope(), group, key, value, expires_at_ms).only_if(condition))
    }

    /// Deletes an entry, and returns whether it existed.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// assert!(store.delete("config", "colour")?);
    /// assert!(!store.delete("config", "colour")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`].
    pub fn delete(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        self.write(Request::delete(self.scope(), group, key))
    }

    /// Deletes an entry if a condition holds for it, and returns whether it existed.
    ///
    /// ```
    /// # use larder::{Condition, Error, Store};
    /// # let store = Store::in_memory()?;
    /// let revision = store.set("jobs", "7", "waiting")?;
    /// store.set("jobs", "7", "running")?;
    /// let late = store.delete_if("jobs", "7", Condition::Revision(revision));
    /// assert!(matches!(late, Err(Error::Conflict { .. })));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::Conflict`](crate::Error::Conflict) if the condition does not hold.
    pub fn delete_if(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
    ) -> Result<bool> {
        self.write(Request::delete(self.scope(), group, key).only_if(condition))
    }

    /// Gives an entry a new TTL, counted from this call, and keeps its value. Returns whether the entry existed.
    ///
    /// It is a change like any other: watchers receive a `Set` event with the value and the new expiry.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// store.set("session", "token", "abc")?;
    /// assert!(store.touch("session", "token", Duration::from_secs(60))?);
    /// assert!(store.entry("session", "token")?.unwrap().expires_at.is_some());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::InvalidTtl`](crate::Error::InvalidTtl) if the TTL is zero.
    pub fn touch(&self, group: impl AsRef<str>, key: impl Into<String>, ttl: Duration) -> Result<bool> {
        let expires_at_ms = self.shared().expiry_ms(ttl)?;
        self.write(Request::touch(self.scope(), group, key, expires_at_ms))
    }

    /// Removes the expiry of an entry and keeps its value. Returns whether the entry existed. It is a change like
    /// any other, as with [`touch`](Self::touch).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// store.set_with_ttl("session", "token", "abc", Duration::from_secs(60))?;
    /// assert!(store.persist("session", "token")?);
    /// assert_eq!(store.entry("session", "token")?.unwrap().expires_at, None);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`].
    pub fn persist(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        self.write(Request::touch(self.scope(), group, key, None))
    }

    /// Adds `by` to the integer that an entry holds as decimal text, and returns the sum. A missing entry counts
    /// as 0. An expiry stays as it is.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert_eq!(store.increment("stats", "visits", 1)?, 1);
    /// assert_eq!(store.increment("stats", "visits", 41)?, 42);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write, [`Error::NotANumber`](crate::Error::NotANumber) if the entry holds something else, and
    /// [`Error::Overflow`](crate::Error::Overflow) if the sum does not fit into an `i64`.
    pub fn increment(&self, group: impl AsRef<str>, key: impl Into<String>, by: i64) -> Result<i64> {
        self.write(Request::increment(self.scope(), group, key, by))
    }

    /// Deletes a group with all its keys, and returns how many keys it had.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// store.set("config", "size", "10")?;
    /// assert_eq!(store.delete_group("config")?, 2);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`].
    pub fn delete_group(&self, group: impl AsRef<str>) -> Result<u64> {
        self.write(Request::delete_group(self.scope(), group))
    }

    /// Deletes every group whose name starts with `prefix`, and returns how many keys they had. The prefix is
    /// literal; `""` deletes all groups. Watchers receive one `DeleteGroup` event for each group.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("mail.in", "1", "x")?;
    /// store.set("mail.out", "1", "x")?;
    /// assert_eq!(store.delete_prefix("mail.")?, 2);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`].
    pub fn delete_prefix(&self, prefix: impl AsRef<str>) -> Result<u64> {
        self.write(Request::delete_prefix(self.scope(), prefix))
    }

    /// Removes all expired entries from storage, and returns how many there were. It makes several commits if
    /// there are many.
    ///
    /// No read shows an expired entry in any case. The store removes them in the background, unless
    /// [`Options::expiry_timer`](crate::Options::expiry_timer) turned that off. After the clock was set by over a minute,
    /// neither removes anything until the clock has come back, or has passed evenly for ten minutes: see
    /// [`Clock::passed`](crate::Clock::passed).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{ManualClock, Store};
    /// let clock = ManualClock::new();
    /// let store = Store::options().clock(clock.clone()).expiry_timer(false).in_memory()?;
    /// store.set_with_ttl("session", "token", "abc", Duration::from_secs(60))?;
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(store.purge_expired()?, 1);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`].
    pub fn purge_expired(&self) -> Result<u64> {
        self.shared().purge(self.scope())
    }

    /// Makes a write, and waits for it.
    pub(crate) fn write<T>(&self, request: Request<T>) -> Result<T> {
        self.shared().write(self.scope(), request)
    }
}
