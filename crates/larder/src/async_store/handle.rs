//! [`AsyncStore`], and the handles that are made from it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::snapshot::AsyncSnapshot;
use super::view::AsyncView;
use crate::data::{NamespaceInfo, Result, Revision};
use crate::store::{Awaited, Batch, Open, Request, Scope, Store, Tenant, Transaction, View, Whole};

/// A store for programs that run on Tokio: the methods of [`Store`], under the same names, as `async` functions.
/// Cloning is cheap; all clones share one open store, also with the [`blocking`](Self::blocking) handle.
///
/// No call blocks an executor thread. A read that the cache can answer returns at once. Other reads run on the
/// runtime's blocking threads. Writes go to a thread of the store, which commits everything that waits with one
/// `fsync`; so keep many in flight:
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use larder::AsyncStore;
///
/// let store = AsyncStore::in_memory().await?;
/// store.set("config", "colour", "blue").await?;
/// assert_eq!(store.get("config", "colour").await?.unwrap(), "blue");
///
/// let mut changes = store.watch(("config", "*")).await?;
/// store.delete("config", "colour").await?;
/// assert_eq!(changes.recv().await?.key.as_deref(), Some("colour"));
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
///
/// `AsyncStore` derefs to [`AsyncView`], which has all reads. A few calls are not `async`, since they never wait:
/// [`scoped`](Self::scoped), [`batch`](Self::batch), [`copy_to`](Self::copy_to), [`cache_age`](Self::cache_age) and
/// [`on_change`](Self::on_change).
///
/// # Errors
/// A write fails as a write of [`Store`] does, a read as a read of [`View`]. Both
/// fail with [`Error::NoRuntime`](crate::Error::NoRuntime) outside a Tokio runtime.
///
/// # Cancellation
/// A future does nothing until it is polled. A write whose future is dropped takes effect in full or not at all; if
/// its commit has not begun, it never takes effect (on a cluster, a write for whose callbacks the store has to wait takes
/// effect once it was polled). A transaction or a backup that has begun runs to its end. A copy
/// stops, and the next run continues from there. Other calls in flight are not affected. Watchers and streams lose
/// nothing if one of their futures is dropped.
///
/// # Dropping
/// Dropping the last handle closes the store on a blocking thread, some time later. To wait for that, call
/// [`close`](Self::close).
pub struct AsyncStore<S = Whole> {
    pub(super) store: Store<S>,
    pub(super) view: AsyncView,
}

/// One namespace of an [`AsyncStore`], as [`ScopedStore`](crate::ScopedStore) is of a [`Store`]: it sees the groups
/// of the namespace alone, and names them without the namespace.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use larder::{AsyncScopedStore, AsyncStore};
///
/// let store = AsyncStore::in_memory().await?;
/// let tenant: AsyncScopedStore = store.scoped("tenant-42")?;
/// tenant.set("preferences", "locale", "en-GB").await?;
/// assert!(store.exists("tenant-42:preferences", "locale").await?);
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
pub type AsyncScopedStore = AsyncStore<Tenant>;

/// A [`Batch`] whose `commit` is awaited: see [`AsyncStore::batch`].
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let store = larder::AsyncStore::in_memory().await?;
/// store.batch().set("config", "colour", "blue").set("config", "size", "10").commit().await?;
/// assert_eq!(store.count("config").await?, 2);
/// # Ok::<(), larder::Error>(()) }).unwrap();
/// ```
pub type AsyncBatch = Batch<Awaited>;

impl AsyncStore {
    /// Returns a handle to the part of the store that belongs to a namespace. It never waits.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let tenant = store.scoped("tenant-42")?;
    /// tenant.set("preferences", "locale", "en-GB").await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidNamespace`](crate::Error::InvalidNamespace) unless the name consists of letters, digits and
    /// hyphens.
    pub fn scoped(&self, namespace: impl AsRef<str>) -> Result<AsyncScopedStore> {
        Ok(self.store.scoped(namespace)?.into_async())
    }

