//! The async face: see [`AsyncStore`].

mod feed;
mod stream;
mod view;
mod watching;
mod writes;

use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

pub use self::stream::{AsyncEntryStream, AsyncKeyStream};
pub use self::view::AsyncView;
pub use self::watching::{AsyncCursor, AsyncMirror, AsyncWatcher};
use crate::data::{NamespaceInfo, Quota, Result, Revision, Stats, Usage};
use crate::opening::Options;
use crate::store::offload::run;
use crate::store::{Awaited, Batch, Open, Request, Source, Store, Tenant, Whole};

/// A store whose calls are awaited: everything that [`Store`] does, under the same names, for programs
/// that run on Tokio. Cheap to clone; clones share everything, and so does what [`blocking`](Self::blocking)
/// gives.
///
/// No call holds up a thread of the executor's. What the cache has is there at once; other reads go to the
/// threads that the runtime has for what blocks; writes go to a thread of the store's own, which commits
/// all that are waiting with one `fsync`. So it is well worth having many in flight:
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
/// **Cancelling.** A write whose future is dropped takes effect in full or not at all: where it was not
/// begun with, it never is. A transaction, a copy or a backup that was begun goes on to its end. What is
/// in flight beside it is not concerned. Watchers and streams lose nothing when a future of theirs is
/// dropped.
///
/// Reads are on [`AsyncView`], to which it derefs. Each call fails as its namesake in [`Store`] does, and
/// outside of a Tokio runtime with [`Error::NoRuntime`](crate::Error::NoRuntime).
///
/// Dropping the last handle closes the store on a thread of the runtime's, some time later;
/// [`close`](Self::close) can be waited for.
pub struct AsyncStore<S = Whole> {
    store: Store<S>,
    view: AsyncView,
}

/// One namespace of an [`AsyncStore`]: see [`ScopedStore`](crate::ScopedStore).
pub type AsyncScopedStore = AsyncStore<Tenant>;

/// A [`Batch`] whose `commit` is awaited.
pub type AsyncBatch = Batch<Awaited>;

impl AsyncStore {
    /// See [`Store::open`].
    ///
    /// # Errors
    /// As there.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        Ok(run(move || Store::open(path)).await?.into_async())
    }

    /// See [`Store::in_memory`].
    ///
    /// # Errors
    /// As there.
    pub async fn in_memory() -> Result<Self> {
        Ok(run(Store::in_memory).await?.into_async())
    }

    /// See [`Store::connect`].
    ///
    /// # Errors
    /// As there.
    pub async fn connect(location: &str) -> Result<Self> {
        Self::connect_with(Options::default(), location).await
    }

    /// Opens what a location names, with these options: see [`Options::connect`].
    ///
    /// # Errors
    /// As there.
    pub async fn connect_with(options: Options, location: &str) -> Result<Self> {
        let location = location.to_owned();
        Ok(run(move || options.connect(&location)).await?.into_async())
    }

    /// See [`Store::close`].
    ///
    /// # Errors
    /// As there.
    pub async fn close(&self) -> Result<()> {
        let shared = self.shared();
        run(move || shared.close()).await
    }

    /// See [`Store::scoped`].
    ///
    /// # Errors
    /// As there.
    pub fn scoped(&self, namespace: impl AsRef<str>) -> Result<AsyncScopedStore> {
        Ok(self.store.scoped(namespace)?.into_async())
    }

    /// See [`Store::namespaces`].
    ///
    /// # Errors
    /// As there.
    pub async fn namespaces(&self) -> Result<Vec<NamespaceInfo>> {
        self.read(Store::namespaces).await
    }

    /// See [`Store::stats`].
    ///
    /// # Errors
    /// As there.
    pub async fn stats(&self) -> Result<Stats> {
        self.read(Store::stats).await
    }

    /// See [`Store::check`].
    ///
    /// # Errors
    /// As there.
    pub async fn check(&self) -> Result<Vec<String>> {
        self.read(Store::check).await
    }

    /// See [`Store::backup_to`].
    ///
    /// # Errors
    /// As there.
    pub async fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref().to_owned();
        self.read(move |store| store.backup_to(path)).await
    }
}

impl AsyncScopedStore {
    /// The name of the namespace.
    pub fn namespace(&self) -> &str {
        self.store.namespace()
    }

    /// See [`ScopedStore::quota`](crate::ScopedStore::quota).
    ///
    /// # Errors
    /// As there.
    pub async fn quota(&self) -> Result<Quota> {
        self.read(Store::quota).await
    }

    /// See [`ScopedStore::usage`](crate::ScopedStore::usage).
    ///
    /// # Errors
    /// As there.
    pub async fn usage(&self) -> Result<Usage> {
        self.read(Store::usage).await
    }

    /// See [`ScopedStore::set_quota`](crate::ScopedStore::set_quota).
    ///
    /// # Errors
    /// As there.
    pub async fn set_quota(&self, quota: Quota) -> Result<()> {
        self.later(Request::set_quota(self.namespace(), quota)).await
    }
}

impl<S> Store<S> {
    /// The same store, to be awaited.
    pub fn into_async(self) -> AsyncStore<S> {
        let (shared, scope) = (Arc::clone(self.shared()), self.scope().clone());
        shared.be_awaited();
        let view = AsyncView::new(Source::Store(Arc::clone(&shared)), shared, scope);
        AsyncStore { store: self, view }
    }
}

impl<S: 'static> AsyncStore<S> {
    /// The same store, whose calls block.
    pub fn blocking(&self) -> &Store<S> {
        &self.store
    }

    /// See [`Store::snapshot`].
    ///
    /// # Errors
    /// As there.
    pub async fn snapshot(&self) -> Result<AsyncSnapshot> {
        let snapshot = self.read(Store::snapshot).await?;
        let view = AsyncView::new(snapshot.source(), self.shared(), self.scope().clone());
        Ok(AsyncSnapshot { view })
    }

    /// See [`Store::revision`].
    ///
    /// # Errors
    /// As there.
    pub async fn revision(&self) -> Result<Revision> {
        self.read(Store::revision).await
    }

    /// See [`Store::copy_to`].
    ///
    /// # Errors
    /// As there.
    pub async fn copy_to<T: 'static>(&self, target: &AsyncStore<T>) -> Result<u64> {
        let target = target.store.clone();
        self.write(move |store| store.copy_to(&target)).await
    }

    fn shared(&self) -> Arc<Open> {
        Arc::clone(self.store.shared())
    }

    async fn later<T>(&self, request: Request<T>) -> Result<T> {
        let committed = self.store.shared().commit_later(request.commit).await;
        Ok((request.answer)(&committed.map_err(|error| self.scope().error(error))?))
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Store<S>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.store.clone();
        self.store.shared().offload.read(move || read(&store)).await
    }

    /// For what may wait for its turn to write: in the readers' place it would hold them up.
    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Store<S>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.store.clone();
        self.store.shared().offload.transact(move || write(&store)).await
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

/// The store as it is at one moment, for as long as it is held: see [`Snapshot`](crate::Snapshot).
#[derive(Debug)]
#[must_use = "a snapshot shows its moment only while it is held"]
pub struct AsyncSnapshot {
    view: AsyncView,
}

impl AsyncSnapshot {
    /// See [`Snapshot::revision`](crate::Snapshot::revision).
    ///
    /// # Errors
    /// As there.
    pub async fn revision(&self) -> Result<Revision> {
        self.view.read(|view| view.reader()?.revision().wait()).await
    }
}

impl Deref for AsyncSnapshot {
    type Target = AsyncView;

    fn deref(&self) -> &AsyncView {
        &self.view
    }
}
