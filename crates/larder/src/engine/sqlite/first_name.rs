//! Gives a finished file a name that no file has.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Result};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::beside::beside;
use super::guard::FileId;
use crate::engine::NewFile;
use crate::engine::new_file::name_without_replacing;

/// How long, in milliseconds, another process may take to remove what was left behind.
const PATIENCE_MS: u32 = 5000;

/// Gives the file its name, unless something has that. What is left beside the name, of a database that is gone, goes
/// first: SQLite would take it for a part of this file. The file must be on the disk; the name is once the folder is.
pub(super) fn take_name(new: &NewFile, target: &Path) -> Result<()> {
    for suffix in ["-journal", "-wal"] {
        let left = beside(target, suffix);
        remove_left(&left, target).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => error,
            kind => io::Error::new(kind, format!("{} cannot be removed: {error}", left.display())),
        })?;
    }
    name_without_replacing(new.path(), target)
}

/// Removes a journal or a log whose database is gone.
///
/// Another process may do the same, take the name, and begin a log of its own. So the file is locked before its name is
/// looked at again: the name that leads to a locked file leads to no other until the lock is released.
fn remove_left(left: &Path, database: &Path) -> Result<()> {
    let Some(found) = unless_absent(fs::symlink_metadata(left))? else { return Ok(()) };
    if !found.is_file() {
        // To open a pipe takes until somebody writes to it.
        return Err(io::Error::other("it is not a file"));
    }
    let Some(file) = unless_absent(File::open(left))? else { return Ok(()) };
    // What belongs to a database that has its name was begun after this.
    if fs::symlink_metadata(database).is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    lock(&file)?;
    match unless_absent(FileId::of(left))? {
        Some(found) if found == FileId::in_metadata(&file.metadata()?) => fs::remove_file(left),
        _ => Ok(()),
    }
}

fn unless_absent<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn lock(file: &File) -> Result<()> {
    for _ in 0..PATIENCE_MS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            // Not every file system has locks. Then this is as safe as it was without one.
            Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => return Err(error),
            Ok(()) | Err(_) => return Ok(()),
        }
    }
    Err(ErrorKind::WouldBlock.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_database_that_is_gone_has_left_is_removed_and_what_another_has_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (database, log) = (folder.path().join("app.db"), folder.path().join("app.db-wal"));
        remove_left(&log, &database).unwrap();
        fs::write(&log, "left").unwrap();
        remove_left(&log, &database).unwrap();
        assert!(!log.exists());
        fs::write(&database, "made meanwhile").unwrap();
        fs::write(&log, "its log").unwrap();
        assert_eq!(remove_left(&log, &database).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&log).unwrap(), b"its log");
    }

    #[test]
    fn a_folder_in_the_place_of_a_log_is_refused_by_its_name_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("app.db");
        fs::create_dir(beside(&database, "-wal")).unwrap();
        let new = NewFile::begin(&database).unwrap();
        let refused = take_name(&new, &database).unwrap_err().to_string();
        assert!(refused.contains("app.db-wal cannot be removed: it is not a file"), "{refused}");
        assert!(!database.exists());
    }

    /// Of several processes that find the same old log, one may have taken the name and begun a new log before another
    /// comes to remove the old one.
    #[test]
    fn a_log_that_was_begun_meanwhile_is_not_taken_for_the_old_one() {
        for _ in 0..200 {
            let folder = tempfile::tempdir().unwrap();
            let (database, log) = (folder.path().join("app.db"), folder.path().join("app.db-wal"));
            fs::write(&log, "old").unwrap();
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let new = NewFile::begin_over(&database).unwrap();
                        match take_name(&new, &database) {
                            Ok(()) => fs::write(&log, "new").unwrap(),
                            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
                        }
                    });
                }
            });
            assert_eq!(fs::read(&log).unwrap(), b"new");
        }
    }
}
