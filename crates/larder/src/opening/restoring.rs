//! Restores: a backup takes the place of a store.

use std::path::{Path, PathBuf};

use crate::data::{Error, Result, Revision};
use crate::engine::memory;
use crate::engine::sqlite::{Restore, restore};
use crate::store::Store;

impl Store {
    /// Replaces the store in the file `target` with a backup, or creates the file. No process may have the store open. It returns a builder; [`run`](Restoring::run) does it.
    ///
    /// The backup is checked first, as [`check`](Store::check) does, and stays as it is. The new file replaces the old
    /// one at once, with its permissions: whenever the process is killed, the store is the old one, with every write, or
    /// the new one.
    ///
    /// The restored store has an identity of its own. It hands out revisions again that the old one may have used for
    /// something else, so a [`ResumeToken`](crate::ResumeToken) of before is refused with
    /// [`Error::OtherStore`], and each named cursor says [`Error::Restored`] once before it continues.
    ///
    /// ```
    /// # use larder::Store;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
    /// let store = Store::open(&path)?; // e.g. "app.db"
    /// store.set("config", "colour", "blue")?;
    /// store.backup_to(&backup)?; // e.g. "backup.db"
    /// store.delete_group("config")?;
    /// store.close()?;
    ///
    /// Store::restore(&backup, &path).run()?;
    /// assert_eq!(Store::open(&path)?.get("config", "colour")?.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn restore(backup: impl AsRef<Path>, target: impl AsRef<Path>) -> Restoring {
        Restoring { backup: backup.as_ref().to_owned(), target: target.as_ref().to_owned(), keeps_old: false }
    }
}

/// A restore that is about to be made: see [`Store::restore`].
///
/// ```
/// # use larder::Store;
/// # let folder = tempfile::tempdir().unwrap();
/// # let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
/// # Store::in_memory()?.backup_to(&backup)?;
/// # Store::open(&path)?.set("config", "colour", "blue")?;
/// let restored = Store::restore(&backup, &path).keep_old().run()?;
/// let old = Store::open(restored.old.unwrap())?; // e.g. "app.db.before-restore"
/// assert_eq!(old.get("config", "colour")?.unwrap(), "blue");
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is restored until it is run"]
pub struct Restoring {
    backup: PathBuf,
    target: PathBuf,
    keeps_old: bool,
}

/// What a restore has done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The identity of the restored store.
    pub identity: String,
    /// The revision of its latest commit.
    pub revision: Revision,
    /// Where the old file is now, if it was to be kept and there was one.
    pub old: Option<PathBuf>,
}

impl Restoring {
    /// Keeps the old file, under the first free name of `app.db.before-restore`, `app.db.before-restore-2` and so on.
    ///
    /// ```
    /// # use larder::Store;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
    /// # Store::in_memory()?.backup_to(&backup)?;
    /// # Store::open(&path)?;
    /// let restored = Store::restore(&backup, &path).keep_old().run()?;
    /// assert!(restored.old.unwrap().exists());
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn keep_old(mut self) -> Self {
        self.keeps_old = true;
        self
    }

    /// Restores the backup.
    ///
    /// ```
    /// # use larder::{Error, Store};
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let (path, backup) = (folder.path().join("app.db"), folder.path().join("backup.db"));
    /// # Store::in_memory()?.backup_to(&backup)?;
    /// let store = Store::open(&path)?;
    /// let refused = Store::restore(&backup, &path).run();
    /// assert!(matches!(refused, Err(Error::InUse { .. })));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InUse`] while any process has the store open, this one included. [`Error::NoStore`],
    /// [`Error::NotADatabase`], [`Error::ForeignDatabase`], [`Error::NewerVersion`], [`Error::Migration`],
    /// [`Error::ForeignLog`] and [`Error::Damaged`] if the backup is no sound store of larder's.
    /// [`Error::RestoreRefused`] if the target is not a store, or is the backup. [`Error::AlreadyExists`] if there was no
    /// file, and another process made one during the restore. [`Error::Denied`], and [`Error::RestoreFailed`] if a file
    /// cannot be written. After each of them the store is as it was.
    /// [`Error::Unknown`] if the backup has its place and the system does not confirm that: after a crash the store may
    /// be the old one again. If the old file was to be kept, the reason says where it is.
    pub fn run(&self) -> Result<Restored> {
        if self.target == Path::new(memory::IN_MEMORY) {
            return Err(Error::RestoreRefused {
                path: self.target.clone(),
                reason: "a store in memory has no file".into(),
                advice: "Name a file.".into(),
            });
        }
        let request = Restore { backup: &self.backup, target: &self.target, keeps_old: self.keeps_old };
        let done = restore(&request)?;
        Ok(Restored { identity: done.identity.to_string(), revision: done.revision, old: done.old })
    }
}
