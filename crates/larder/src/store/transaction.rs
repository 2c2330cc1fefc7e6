//! A transaction, as its closure sees it.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::request::Request;
use super::scope::Scope;
use super::shared::Open;
use super::source::Source;
use super::view::View;
use crate::data::{Condition, Result, Revision, Value, locked};
use crate::engine::{Commit, Committed, Requirement, Transact};
use crate::rules::BatchSize;

/// A transaction in progress. It reads the store as it was when it began, with its own writes. What it writes
/// takes effect when its closure returns `Ok`. See [`Store::transaction`](crate::Store::transaction).
///
/// A quota is checked at each write, and so is the size of a scoped store's transaction (see
/// [`Options::batch_max`](crate::Options::batch_max)). A write that fails leaves no trace in the transaction, and the
/// closure may continue.
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// let visits = store.transaction(|tx| {
///     tx.set("pages", "last", "index.html")?;
///     tx.increment("stats", "visits", 1)
/// })?;
/// assert_eq!(visits, 1);
/// # Ok::<(), larder::Error>(())
/// ```
///
/// Once the closure has returned, every call fails with [`Error::TransactionOver`](crate::Error::TransactionOver).
/// Removing expired entries is no step of a transaction, since it makes commits of its own.
pub struct Transaction {
    view: View,
    engine: Arc<dyn Transact>,
    shared: Arc<Open>,
    /// The size of the steps so far.
    size: Mutex<BatchSize>,
}

impl Transaction {
    pub(crate) fn new(engine: Arc<dyn Transact>, shared: Arc<Open>, scope: Scope) -> Self {
        let view = View::new(Source::Transaction(Arc::clone(&shared), Arc::clone(&engine)), scope);
        Self { view, engine, shared, size: Mutex::default() }
    }

    /// Sets an entry that does not expire.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.transaction(|tx| {
    ///     tx.set("config", "colour", "blue")?;
    ///     assert_eq!(tx.get("config", "colour")?.unwrap(), "blue");
    ///     Ok(())
    /// })?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`](crate::Store).
    pub fn set(&self, group: impl AsRef<str>, key: impl Into<String>, value: impl Into<Value>) -> Result<()> {
        self.write(Request::set(self.scope(), group, key, value, None)).map(drop)
    }