    /// Returns the namespaces that hold an entry or have a quota, sorted by name.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.scoped("tenant-42")?.set("preferences", "locale", "en-GB").await?;
    /// assert_eq!(store.namespaces().await?[0].name, "tenant-42");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn namespaces(&self) -> Result<Vec<NamespaceInfo>> {
        match self.store.shared().reader()?.try_namespaces(None) {
            Some(namespaces) => Ok(namespaces),
            None => self.read(Store::namespaces).await,
        }
    }
}

impl<S: 'static> AsyncStore<S> {
    /// Returns a blocking handle to the same store.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// let blocking = store.blocking().clone();
    /// let thread = std::thread::spawn(move || blocking.get("config", "colour"));
    /// assert_eq!(thread.join().unwrap()?.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn blocking(&self) -> &Store<S> {
        &self.store
    }

    /// Starts a batch: mutations and conditions that take effect together or not at all. Its
    /// [`commit`](Batch::<Awaited>::commit) is awaited.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let batch = store.batch().set("config", "colour", "blue").increment("stats", "changes", 1);
    /// batch.commit().await?;
    /// assert_eq!(store.get("stats", "changes").await?.unwrap(), "1");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn batch(&self) -> AsyncBatch {
        Batch::new(self.shared(), self.scope().clone())
    }

    /// Runs a closure that reads and writes, on a blocking thread. If it returns `Ok`, all its writes take effect
    /// under one revision; if it returns an error or panics, none does.
    ///
    /// The closure uses the transaction that it receives, without awaiting anything. No other write happens while
    /// it runs, so keep it short. On a cluster it may run more than once, each time from the latest state. At most
    /// four transactions of one store, and two of one namespace, wait for their turn on blocking threads; further ones
    /// wait as futures.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let visits = store.transaction(|tx| tx.increment("stats", "visits", 1)).await?;
    /// assert_eq!(visits, 1);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// What the closure returns ([`Error::other`](crate::Error::other) wraps errors of your own), and as any write:
    /// see [`AsyncStore`]. A panic of the closure continues in the task that awaits it.
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the transaction is made all the same.
    pub async fn transaction<T: Send + 'static>(
        &self,
        body: impl FnMut(&Transaction) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.exclusive(move |store| store.transaction(body)).await
    }

    /// Returns a snapshot: the store as it is now. Every read on it shows this moment.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// let snapshot = store.snapshot().await?;
    /// store.delete("config", "colour").await?;
    /// assert!(snapshot.exists("config", "colour").await?);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future drops the snapshot.
    pub async fn snapshot(&self) -> Result<AsyncSnapshot> {
        let snapshot = self.read(Store::snapshot).await?;
        Ok(AsyncSnapshot::new(AsyncView::new(View::clone(&snapshot), self.shared())))
    }

    /// Returns the revision of the latest commit of the whole store; 0 before the first.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let revision = store.set("config", "colour", "blue").await?;
    /// assert_eq!(store.revision().await?, revision);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As any read: see [`AsyncView`].
    ///
    /// # Cancellation
    /// Dropping the future discards the result.
    pub async fn revision(&self) -> Result<Revision> {
        self.read(Store::revision).await
    }

    pub(super) fn shared(&self) -> Arc<Open> {
        Arc::clone(self.store.shared())
    }

    pub(super) fn scope(&self) -> &Scope {
        self.store.scope()
    }

    /// Makes a write.
    pub(super) async fn write<T>(&self, request: Request<T>) -> Result<T> {
        self.store.shared().write_later(self.scope(), request).await
    }

    /// Runs a blocking read.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store<S>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.store.clone();
        self.store.shared().offload.read(self.scope(), move || read(&store)).await
    }

    /// Runs blocking work that may wait for its turn to write. As a read it would hold up other reads.
    pub(super) async fn exclusive<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store<S>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.store.clone();
        self.store.shared().offload.transact(self.scope(), move || work(&store)).await
    }
}

impl<S> Clone for AsyncStore<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), view: self.view.clone() }
    }
}

impl<S> Deref for AsyncStore<S> {
    type Target = AsyncView;

    fn deref(&self) -> &AsyncView {
        &self.view
    }
}

impl<S> fmt::Debug for AsyncStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncStore").field("store", &self.store).finish()
    }
}
