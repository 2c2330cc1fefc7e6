//! Backups and restores, awaited.

use std::path::Path;

use super::handle::AsyncStore;
use crate::copying::{BackedUp, BackingUp};
use crate::data::Result;
use crate::opening::{Restored, Restoring};
use crate::store::Store;
use crate::store::offload::run;

impl AsyncStore {
    /// Writes a copy of the store as it is now to a new SQLite file, while others read and write. The copy of a
    /// SQLite file has the same revisions, quotas and change log, and an identity of its own. The copy of a store on a cluster has its entries
    /// and quotas; its revisions and change log start anew.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// store.backup_to(&path).await?; // e.g. "backup.db"
    /// # assert!(path.exists());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) if the file exists,
    /// [`Error::Denied`](crate::Error::Denied) if it cannot be created, [`Error::BackupFailed`](crate::Error::BackupFailed) if it cannot be written to the end, and as any
    /// read. Then no file is left behind.
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the backup is made all the same.
    pub async fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref().to_owned();
        self.read(move |store| store.backup_to(path)).await
    }

    /// Makes a backup as [`backup_to`](Self::backup_to) does, with more to choose: see [`Store::backup`]. It returns a
    /// builder; [`run`](AsyncBackingUp::run) makes the backup.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.backup(&path).verified().run().await?;
    /// store.backup(&path).replacing().run().await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> AsyncBackingUp {
        AsyncBackingUp(self.store.backup(path))
    }

    /// Replaces the store in the file `target` with a backup. No process may have the store open: see
    /// [`Store::restore`]. It returns a builder; [`run`](AsyncRestoring::run) does it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::AsyncStore;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
    /// # let store = AsyncStore::in_memory().await?;
    /// store.set("config", "colour", "blue").await?;
    /// store.backup_to(&backup).await?; // e.g. "backup.db"
    /// AsyncStore::restore(&backup, &path).run().await?; // e.g. "app.db"
    /// assert_eq!(AsyncStore::open(&path).await?.get("config", "colour").await?.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn restore(backup: impl AsRef<Path>, target: impl AsRef<Path>) -> AsyncRestoring {
        AsyncRestoring(Store::restore(backup, target))
    }
}

/// A backup that is about to be made: see [`AsyncStore::backup`].
#[derive(Clone, Debug)]
#[must_use = "nothing is backed up until it is run"]
pub struct AsyncBackingUp(BackingUp);

impl AsyncBackingUp {
    /// Opens the copy, before it gets its name, and checks it: see [`BackingUp::verified`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.backup(&path).verified().run().await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn verified(self) -> Self {
        Self(self.0.verified())
    }

    /// Replaces an older backup of that name: see [`BackingUp::replacing`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// store.backup(&path).run().await?;
    /// store.backup(&path).replacing().run().await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn replacing(self) -> Self {
        Self(self.0.replacing())
    }

    /// Gives the backup a number in its name, and keeps the newest `count` of them: see [`BackingUp::keeping`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let made = store.backup(&path).keeping(7).run().await?;
    /// assert_eq!(made.path, folder.path().join("backup.000001.db"));
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn keeping(self, count: usize) -> Self {
        Self(self.0.keeping(count))
    }

    /// Makes the backup.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = larder::AsyncStore::in_memory().await?;
    /// let made = store.backup(&path).run().await?;
    /// assert!(made.path.exists());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`BackingUp::run`].
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the backup is made all the same.
    pub async fn run(&self) -> Result<BackedUp> {
        let backing_up = self.0.clone();
        run(move || backing_up.run()).await
    }
}

/// A restore that is about to be made: see [`AsyncStore::restore`].
#[derive(Clone, Debug)]
#[must_use = "nothing is restored until it is run"]
pub struct AsyncRestoring(Restoring);

impl AsyncRestoring {
    /// Keeps the old file under another name: see [`Restoring::keep_old`].
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::AsyncStore;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
    /// # AsyncStore::in_memory().await?.backup_to(&backup).await?;
    /// # AsyncStore::open(&path).await?.close().await?;
    /// let restored = AsyncStore::restore(&backup, &path).keep_old().run().await?;
    /// assert!(restored.old.unwrap().exists());
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    pub fn keep_old(self) -> Self {
        Self(self.0.keep_old())
    }

    /// Restores the backup.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # use larder::AsyncStore;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
    /// # AsyncStore::in_memory().await?.backup_to(&backup).await?;
    /// AsyncStore::restore(&backup, &path).run().await?;
    /// # Ok::<(), larder::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Restoring::run`], and [`Error::NoRuntime`](crate::Error::NoRuntime) outside a Tokio runtime.
    ///
    /// # Cancellation
    /// If the future is dropped after its first poll, the backup is restored all the same.
    pub async fn run(&self) -> Result<Restored> {
        let restoring = self.0.clone();
        run(move || restoring.run()).await
    }
}
