//! A file that appears complete, under a name that was free, or not at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::data::{Error, Result};

/// What SQLite adds to the name of a database for the files that it keeps beside it.
const SUFFIXES: [&str; 3] = ["-journal", "-wal", "-shm"];

/// Tells the unfinished files of this process apart. Relaxed: it guards no data.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A new file that is still being written, under a name of its own beside the one that it is to have.
/// Dropped, it is removed.
pub(crate) struct NewFile {
    unfinished: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Creates an empty file in the folder of `target`, where nothing may be yet.
    pub fn begin(target: &Path) -> Result<Self> {
        let refused = |reason: String, advice: &'static str| Error::Denied {
            path: target.to_owned(),
            reason,
            advice: advice.into(),
        };
        let Some(name) = target.file_name() else {
            return Err(refused("that names no file".into(), "Name a file."));
        };
        if fs::symlink_metadata(target).is_ok() {
            return Err(Error::AlreadyExists { path: target.to_owned() });
        }
        let folder = folder_of(target);
        if !folder.is_dir() {
            let reason = format!("the folder {} does not exist", folder.display());
            return Err(refused(reason, "Create the folder first."));
        }
        let belongs_to_a_database = |suffix: &str| {
            let database = name.to_str().and_then(|name| name.strip_suffix(suffix));
            database.is_some_and(|name| !name.is_empty() && target.with_file_name(name).exists())
        };
        if let Some(suffix) = SUFFIXES.into_iter().find(|suffix| belongs_to_a_database(suffix)) {
            let reason = format!(
                "SQLite would take a file whose name ends with {suffix} for a part of the database beside it"
            );
            return Err(refused(reason, "Choose another name."));
        }
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let unfinished = folder.join(format!(".larder-{}-{number}.unfinished", std::process::id()));
            match File::create_new(&unfinished) {
                Ok(_) => return Ok(Self { unfinished, target: target.to_owned() }),
                // Left behind by a process that had the same number and was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) if is_lack_of_room(&error) => return Err(failed(target, error)),
                Err(error) => {
                    return Err(refused(error.to_string(), "Check the permissions of its folder."));
                }
            }
        }
    }

    /// Where to write the content.
    pub fn path(&self) -> &Path {
        &self.unfinished
    }

    /// Gives the file its name, once all of it is on the disk.
    pub fn publish(self) -> Result<()> {
        // Opened to write, although nothing is written: Windows does not sync a file that is only read.
        let published = File::options().write(true).open(&self.unfinished).and_then(|file| {
            file.sync_all()?;
            drop(file);
            name_without_replacing(&self.unfinished, &self.target)?;
            sync_folder(folder_of(&self.target))
        });
        published.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Error::AlreadyExists { path: self.target.clone() },
            _ => failed(&self.target, error),
        })
    }

    /// Names the target in an error of the store that writes this file. The error itself names the unfinished file,
    /// which the caller does not know.
    pub fn blame(&self, error: Error) -> Error {
        let unfinished = self.unfinished.display().to_string();
        match error {
            Error::Full { location, source, .. }
            | Error::Storage { location, source }
            | Error::WritesStopped { location, source }
                if location == unfinished =>
            {
                Error::BackupFailed { path: self.target.clone(), source }
            }
            error => error,
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // A file that does not exist needs no removing.
        let _ = fs::remove_file(&self.unfinished);
        for suffix in SUFFIXES {
            let mut beside = self.unfinished.as_os_str().to_owned();
            beside.push(suffix);
            let _ = fs::remove_file(beside);
        }
    }
}

fn failed(target: &Path, error: io::Error) -> Error {
    Error::BackupFailed { path: target.to_owned(), source: Arc::new(error) }
}

fn is_lack_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a file another name, unless there is something of that name: by a rename that does not replace,
/// by a link, or by reserving the name first. No file system has all three, and each has one.
fn name_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match rename_without_replacing(from, to) {
        Err(error) if error.kind() == ErrorKind::Unsupported => link_or_reserve(from, to),
        done => done,
    }
}

fn link_or_reserve(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        // FAT, exFAT and some network file systems have no links.
        Err(_) => reserve_and_rename(from, to),
    }
}

fn reserve_and_rename(from: &Path, to: &Path) -> io::Result<()> {
    drop(File::create_new(to)?);
    fs::rename(from, to).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(|error| match error {
        // The file system, or the kernel, does not know the flag.
        Errno::INVAL | Errno::NOSYS | Errno::NOTSUP => ErrorKind::Unsupported.into(),
        error => error.into(),
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_without_replacing(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Naming = fn(&Path, &Path) -> io::Result<()>;

    #[test]
    fn a_new_file_never_replaces_another_by_whichever_way_it_gets_its_name() {
        let ways: [Naming; 4] =
            [name_without_replacing, rename_without_replacing, link_or_reserve, reserve_and_rename];
        for (number, way) in ways.into_iter().enumerate() {
            let folder = tempfile::tempdir().unwrap();
            let (from, to) = (folder.path().join("from"), folder.path().join("to"));
            fs::write(&from, "new").unwrap();
            match way(&from, &to) {
                Err(error) if number == 1 && error.kind() == ErrorKind::Unsupported => continue,
                named => named.unwrap(),
            }
            assert_eq!(
                (fs::read_to_string(&to).unwrap().as_str(), from.exists()),
                ("new", false),
                "{number}"
            );
            fs::write(&from, "newer").unwrap();
            assert_eq!(way(&from, &to).unwrap_err().kind(), ErrorKind::AlreadyExists, "{number}");
            assert_eq!(fs::read_to_string(&to).unwrap(), "new", "{number}");
            assert_eq!(fs::read_to_string(&from).unwrap(), "newer", "{number}");
        }
    }

    #[test]
    fn a_file_that_was_given_up_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let new = NewFile::begin(&folder.path().join("new.db")).unwrap();
        fs::write(format!("{}-journal", new.path().display()), "").unwrap();
        drop(new);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_that_belongs_to_a_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("app.db"), "").unwrap();
        for name in ["app.db-journal", "app.db-wal", "app.db-shm"] {
            let refused = NewFile::begin(&folder.path().join(name)).err();
            assert!(matches!(refused, Some(Error::Denied { .. })), "{name}: {refused:?}");
        }
        for name in ["other.db-wal", "-wal"] {
            NewFile::begin(&folder.path().join(name)).unwrap();
        }
    }
}
