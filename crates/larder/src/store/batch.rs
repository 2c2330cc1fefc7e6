//! Several mutations in one commit.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::request::Request;
use super::scope::Scope;
use super::shared::Open;
use crate::data::{Condition, Error, Result, Revision, Value};
use crate::engine::{Commit, Requirement};
use crate::rules::BatchSize;

/// Mutations and conditions that take effect together or not at all: see [`Store::batch`](crate::Store::batch).
///
/// All conditions are checked first, against the store as it is before the batch. Then the mutations are applied
/// in the order in which they were added. A quota is checked against the state after the last one. All changes of
/// a batch share one revision.
///
/// ```
/// # use larder::{Condition, Store};
/// # let store = Store::in_memory()?;
/// store.set("queue", "job-7", "waiting")?;
/// store
///     .batch()
///     .require("lock", "job-7", Condition::Absent)
///     .set("lock", "job-7", "worker-1")
///     .delete("queue", "job-7")
///     .commit()?;
/// assert!(!store.exists("queue", "job-7")?);
/// # Ok::<(), larder::Error>(())
/// ```
///
/// A step that cannot be part of a commit, such as one with a TTL of zero, makes [`commit`](Batch::commit) fail. So do
/// more steps than a batch of a scoped store may have: see [`Options::batch_max`](crate::Options::batch_max).
/// Removing expired entries is no step of a batch, since it makes commits of its own.
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch<F = Blocking> {
    pub(super) shared: Arc<Open>,
    pub(super) scope: Scope,
    commit: Commit,
    /// The size of all steps. What is too large is not kept.
    size: BatchSize,
    /// The first thing that was wrong with a step; `commit` returns it.
    mistake: Option<Error>,
    face: PhantomData<fn() -> F>,
}

/// Marks a [`Batch`] whose `commit` blocks until it is done.
///
/// ```
/// use larder::{Batch, Blocking, Store};
///
/// let store = Store::in_memory()?;
/// let batch: Batch<Blocking> = store.batch(); // the same as `Batch`
/// batch.set("config", "colour", "blue").commit()?;
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug)]
pub enum Blocking {}

impl<F> Batch<F> {
    pub(crate) fn new(shared: Arc<Open>, scope: Scope) -> Self {
        let (commit, size) = (Commit::default(), BatchSize::default());
        Self { shared, scope, commit, size, mistake: None, face: PhantomData }
    }

