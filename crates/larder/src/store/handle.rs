//! [`Store`], and the handles that are made from it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use super::batch::Batch;
use super::scope::Scope;
use super::shared::Open;
use super::snapshot::Snapshot;
use super::source::Source;
use super::transaction::Transaction;
use super::view::View;
use crate::data::{Error, NamespaceInfo, Result, Revision};

/// A store: every group of one database. Cloning is cheap; all clones share one open store, from any number of
/// threads.
///
/// `Store` derefs to [`View`], which has all reads. Its own methods write ([`set`](Self::set) and so on), receive
/// changes ([`watch`](Self::watch), [`cursor`](Self::cursor), [`mirror`](Self::mirror),
/// [`on_change`](Self::on_change), [`history`](Self::history)) and look after the store
/// ([`stats`](Self::stats), [`check`](Self::check), [`backup_to`](Self::backup_to), [`copy_to`](Self::copy_to)).
///
/// `Store` is short for `Store<Whole>`; a [`ScopedStore`] is the same type for one namespace.
///
/// ```
/// use larder::Store;
///
/// let store = Store::in_memory()?;
/// store.set("config", "colour", "blue")?;
/// assert_eq!(store.get("config", "colour")?.unwrap(), "blue");
/// # Ok::<(), larder::Error>(())
/// ```
///
/// # Errors of writes
/// Any write fails with [`Error::Closed`](crate::Error::Closed), [`Error::Nested`](crate::Error::Nested),
/// [`Error::ReadOnly`](crate::Error::ReadOnly), [`Error::Busy`](crate::Error::Busy),
/// [`Error::Full`](crate::Error::Full), [`Error::WritesStopped`](crate::Error::WritesStopped) or
/// [`Error::Storage`](crate::Error::Storage) if the store cannot take it now, with
/// [`Error::TooLarge`](crate::Error::TooLarge) if a name or value is too large, and with
/// [`Error::QuotaExceeded`](crate::Error::QuotaExceeded) if a namespace would hold too much. On a cluster also
/// with [`Error::Unreachable`](crate::Error::Unreachable), [`Error::Contended`](crate::Error::Contended) and
/// [`Error::TooMuchAtOnce`](crate::Error::TooMuchAtOnce). A write that fails has changed nothing. The one
/// exception is [`Error::Unknown`](crate::Error::Unknown): the cluster did not say whether it made the change, or the
/// disk failed when the change was in the log of the file already.
pub struct Store<S = Whole> {
    shared: Arc<Open>,
    view: View,
    extent: PhantomData<fn() -> S>,
}

/// One namespace of a store. It does everything that [`Store`] does, for the groups of the namespace alone, and
/// names them without the namespace. Nothing that it does reaches another namespace.
///
/// Only [`Store`] has what concerns the whole database: `close`, `stats`, `check`, `backup_to`, `namespaces`.
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
///
/// ```
/// use larder::{Store, Whole};
///
/// let store: Store<Whole> = Store::in_memory()?; // the same as `Store`
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug)]
pub enum Whole {}

/// Marks a [`Store`] that sees the groups of one namespace.
///
/// ```
/// use larder::{Store, Tenant};
///
/// let store = Store::in_memory()?;
/// let tenant: Store<Tenant> = store.scoped("tenant-42")?; // the same as `ScopedStore`
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug)]
pub enum Tenant {}

impl Store {
    pub(crate) fn new(open: Open) -> Self {
        Self::over(Arc::new(open), Scope::default())
    }

    /// Closes the store for all handles, and releases the file: nothing of the store has it open or locked afterwards. A
    /// read that runs meanwhile, and a snapshot, releases it when it ends or is dropped. Later calls on any handle fail
    /// with [`Error::Closed`](crate::Error::Closed). Closing it again does nothing. Dropping the last handle closes the
    /// store, too.
    ///
    /// If another library has locked the file in the same process, larder's own descriptors of it stay open until another
    /// store is opened: to close them would drop those locks.
    ///
    /// ```
    /// # use larder::{Error, Store};
    /// # let store = Store::in_memory()?;
    /// store.close()?;
    /// assert!(matches!(store.get("config", "colour"), Err(Error::Closed)));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Nested`](crate::Error::Nested) from inside a transaction, and
    /// [`Error::Storage`](crate::Error::Storage) if the engine fails to close. What was written is safe in any
    /// case.
    pub fn close(&self) -> Result<()> {
        self.shared.close()
    }

    /// Returns a handle to the part of the store that belongs to a namespace.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let tenant = store.scoped("tenant-42")?;
    /// assert_eq!(tenant.namespace(), "tenant-42");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidNamespace`](crate::Error::InvalidNamespace) unless the name consists of letters, digits and
    /// hyphens.
    pub fn scoped(&self, namespace: impl AsRef<str>) -> Result<ScopedStore> {
        Ok(self.with_scope(Scope::namespace(namespace.as_ref())?))
    }

    /// Returns the namespaces that hold an entry or have a quota, sorted by name.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.scoped("tenant-42")?.set("preferences", "locale", "en-GB")?;
    /// let namespaces = store.namespaces()?;
    /// assert_eq!((namespaces[0].name.as_str(), namespaces[0].usage.keys), ("tenant-42", 1));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
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

    /// Starts a batch: mutations and conditions that take effect together or not at all.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.batch().set("config", "colour", "blue").increment("stats", "changes", 1).commit()?;
    /// assert_eq!(store.get("stats", "changes")?.unwrap(), "1");
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn batch(&self) -> Batch {
        Batch::new(Arc::clone(&self.shared), self.view.scope().clone())
    }

    /// Runs a closure that reads and writes. If it returns `Ok`, all its writes take effect under one revision;
    /// if it returns an error or panics, none does.
    ///
    /// No other write happens while the closure runs, so keep it short. On a cluster it may run more than once,
    /// each time from the latest state, if another writer was faster; with SQLite it runs once. Inside the
    /// closure use the transaction that it receives: the store itself fails with
    /// [`Error::Nested`](crate::Error::Nested).
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
    /// What the closure returns ([`Error::other`](crate::Error::other) wraps errors of your own), and as any write.
    pub fn transaction<T>(&self, mut body: impl FnMut(&Transaction) -> Result<T>) -> Result<T> {
        let scope = self.view.scope();
        let mut returned = None;
        self.shared.transact(scope, &mut |engine| {
            let transaction = Transaction::new(Arc::clone(engine), Arc::clone(&self.shared), scope.clone());
            returned = Some(body(&transaction)?);
            Ok(())
        })?;
        // Committed, so the closure ran and returned something.
        returned.ok_or(Error::Closed)
    }

    /// Returns a snapshot: the store as it is now. Every read on it shows this moment.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// let snapshot = store.snapshot()?;
    /// store.delete("config", "colour")?;
    /// assert!(snapshot.exists("config", "colour")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn snapshot(&self) -> Result<Snapshot> {
        let read = self.shared.engine()?.snapshot().wait()?;
        Ok(Snapshot::new(Arc::clone(&self.shared), read, self.view.scope().clone()))
    }

    /// Returns the revision of the latest commit of the whole store; 0 before the first.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let revision = store.set("config", "colour", "blue")?;
    /// assert_eq!(store.revision()?, revision);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`].
    pub fn revision(&self) -> Result<Revision> {
        self.shared.reader()?.revision().wait()
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
