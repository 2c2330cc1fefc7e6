//! Whether the names of a store still lead to the files that it has open.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::super::beside::beside;
use super::file_id::FileId;

/// The files of an open store, and the names by which everybody else finds them.
#[derive(Debug)]
pub(super) struct Names {
    /// The path that was given, made absolute; its links may be changed.
    given: PathBuf,
    database: FileId,
    pub log: Option<Named>,
    pub index: Option<Named>,
}

/// A file beside the database.
#[derive(Debug)]
pub(super) struct Named {
    pub path: PathBuf,
    pub id: FileId,
}

/// What is wrong with the names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The name of the database leads elsewhere.
    DatabaseGone(String),
    /// The log or its index was deleted, and its name is free, or an empty log has it: one that SQLite made for somebody
    /// who only read.
    LogGone(String),
    /// The log or its index was replaced.
    LogReplaced(String),
    /// The database has several names.
    SeveralNames(u64),
}

impl Names {
    /// Remembers where the names lead now. `resolved` is the path beside which SQLite keeps its files. `None` where the
    /// system does not tell files apart.
    pub fn now(given: &Path, resolved: &Path, database: FileId) -> Option<Self> {
        let named = |suffix| {
            let path = beside(resolved, suffix);
            let id = FileId::of(&path).ok()??;
            Some(Named { path, id })
        };
        let given = std::path::absolute(given).ok()?;
        Some(Self { given, database, log: named("-wal"), index: named("-shm") })
    }

    /// Looks where the names lead.
    pub fn check(&self) -> Result<(), Finding> {
        match std::fs::metadata(&self.given) {
            Ok(found) if FileId::in_metadata(&found) != Some(self.database) => {
                return Err(Finding::DatabaseGone("another file has its name now".into()));
            }
            Ok(found) if links(&found) > 1 => return Err(Finding::SeveralNames(links(&found))),
            Err(error) if is_absence(error.kind()) => {
                return Err(Finding::DatabaseGone("its file was deleted or renamed".into()));
            }
            // A folder that may not be searched any more, or a disk that fails, says nothing about names.
            Ok(_) | Err(_) => {}
        }
        let log = self.log.as_ref().and_then(|log| log.finding("its write-ahead log"));
        let index = self.index.as_ref().and_then(|index| index.finding("the index of its write-ahead log"));
        // Where one of them was replaced, somebody uses other files, and nothing may be done to these.
        let (replaced, gone): (Vec<_>, Vec<_>) =
            log.into_iter().chain(index).partition(|finding| matches!(finding, Finding::LogReplaced(_)));
        replaced.into_iter().chain(gone).next().map_or(Ok(()), Err)
    }
}

impl Named {
    /// What is wrong with its name. `what` says what it is.
    fn finding(&self, what: &str) -> Option<Finding> {
        let path = self.path.display();
        let deleted = || Some(Finding::LogGone(format!("{what}, {path}, was deleted")));
        match std::fs::metadata(&self.path) {
            Ok(found) if FileId::in_metadata(&found) == Some(self.id) => None,
            Ok(found) if found.len() == 0 => deleted(),
            Ok(_) => Some(Finding::LogReplaced(format!("{what}, {path}, was replaced"))),
            Err(error) if is_absence(error.kind()) => deleted(),
            Err(_) => None,
        }
    }

    /// Deletes the file, unless the name leads to another one now.
    pub fn delete(&self) -> std::io::Result<()> {
        match FileId::of(&self.path) {
            Ok(found) if found == Some(self.id) => std::fs::remove_file(&self.path),
            _ => Ok(()),
        }
    }
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(unix)]
fn links(found: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(found)
}

#[cfg(not(unix))]
fn links(_found: &std::fs::Metadata) -> u64 {
    1
}