    /// Sets an entry that does not expire.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.batch().set("config", "colour", "blue").set("config", "size", "10").commit()?;
    /// assert_eq!(store.count("config")?, 2);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn set(self, group: impl AsRef<str>, key: impl Into<String>, value: impl Into<Value>) -> Self {
        let request = Request::set(&self.scope, group, key, value, None);
        self.step(Ok(request))
    }

    /// Sets an entry to a value that serde can serialize, as JSON. If JSON cannot express the value, `commit`
    /// fails with [`Error::Unwritable`].
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.batch().set_json("config", "ports", &[80, 443]).commit()?;
    /// assert_eq!(store.get("config", "ports")?.unwrap(), "[80,443]");
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn set_json(
        self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: &(impl Serialize + ?Sized),
    ) -> Self {
        let json = Value::from_json(value);
        let request = json.map(|json| Request::set(&self.scope, group, key, json, None));
        self.step(request)
    }

    /// Sets an entry that expires after `ttl`, counted from this call. With a TTL of zero, `commit` fails with
    /// [`Error::InvalidTtl`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// store.batch().set_with_ttl("session", "token", "abc", Duration::from_secs(60)).commit()?;
    /// assert!(store.entry("session", "token")?.unwrap().expires_at.is_some());
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn set_with_ttl(
        self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> Self {
        let expiry = self.shared.expiry_ms(ttl);
        let request = expiry.map(|at_ms| Request::set(&self.scope, group, key, value, at_ms));
        self.step(request)
    }

    /// Sets an entry with the time at which it expires, or with none: see
    /// [`Store::set_until`](crate::Store::set_until).
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # let store = larder::Store::in_memory()?;
    /// let midnight = SystemTime::now() + Duration::from_secs(3600);
    /// store.batch().set_until("session", "token", "abc", Some(midnight)).commit()?;
    /// assert!(store.exists("session", "token")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn set_until(
        self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        expires_at: Option<SystemTime>,
    ) -> Self {
        let request = Request::set_until(&self.scope, group, key, value, expires_at);
        self.step(Ok(request))
    }

    /// Sets an entry that does not expire, and makes the whole batch depend on a condition for it, as
    /// [`require`](Self::require) does.
    ///
    /// ```
    /// # use larder::{Condition, Error, Store};
    /// # let store = Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// let batch = store.batch().set("config", "size", "10");
    /// let refused = batch.set_if("config", "colour", Condition::Absent, "green").commit();
    /// assert!(matches!(refused, Err(Error::Conflict { .. })));
    /// assert!(!store.exists("config", "size")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn set_if(
        self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
        value: impl Into<Value>,
    ) -> Self {
        let request = Request::set(&self.scope, group, key, value, None).only_if(condition);
        self.step(Ok(request))
    }

    /// Sets an entry that expires after `ttl`, counted from this call, and makes the whole batch depend on a
    /// condition for it. With a TTL of zero, `commit` fails with [`Error::InvalidTtl`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{Condition, Store};
    /// # let store = Store::in_memory()?;
    /// let lease = Duration::from_secs(30);
    /// store
    ///     .batch()
    ///     .set_if_with_ttl("locks", "report", Condition::Absent, "worker-1", lease)
    ///     .increment("stats", "reports", 1)
    ///     .commit()?;
    /// assert_eq!(store.get("stats", "reports")?.unwrap(), "1");
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn set_if_with_ttl(
        self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> Self {
        let expiry = self.shared.expiry_ms(ttl);
        let request =
            expiry.map(|at_ms| Request::set(&self.scope, group, key, value, at_ms).only_if(condition));
        self.step(request)
    }

    /// Deletes an entry, if it exists.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("queue", "job-7", "waiting")?;
    /// store.batch().delete("queue", "job-7").set("done", "job-7", "ok").commit()?;
    /// assert!(!store.group_exists("queue")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn delete(self, group: impl AsRef<str>, key: impl Into<String>) -> Self {
        let request = Request::delete(&self.scope, group, key);
        self.step(Ok(request))
    }

    /// Deletes an entry, and makes the whole batch depend on a condition for it, as [`require`](Self::require)
    /// does.
    ///
    /// ```
    /// # use larder::{Condition, Error, Store};
    /// # let store = Store::in_memory()?;
    /// let batch = store.batch().delete_if("queue", "job-7", Condition::Present).set("done", "job-7", "ok");
    /// assert!(matches!(batch.commit(), Err(Error::Conflict { .. })));
    /// assert!(!store.exists("done", "job-7")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn delete_if(self, group: impl AsRef<str>, key: impl Into<String>, condition: Condition) -> Self {
        let request = Request::delete(&self.scope, group, key).only_if(condition);
        self.step(Ok(request))
    }

    /// Gives an entry a new TTL, counted from this call, if it exists. With a TTL of zero, `commit` fails with
    /// [`Error::InvalidTtl`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// store.set("session", "token", "abc")?;
    /// store.batch().touch("session", "token", Duration::from_secs(60)).commit()?;
    /// assert!(store.entry("session", "token")?.unwrap().expires_at.is_some());
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn touch(self, group: impl AsRef<str>, key: impl Into<String>, ttl: Duration) -> Self {
        let expiry = self.shared.expiry_ms(ttl);
        let request = expiry.map(|at_ms| Request::touch(&self.scope, group, key, at_ms));
        self.step(request)
    }

    /// Removes the expiry of an entry, if it exists.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// store.set_with_ttl("session", "token", "abc", Duration::from_secs(60))?;
    /// store.batch().persist("session", "token").commit()?;
    /// assert_eq!(store.entry("session", "token")?.unwrap().expires_at, None);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn persist(self, group: impl AsRef<str>, key: impl Into<String>) -> Self {
        let request = Request::touch(&self.scope, group, key, None);
        self.step(Ok(request))
    }

    /// Adds `by` to the integer that an entry holds as decimal text; a missing entry counts as 0. `commit` fails
    /// with [`Error::NotANumber`] if the entry holds something else, and with [`Error::Overflow`] if the sum does
    /// not fit into an `i64`.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.batch().increment("stats", "visits", 1).increment("stats", "visits", 2).commit()?;
    /// assert_eq!(store.get("stats", "visits")?.unwrap(), "3");
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn increment(self, group: impl AsRef<str>, key: impl Into<String>, by: i64) -> Self {
        let request = Request::increment(&self.scope, group, key, by);
        self.step(Ok(request))
    }

    /// Deletes a group with all its entries, if it exists.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "old", "x")?;
    /// store.batch().delete_group("config").set("config", "new", "x").commit()?;
    /// assert_eq!(store.count("config")?, 1);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn delete_group(self, group: impl AsRef<str>) -> Self {
        let request = Request::delete_group(&self.scope, group);
        self.step(Ok(request))
    }

    /// Deletes every group whose name starts with `prefix`. The prefix is literal; `""` deletes all groups.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("mail.in", "1", "x")?;
    /// store.set("mail.out", "1", "x")?;
    /// store.batch().delete_prefix("mail.").commit()?;
    /// assert_eq!(store.count_all("")?, 0);
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn delete_prefix(self, prefix: impl AsRef<str>) -> Self {
        let request = Request::delete_prefix(&self.scope, prefix);
        self.step(Ok(request))
    }

    /// Makes the whole batch depend on a condition. If it does not hold, `commit` fails with
    /// [`Error::Conflict`].
    ///
    /// ```
    /// # use larder::{Condition, Store};
    /// # let store = Store::in_memory()?;
    /// let seen = store.set("config", "colour", "blue")?;
    /// let batch = store.batch().require("config", "colour", Condition::Revision(seen));
    /// batch.set("config", "theme", "dark").commit()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn require(self, group: impl AsRef<str>, key: impl Into<String>, condition: Condition) -> Self {
        let group = self.scope.group(group.as_ref()).into_owned();
        self.add(Requirement { group, key: key.into(), condition }.into())
    }

    fn step<T>(mut self, request: Result<Request<T>>) -> Self {
        match request {
            Ok(Request { commit, .. }) => self.add(commit),
            Err(error) => {
                self.mistake.get_or_insert(error);
                self
            }
        }
    }

    fn add(mut self, step: Commit) -> Self {
        self.size = self.size.with(&step);
        if self.check_size().is_ok() {
            self.commit.requirements.extend(step.requirements);
            self.commit.mutations.extend(step.mutations);
        } else {
            // It will be refused, so it need not take memory.
            self.commit = Commit::default();
        }
        self
    }

    fn check_size(&self) -> Result<()> {
        self.shared.check_batch_size(&self.scope, self.size)
    }

    /// What `commit` asks for.
    pub(super) fn request(&mut self) -> Result<Request<Revision>> {
        self.mistake.take().map_or(Ok(()), Err)?;
        self.check_size()?;
        let mut commit = std::mem::take(&mut self.commit);
        // One mutation has limits of its own.
        let namespace = self.scope.name().filter(|_| commit.mutations.len() > 1);
        commit.room = namespace.map(|name| self.size.room(name, self.shared.limits().batch_max));
        Ok(Request { commit, answer: |done| done.revision })
    }
}

impl Batch {
    /// Commits the batch, and returns the revision. If nothing changed (the batch is empty, or only deletes what
    /// does not exist), that is the store's latest revision.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let revision = store.batch().set("config", "colour", "blue").commit()?;
    /// assert_eq!(store.batch().commit()?, revision);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Conflict`] if a condition does not hold, what a step was refused for, and as any write: see
    /// [`Store`](crate::Store). Then nothing was written.
    pub fn commit(mut self) -> Result<Revision> {
        let request = self.request()?;
        self.shared.write(&self.scope, request)
    }
}

/// Counts the steps and leaves out their values, which may be secrets.
impl<F> fmt::Debug for Batch<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("prefix", &self.scope.prefix())
            .field("conditions", &self.commit.requirements.len())
            .field("mutations", &self.commit.mutations.len())
            .field("mistake", &self.mistake)
            .finish_non_exhaustive()
    }
}