    /// Sets an entry to a value that serde can serialize, as JSON. The entry does not expire.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.transaction(|tx| tx.set_json("config", "ports", &[80, 443]))?;
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
    ) -> Result<()> {
        self.set(group, key, Value::from_json(value)?)
    }

    /// Sets an entry that expires after `ttl`, counted from this call.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// store.transaction(|tx| tx.set_with_ttl("session", "token", "abc", Duration::from_secs(60)))?;
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
    ) -> Result<()> {
        let expires_at_ms = self.shared.expiry_ms(ttl)?;
        self.write(Request::set(self.scope(), group, key, value, expires_at_ms)).map(drop)
    }

    /// Sets an entry with the time at which it expires, or with none: see
    /// [`Store::set_until`](crate::Store::set_until).
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # let store = larder::Store::in_memory()?;
    /// let midnight = SystemTime::now() + Duration::from_secs(3600);
    /// store.transaction(|tx| tx.set_until("session", "token", "abc", Some(midnight)))?;
    /// assert!(store.exists("session", "token")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`](crate::Store).
    pub fn set_until(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        expires_at: Option<SystemTime>,
    ) -> Result<()> {
        self.write(Request::set_until(self.scope(), group, key, value, expires_at)).map(drop)
    }

    /// Sets an entry if a condition holds for it. The entry does not expire.
    ///
    /// ```
    /// # use larder::{Condition, Store};
    /// # let store = Store::in_memory()?;
    /// store.transaction(|tx| tx.set_if("config", "colour", Condition::Absent, "blue"))?;
    /// assert_eq!(store.get("config", "colour")?.unwrap(), "blue");
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
    ) -> Result<()> {
        self.write(Request::set(self.scope(), group, key, value, None).only_if(condition)).map(drop)
    }

    /// Sets an entry that expires after `ttl`, counted from this call, if a condition holds for it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{Condition, Store};
    /// # let store = Store::in_memory()?;
    /// let lease = Duration::from_secs(30);
    /// store.transaction(|tx| {
    ///     tx.set_if_with_ttl("locks", "report", Condition::Absent, "worker-1", lease)?;
    ///     tx.increment("stats", "reports", 1)
    /// })?;
    /// assert!(store.exists("locks", "report")?);
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
    ) -> Result<()> {
        let expires_at_ms = self.shared.expiry_ms(ttl)?;
        let request = Request::set(self.scope(), group, key, value, expires_at_ms);
        self.write(request.only_if(condition)).map(drop)
    }

    /// Fails unless a condition holds for an entry.
    ///
    /// ```
    /// # use larder::{Condition, Error, Store};
    /// # let store = Store::in_memory()?;
    /// let refused = store.transaction(|tx| {
    ///     tx.require("config", "colour", Condition::Present)?;
    ///     tx.set("config", "theme", "dark")
    /// });
    /// assert!(matches!(refused, Err(Error::Conflict { .. })));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read, and [`Error::Conflict`](crate::Error::Conflict) if the condition does not hold.
    pub fn require(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
    ) -> Result<()> {
        let group = self.scope().group(group.as_ref()).into_owned();
        let step = Commit::from(Requirement { group, key: key.into(), condition });
        self.admit(&step)?;
        step.requirements.iter().try_for_each(|requirement| self.check(requirement))
    }

    /// Deletes an entry, and returns whether it existed.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// assert!(store.transaction(|tx| tx.delete("config", "colour"))?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`](crate::Store).
    pub fn delete(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        self.write(Request::delete(self.scope(), group, key))
    }

    /// Deletes an entry if a condition holds for it, and returns whether it existed.
    ///
    /// ```
    /// # use larder::{Condition, Store};
    /// # let store = Store::in_memory()?;
    /// let seen = store.set("jobs", "7", "done")?;
    /// assert!(store.transaction(|tx| tx.delete_if("jobs", "7", Condition::Revision(seen)))?);
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
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// store.set("session", "token", "abc")?;
    /// assert!(store.transaction(|tx| tx.touch("session", "token", Duration::from_secs(60)))?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write, and [`Error::InvalidTtl`](crate::Error::InvalidTtl) if the TTL is zero.
    pub fn touch(&self, group: impl AsRef<str>, key: impl Into<String>, ttl: Duration) -> Result<bool> {
        let expires_at_ms = self.shared.expiry_ms(ttl)?;
        self.write(Request::touch(self.scope(), group, key, expires_at_ms))
    }

    /// Removes the expiry of an entry and keeps its value. Returns whether the entry existed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// store.set_with_ttl("session", "token", "abc", Duration::from_secs(60))?;
    /// assert!(store.transaction(|tx| tx.persist("session", "token"))?);
    /// assert_eq!(store.entry("session", "token")?.unwrap().expires_at, None);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`](crate::Store).
    pub fn persist(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        self.write(Request::touch(self.scope(), group, key, None))
    }

    /// Adds `by` to the integer that an entry holds as decimal text, and returns the sum. A missing entry counts
    /// as 0. An expiry stays as it is.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert_eq!(store.transaction(|tx| tx.increment("stats", "visits", 5))?, 5);
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
    /// assert_eq!(store.transaction(|tx| tx.delete_group("config"))?, 1);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`](crate::Store).
    pub fn delete_group(&self, group: impl AsRef<str>) -> Result<u64> {
        self.write(Request::delete_group(self.scope(), group))
    }

    /// Deletes every group whose name starts with `prefix`, and returns how many keys they had. The prefix is
    /// literal; `""` deletes all groups.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("mail.in", "1", "x")?;
    /// store.set("mail.out", "1", "x")?;
    /// assert_eq!(store.transaction(|tx| tx.delete_prefix("mail."))?, 2);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write: see [`Store`](crate::Store).
    pub fn delete_prefix(&self, prefix: impl AsRef<str>) -> Result<u64> {
        self.write(Request::delete_prefix(self.scope(), prefix))
    }

    /// Counts a step, unless it makes the transaction too large. A step that is refused later has taken its time, too.
    fn admit(&self, step: &Commit) -> Result<()> {
        let mut size = locked(&self.size);
        let wanted = size.with(step);
        self.shared.check_batch_size(self.scope(), wanted)?;
        *size = wanted;
        Ok(())
    }

    fn check(&self, requirement: &Requirement) -> Result<()> {
        self.shared.check_process()?;
        self.engine.require(requirement).map_err(|error| self.scope().error(error))
    }

    /// Does what a request asks for, as a part of this transaction.
    fn write<T>(&self, request: Request<T>) -> Result<T> {
        let Request { commit, answer } = request;
        self.shared.check_process()?;
        self.shared.limits().check(&commit)?;
        self.admit(&commit)?;
        commit.requirements.iter().try_for_each(|requirement| self.check(requirement))?;
        let applied = commit.mutations.into_iter().map(|mutation| self.engine.apply(mutation));
        let outcomes = applied.collect::<Result<Vec<_>>>().map_err(|error| self.scope().error(error))?;
        let mut size = locked(&self.size);
        *size = size.with_touched(&outcomes);
        drop(size);
        // The revision is not known before the commit; no caller is told it.
        Ok(answer(&Committed { revision: Revision(0), outcomes, events: Vec::new() }))
    }
}

impl Deref for Transaction {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("view", &self.view).finish_non_exhaustive()
    }
}
