//! [`Store`]: what is written, and the handles that are made from it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::batch::Batch;
use super::expiry::PURGE_MAX;
use super::request::Request;
use super::scope::Scope;
use super::shared::Open;
use super::snapshot::Snapshot;
use super::source::Source;
use super::transaction::Transaction;
use super::view::View;
use crate::data::{Condition, Error, NamespaceInfo, Result, Revision, Value};

/// A store: every group of one database. Cheap to clone; clones share everything, from any number
/// of threads.
///
/// What it reads, it reads through [`View`], to which it derefs. What it writes is here; what
/// watches it is under [`watch`](Self::watch), [`on_change`](Self::on_change) and
/// [`history`](Self::history); what looks after it under [`stats`](Self::stats),
/// [`check`](Self::check), [`backup_to`](Self::backup_to), [`copy_to`](Self::copy_to) and
/// [`copy_into`](Self::copy_into).
///
/// `Store` is short for `Store<Whole>`; a [`ScopedStore`] is the same type over one namespace.
///
/// Any write fails with [`Error::Closed`], [`Error::Nested`], [`Error::ReadOnly`], [`Error::Busy`],
/// [`Error::Full`], [`Error::WritesStopped`] or [`Error::Storage`] where the store cannot take it
/// now, with [`Error::TooLarge`] where a name or value is, and with [`Error::QuotaExceeded`] where a
/// namespace would hold too much. A write that fails has changed nothing.
pub struct Store<S = Whole> {
    shared: Arc<Open>,
    view: View,
    extent: PhantomData<fn() -> S>,
}

/// One namespace of a store: everything that [`Store`] does, for the namespace's groups alone, whose
/// names it gives and takes without the namespace. Nothing that it does reaches any other.
///
/// What concerns a whole file (`close`, `stats`, `check`, `backup_to`, `namespaces`) only [`Store`] has.
///
/// ```
/// use larder::Store;
/// let store = Store::in_memory()?;
/// let tenant = store.scoped("tenant-42")?;
/// tenant.set("preferences", "locale", "en-GB")?;
///
/// assert_eq!(tenant.groups("")?[0].name, "preferences");
/// assert_eq!(store.get("tenant-42:preferences", "locale")?.unwrap(), "en-GB");
/// assert_eq!(store.scoped("tenant-4")?.count_all("")?, 0);
/// # Ok::<(), larder::Error>(())
/// ```
pub type ScopedStore = Store<Tenant>;

/// Marks a [`Store`] that sees every group.
#[derive(Debug)]
pub enum Whole {}

/// Marks a [`Store`] that sees the groups of one namespace.
#[derive(Debug)]
pub enum Tenant {}

impl Store {
    pub(crate) fn new(open: Open) -> Self {
        Self::over(Arc::new(open), Scope::default())
    }

    /// Closes the store for all handles and lets go of the file. Later calls on any of them fail
    /// with [`Error::Closed`]; closing again does nothing. Dropping the last handle closes it too.
    ///
    /// # Errors
    /// [`Error::Nested`] from inside a transaction, [`Error::Storage`] where the engine fails to
    /// close; what was written is safe in any case.
    pub fn close(&self) -> Result<()> {
        self.shared.close()
    }

    /// The part of the store that belongs to a namespace.
    ///
    /// # Errors
    /// [`Error::InvalidNamespace`] unless it is made of letters, digits and hyphens.
    pub fn scoped(&self, namespace: impl AsRef<str>) -> Result<ScopedStore> {
        Ok(self.with_scope(Scope::namespace(namespace.as_ref())?))
    }

    /// The namespaces that hold something or have a quota, sorted by name.
    ///
    /// # Errors
    /// As any read.
    pub fn namespaces(&self) -> Result<Vec<NamespaceInfo>> {
        self.shared.reader()?.namespaces(None).wait()
    }
}

impl<S> Store<S> {
    fn over(shared: Arc<Open>, scope: Scope) -> Self {
        let view = View::new(Source::Store(Arc::clone(&shared)), scope);
        Self { shared, view, extent: PhantomData }
    }

