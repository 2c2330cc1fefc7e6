//! The files around a backup: the one that it replaces, and those of its rotation.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::{Error, Result};
use crate::engine::sqlite::{self, Exclusive};
use crate::engine::{NewFile, planted};

/// An older backup that is to be replaced. Nobody can open it meanwhile.
pub(crate) struct OldBackup {
    file: PathBuf,
    lock: Exclusive,
}

impl OldBackup {
    /// The backup of that name, if there is one.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] for a file that is no backup, and [`Error::InUse`].
    pub fn find(path: &Path) -> Result<Option<Self>> {
        let exists = || Error::AlreadyExists { path: path.to_owned() };
        planted::refuse_links(path).map_err(|error| Error::Denied {
            path: path.to_owned(),
            reason: error.to_string(),
            advice: "Name a file in another folder, or the file that is meant.".into(),
        })?;
        // The file behind a link is replaced, not the link.
        let Ok(file) = fs::canonicalize(path) else { return Ok(None) };
        if !fs::metadata(&file).is_ok_and(|found| found.is_file() && found.len() > 0) {
            return Err(exists());
        }
        let lock = Exclusive::take(&file).map_err(|error| match error {
            Error::NotADatabase { .. } => exists(),
            error => error,
        })?;
        if lock.is_store() && !lock.has_log() { Ok(Some(Self { file, lock })) } else { Err(exists()) }
    }

    /// A new file for its place.
    pub fn successor(&self) -> Result<NewFile> {
        NewFile::begin_over(&self.file)
    }

    /// Replaces it by its successor, which gets its permissions.
    pub fn replace(self, new: NewFile) -> Result<()> {
        self.lock.hand_on_permissions(&new)?;
        // Windows does not replace a file that is open.
        let _lock = cfg!(unix).then_some(self.lock);
        new.replace()
    }
}

/// Backups that are made again and again under numbered names.
pub(crate) struct Rotation(sqlite::Rotation);

impl Rotation {
    /// The rotation of this name, without the numbers.
    pub fn of(name: &Path) -> Self {
        Self(sqlite::Rotation::of(name))
    }

    /// The name after the last one that is taken.
    pub fn next_name(&self) -> io::Result<PathBuf> {
        self.0.next_name()
    }

    /// Marks a backup as one of this rotation.
    pub fn mark(&self, new: &NewFile) -> Result<()> {
        self.0
            .mark(new)
            .map_err(|error| Error::BackupFailed { path: new.target().to_owned(), source: Arc::new(error) })
    }

    /// Removes the oldest of its backups, and returns their names. The newest `keep` of them stay.
    pub fn prune(&self, keep: usize) -> io::Result<Vec<PathBuf>> {
        self.0.prune(keep)
    }
}
