//! Opening and closing a store, awaited.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use super::handle::AsyncStore;
use super::view::AsyncView;
use crate::data::Result;
use crate::opening::Options;
use crate::store::offload::run;
use crate::store::{Store, View};

impl AsyncStore {
    /// Opens the SQLite file at `path`; creates it if it does not exist. `:memory:` is a store in memory.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// let store = larder::AsyncStore::open(path).await?; // e.g. "app.db"
    /// store.set("config", "colour", "blue").await?;
    /// # store.close().await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of [`Options::open`], and [`Error::NoRuntime`](crate::Error::NoRuntime) outside a Tokio runtime.
    ///
    /// # Cancellation
    /// If the future is dropped, the file is opened and closed again.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(Options::default(), path).await
    }

    /// Opens the SQLite file at `path` with options, as [`open`](Self::open) does.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// use larder::{AsyncStore, Durability, Store};
    ///
    /// let options = Store::options().durability(Durability::Relaxed);
    /// let store = AsyncStore::open_with(options, path).await?; // e.g. "app.db"
    /// # store.close().await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of [`Options::open`], and [`Error::NoRuntime`](crate::Error::NoRuntime) outside a Tokio runtime.
    ///
    /// # Cancellation
    /// If the future is dropped, the file is opened and closed again.
    pub async fn open_with(options: Options, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        Ok(run(move || options.open(path)).await?.into_async())
    }

    /// Opens a store that lives in memory.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let store = larder::AsyncStore::in_memory().await?;
    /// assert_eq!(store.count_all("").await?, 0);
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage) if there is no memory for it, and
    /// [`Error::NoRuntime`](crate::Error::NoRuntime) outside a Tokio runtime.
    ///
    /// # Cancellation
    /// If the future is dropped, the store is, too.
    pub async fn in_memory() -> Result<Self> {
        Ok(run(Store::in_memory).await?.into_async())
    }

    /// Opens the store that a location names: a path, `sqlite:PATH`, `:memory:`, or, with the feature `etcd`, a
    /// store on a cluster.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let location = ":memory:"; // e.g. from the program's configuration
    /// let store = larder::AsyncStore::connect(location).await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of [`Options::connect`], and [`Error::NoRuntime`](crate::Error::NoRuntime) outside a Tokio runtime.
    ///
    /// # Cancellation
    /// If the future is dropped, the store is opened and closed again.
    pub async fn connect(location: impl AsRef<OsStr>) -> Result<Self> {
        Self::connect_with(Options::default(), location).await
    }

    /// Opens the store that a location names with options, as [`connect`](Self::connect) does.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use larder::{AsyncStore, Store};
    ///
    /// let options = Store::options().cache_bytes(16 << 20);
    /// let store = AsyncStore::connect_with(options, ":memory:").await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of [`Options::connect`], and [`Error::NoRuntime`](crate::Error::NoRuntime) outside a Tokio runtime.
    ///
    /// # Cancellation
    /// If the future is dropped, the store is opened and closed again.
    pub async fn connect_with(options: Options, location: impl AsRef<OsStr>) -> Result<Self> {
        let location = location.as_ref().to_owned();
        Ok(run(move || options.connect(&location)).await?.into_async())
    }

    /// Closes the store for all handles, async and blocking, and releases the file. Later calls on any handle fail
    /// with [`Error::Closed`](crate::Error::Closed). Closing it again does nothing.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::{AsyncStore, Error};
    /// # let store = AsyncStore::in_memory().await?;
    /// store.close().await?;
    /// assert!(matches!(store.get("config", "colour").await, Err(Error::Closed)));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Storage`](crate::Error::Storage) if the engine fails to close; what was written is safe in any case.
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the store is closed all the same.
    pub async fn close(&self) -> Result<()> {
        let shared = self.shared();
        run(move || shared.close()).await
    }
}

impl<S> Store<S> {
    /// Returns an async handle to the same store.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let store = larder::Store::in_memory()?.into_async();
    /// store.set("config", "colour", "blue").await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn into_async(self) -> AsyncStore<S> {
        self.shared().offload.be_awaited();
        let view = AsyncView::new(View::clone(&self), Arc::clone(self.shared()));
        AsyncStore { store: self, view }
    }
}