    pub(crate) fn with_scope<T>(&self, scope: Scope) -> Store<T> {
        Store::over(Arc::clone(&self.shared), scope)
    }

    pub(crate) fn shared(&self) -> &Arc<Open> {
        &self.shared
    }

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
        self.now(Request::set(self.scope(), group, key, value, None))
    }

    /// Sets an entry to anything that serde can write, as JSON.
    ///
    /// # Errors
    /// As any write, and [`Error::Unwritable`] where it cannot be written as JSON.
    pub fn set_json(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<Revision> {
        self.set(group, key, Value::from_json(value)?)
    }

    /// Sets an entry that expires after `ttl`, counted from this call.
    ///
    /// # Errors
    /// As any write, and [`Error::InvalidTtl`] where the TTL is zero. One too long to represent
    /// never expires.
    pub fn set_with_ttl(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        ttl: Duration,
    ) -> Result<Revision> {
        let expires_at_ms = self.shared.expiry_ms(ttl)?;
        self.now(Request::set(self.scope(), group, key, value, expires_at_ms))
    }

    /// Sets an entry with the moment at which it expires, or with none, as what moves entries from
    /// one store to another needs.
    ///
    /// # Errors
    /// As any write.
    pub fn set_until(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        expires_at: Option<SystemTime>,
    ) -> Result<Revision> {
        self.now(Request::set_until(self.scope(), group, key, value, expires_at))
    }

    /// Sets an entry if a condition holds for it, so that two writers cannot overwrite each other
    /// unawares. The entry does not expire.
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
    /// As any write, and [`Error::Conflict`] where the condition does not hold.
    pub fn set_if(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
        value: impl Into<Value>,
    ) -> Result<Revision> {
        self.now(Request::set(self.scope(), group, key, value, None).only_if(condition))
    }

    /// Deletes an entry; whether it was there.
    ///
    /// # Errors
    /// As any write.
    pub fn delete(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        self.now(Request::delete(self.scope(), group, key))
    }

    /// Deletes an entry if a condition holds for it; whether it was there.
    ///
    /// # Errors
    /// As any write, and [`Error::Conflict`] where the condition does not hold.
    pub fn delete_if(
        &self,
        group: impl AsRef<str>,
        key: impl Into<String>,
        condition: Condition,
    ) -> Result<bool> {
        self.now(Request::delete(self.scope(), group, key).only_if(condition))
    }

    /// Gives an entry a new expiry, counted from this call, and leaves its value; whether it was
    /// there. It counts as a change: watchers hear a `Set` with the value and the new expiry.
    ///
    /// # Errors
    /// As any write, and [`Error::InvalidTtl`] where the TTL is zero.
    pub fn touch(&self, group: impl AsRef<str>, key: impl Into<String>, ttl: Duration) -> Result<bool> {
        let expires_at_ms = self.shared.expiry_ms(ttl)?;
        self.now(Request::touch(self.scope(), group, key, expires_at_ms))
    }

    /// Takes the expiry off an entry; whether it was there. It counts as a change, as
    /// [`touch`](Self::touch) does.
    ///
    /// # Errors
    /// As any write.
    pub fn persist(&self, group: impl AsRef<str>, key: impl Into<String>) -> Result<bool> {
        self.now(Request::touch(self.scope(), group, key, None))
    }

    /// Adds `by` to the whole number that an entry holds as decimal text, and returns the sum. An
    /// entry that is not there counts as 0; an expiry stays.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert_eq!(store.increment("stats", "visits", 1)?, 1);
    /// assert_eq!(store.increment("stats", "visits", 41)?, 42);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write, [`Error::NotANumber`] where the entry holds something else and
    /// [`Error::Overflow`] where the sum is no 64-bit integer.
    pub fn increment(&self, group: impl AsRef<str>, key: impl Into<String>, by: i64) -> Result<i64> {
        self.now(Request::increment(self.scope(), group, key, by))
    }

    /// Deletes a group with all its keys, and returns how many it had.
    ///
    /// # Errors
    /// As any write.
    pub fn delete_group(&self, group: impl AsRef<str>) -> Result<u64> {
        self.now(Request::delete_group(self.scope(), group))
    }

    /// Deletes every group whose name starts with `prefix`, in one commit with one `DeleteGroup`
    /// event a group, and returns how many keys they had. The prefix is literal; `""` is all groups.
    ///
    /// # Errors
    /// As any write.
    pub fn delete_prefix(&self, prefix: impl AsRef<str>) -> Result<u64> {
        self.now(Request::delete_prefix(self.scope(), prefix))
    }

    /// Removes what has expired, and returns how much that was. The store does so by itself, unless
    /// told not to; no read ever shows what has expired.
    ///
    /// # Errors
    /// As any write.
    pub fn purge_expired(&self) -> Result<u64> {
        let mut purged = 0;
        loop {
            // In bounded steps, so that other writers get their turn.
            let step = self.now(Request::purge(self.scope(), PURGE_MAX))?;
            purged += step.entries;
            if !step.more {
                return Ok(purged);
            }
        }
    }

    /// Starts a batch: mutations and conditions that take effect together or not at all.
    pub fn batch(&self) -> Batch {
        Batch::new(Arc::clone(&self.shared), self.view.scope().clone())
    }

    /// Runs a closure that reads and writes. Where it returns `Ok`, all that it wrote takes effect
    /// under one revision; where it returns an error, or panics, none of it does.
    ///
    /// The closure has the store to itself, so it should be quick. It may be run more than once by an
    /// engine that finds at the end that somebody else was faster, each time from a clean slate; with
    /// SQLite it never is. Inside it, use the transaction that it is given: the store itself answers
    /// [`Error::Nested`].
    ///
    /// ```
    /// # use larder::{Error, Store};
    /// # let store = Store::in_memory()?;
    /// # store.set("accounts", "alice", "10")?;
    /// store.transaction(|tx| {
    ///     let balance: i64 = tx.get("accounts", "alice")?.map_or(Ok(0), |value| value.parse())?;
    ///     if balance < 7 {
    ///         return Err(Error::other("alice is short of money"));
    ///     }
    ///     tx.increment("accounts", "alice", -7)?;
    ///     tx.increment("accounts", "bob", 7)?;
    ///     Ok(())
    /// })?;
    /// assert_eq!(store.get("accounts", "bob")?.unwrap(), "7");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the closure returns ([`Error::other`] wraps errors of the caller's own), and as any write.
    pub fn transaction<T>(&self, mut body: impl FnMut(&Transaction) -> Result<T>) -> Result<T> {
        let scope = self.view.scope();
        let mut returned = None;
        self.shared.transact(&mut |engine| {
            let transaction = Transaction::new(Arc::clone(engine), Arc::clone(&self.shared), scope.clone());
            returned = Some(body(&transaction)?);
            Ok(())
        })?;
        // Committed, so the closure ran and returned something.
        returned.ok_or(Error::Closed)
    }

    /// Holds on to the store as it is now: every read on the snapshot shows this moment.
    ///
    /// # Errors
    /// As any read.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let read = self.shared.engine()?.snapshot().wait()?;
        Ok(Snapshot::new(Arc::clone(&self.shared), read, self.view.scope().clone()))
    }

    /// The latest commit of the whole store; 0 before the first.
    ///
    /// # Errors
    /// As any read.
    pub fn revision(&self) -> Result<Revision> {
        self.shared.reader()?.revision().wait()
    }

    /// Makes a write, and waits for it.
    pub(crate) fn now<T>(&self, request: Request<T>) -> Result<T> {
        let committed = self.shared.commit(request.commit).map_err(|error| self.scope().error(error))?;
        Ok((request.answer)(&committed))
    }
}

impl<S> Clone for Store<S> {
    fn clone(&self) -> Self {
        self.with_scope(self.view.scope().clone())
    }
}

impl<S> Deref for Store<S> {
    type Target = View;

    fn deref(&self) -> &View {
        &self.view
    }
}

impl<S> fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("prefix", &self.view.scope().prefix()).finish_non_exhaustive()
    }
}
