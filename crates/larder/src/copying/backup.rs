//! Backups: a copy of a store in a new file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::{Error, Result};
use crate::engine::NewFile;
use crate::opening::{OldBackup, Rotation};
use crate::store::Store;

impl Store {
    /// Writes a copy of the store as it is now to a new SQLite file, while others read and write. The copy is a
    /// store like any other. [`backup`](Self::backup) can also verify it, replace an older one, or keep the last few.
    ///
    /// The copy of a SQLite file has the same revisions, quotas and change log, and an identity of its own: resume
    /// tokens of the original are refused there. The copy of a store on a cluster has its entries and quotas; its
    /// revisions and change log start anew.
    ///
    /// ```
    /// # use larder::Store;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// store.backup_to(&path)?; // e.g. "backup.db"
    /// assert_eq!(Store::open(&path)?.get("config", "colour")?.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) if the file exists,
    /// [`Error::Denied`](crate::Error::Denied) if it cannot be created, [`Error::BackupFailed`](crate::Error::BackupFailed) if it cannot be written to the end, and as any
    /// read. Then no file is left behind.
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        self.backup(path).run().map(drop)
    }

    /// Makes a backup as [`backup_to`](Self::backup_to) does, with more to choose. It returns a builder;
    /// [`run`](BackingUp::run) makes the backup.
    ///
    /// ```
    /// # use larder::Store;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = Store::in_memory()?;
    /// store.backup(&path).verified().run()?;
    /// store.backup(&path).replacing().run()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn backup(&self, path: impl AsRef<Path>) -> BackingUp {
        BackingUp {
            store: self.clone(),
            path: path.as_ref().to_owned(),
            verifies: false,
            replaces: false,
            keeps: None,
        }
    }
}

/// A backup that is about to be made: see [`Store::backup`].
///
/// ```
/// # use larder::Store;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("backup.db");
/// # let store = Store::in_memory()?;
/// for _ in 0..9 {
///     store.backup(&path).keeping(7).run()?; // e.g. each day
/// }
/// assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 7);
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is backed up until it is run"]
pub struct BackingUp {
    store: Store,
    path: PathBuf,
    verifies: bool,
    replaces: bool,
    keeps: Option<usize>,
}

/// What a backup has done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// The new file.
    pub path: PathBuf,
    /// The older backups that were removed for it.
    pub removed: Vec<PathBuf>,
}

impl BackingUp {
    /// Opens the copy, before it gets its name, and checks it as [`check`](Store::check) does.
    ///
    /// ```
    /// # use larder::Store;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = Store::in_memory()?;
    /// store.backup(&path).verified().run()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn verified(mut self) -> Self {
        self.verifies = true;
        self
    }

    /// Replaces an older backup of that name, in one step, once the new one is complete. Fails if the older file is not a
    /// larder store, is open in any process, or has a log beside it.
    ///
    /// ```
    /// # use larder::{Error, Store};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = Store::in_memory()?;
    /// store.backup(&path).run()?;
    /// assert!(matches!(store.backup(&path).run(), Err(Error::AlreadyExists { .. })));
    /// store.backup(&path).replacing().run()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn replacing(mut self) -> Self {
        self.replaces = true;
        self
    }

    /// Gives the backup a number in its name, as in `backup.000001.db` for `backup.db`, and removes the oldest such
    /// backups until `count` are left, at least one. The new one is [verified](Self::verified) first. Only backups that
    /// were made in this way and under this name are removed, and none that is open or has a log beside it.
    ///
    /// ```
    /// # use larder::Store;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = Store::in_memory()?;
    /// let made = store.backup(&path).keeping(7).run()?;
    /// assert_eq!(made.path, folder.path().join("backup.000001.db"));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn keeping(mut self, count: usize) -> Self {
        self.keeps = Some(count.max(1));
        self.verified()
    }

    /// Makes the backup.
    ///
    /// ```
    /// # use larder::Store;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// let made = store.backup(&path).run()?;
    /// assert_eq!(Store::open(made.path)?.get("config", "colour")?.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::backup_to`]. [`Error::InUse`] if somebody has the file open that is to be replaced, and
    /// [`Error::AlreadyExists`] if it is not a backup. [`Error::Damaged`] if the copy is not sound. After each of them
    /// older backups are as they were.
    pub fn run(&self) -> Result<BackedUp> {
        let Some(keep) = self.keeps else {
            self.write(&self.path, None)?;
            return Ok(BackedUp { path: self.path.clone(), removed: Vec::new() });
        };
        let failed = |error| Error::BackupFailed { path: self.path.clone(), source: Arc::new(error) };
        let rotation = Rotation::of(&self.path);
        loop {
            let path = rotation.next_name().map_err(failed)?;
            match self.write(&path, Some(&rotation)) {
                // Another process has made one meanwhile.
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    let removed = rotation.prune(keep).map_err(failed)?;
                    return Ok(BackedUp { path, removed });
                }
            }
        }
    }

    fn write(&self, path: &Path, rotation: Option<&Rotation>) -> Result<()> {
        let old = if self.replaces && rotation.is_none() { OldBackup::find(path)? } else { None };
        let new = match &old {
            Some(old) => old.successor()?,
            None => NewFile::begin(path)?,
        };
        let before = self.store.revision()?;
        match self.store.shared().engine()?.backup_into(&new) {
            Some(copied) => {
                copied.wait()?;
                if self.verifies {
                    let copy = self.check(path, &new)?;
                    if copy.revision()? < before {
                        return Err(damaged(path, "it lacks commits".into()));
                    }
                }
            }
            None => {
                self.export_into(&new)?;
                if self.verifies {
                    self.check(path, &new)?;
                }
            }
        }
        if let Some(rotation) = rotation {
            rotation.mark(&new)?;
        }
        match old {
            Some(old) => old.replace(new),
            None => new.publish(),
        }
    }

    /// Copies every entry into a new file.
    fn export_into(&self, new: &NewFile) -> Result<()> {
        // By the same clock: a copy leaves out what has expired by the clock of either side.
        let options = Store::options().clock(Arc::clone(&self.store.shared().clock)).expiry_timer(false);
        let copy = options.open(new.path()).map_err(|error| new.blame(error))?;
        let copied = self.store.copy_to(&copy).in_one_transaction().run();
        let copied =
            copied.and_then(|copied| copy.close().map(|()| copied)).map_err(|error| new.blame(error))?;
        if self.verifies && !copied.is_exact() {
            return Err(damaged(new.target(), "it differs from the store".into()));
        }
        Ok(())
    }

    /// Opens the copy and looks for damage.
    fn check(&self, path: &Path, new: &NewFile) -> Result<Store> {
        let clock = Arc::clone(&self.store.shared().clock);
        let copy = Store::options().clock(clock).read_only(true).open(new.path())?;
        match copy.check()?.iter().find(|finding| finding.is_damage()) {
            None => Ok(copy),
            Some(finding) => Err(damaged(path, finding.to_string())),
        }
    }
}

fn damaged(path: &Path, detail: String) -> Error {
    Error::Damaged { location: path.display().to_string(), detail }
}
