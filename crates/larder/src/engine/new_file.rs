//! A file that appears complete under its name, or not at all.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::planted;
use crate::data::{Error, Result};

/// What SQLite adds to the name of a database for the files that it keeps beside it.
const SUFFIXES: [&str; 3] = ["-journal", "-wal", "-shm"];

/// How the name of an unfinished file begins, before the number of its process.
const MARK: &str = ".larder-";

/// How the name of an unfinished file ends.
const UNFINISHED: &str = ".unfinished";

/// A new file that is still being written, under a name of its own beside the one that it is to have.
/// Dropped, it is removed.
pub(crate) struct NewFile {
    unfinished: PathBuf,
    target: PathBuf,
}

impl NewFile {
    /// Creates an empty file in the folder of `target`, where nothing may be yet.
    pub fn begin(target: &Path) -> Result<Self> {
        if target.file_name().is_some() && fs::symlink_metadata(target).is_ok() {
            return Err(Error::AlreadyExists { path: target.to_owned() });
        }
        Self::begin_over(target)
    }

    /// As [`begin`](Self::begin), to replace what is there.
    pub fn begin_over(target: &Path) -> Result<Self> {
        let refused = |reason: String, advice: &'static str| Error::Denied {
            path: target.to_owned(),
            reason,
            advice: advice.into(),
        };
        let Some(name) = target.file_name() else {
            return Err(refused("that names no file".into(), "Name a file."));
        };
        let folder = folder_of(target);
        if !folder.is_dir() {
            let reason = format!("the folder {} does not exist", folder.display());
            return Err(refused(reason, "Create the folder first."));
        }
        if let Err(error) = planted::refuse_links(target) {
            return Err(refused(
                error.to_string(),
                "Name a file in another folder, or the file that is meant.",
            ));
        }
        let belongs_to_a_database = |suffix: &str| {
            without_suffix(name, suffix)
                .is_some_and(|name| !name.is_empty() && target.with_file_name(name).exists())
        };
        if let Some(suffix) = SUFFIXES.into_iter().find(|suffix| belongs_to_a_database(suffix)) {
            let reason = format!(
                "SQLite would take a file whose name ends with {suffix} for a part of the database beside it"
            );
            return Err(refused(reason, "Choose another name."));
        }
        loop {
            let name = format!("{MARK}{}-{}{UNFINISHED}", std::process::id(), unpredictable());
            let unfinished = folder.join(name);
            match create_private(&unfinished) {
                Ok(_) => return Ok(Self { unfinished, target: target.to_owned() }),
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

    /// Lets the file's group read and write it, too.
    #[cfg(unix)]
    pub fn share_with_group(&self) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&self.unfinished, fs::Permissions::from_mode(0o660))
            .map_err(|error| failed(&self.target, error))
    }

    #[cfg(not(unix))]
    pub fn share_with_group(&self) -> Result<()> {
        Ok(())
    }

    /// Removes what SQLite has left beside the file, once nobody has it open.
    pub fn remove_what_lies_beside(&self) {
        for suffix in SUFFIXES {
            let mut beside = self.unfinished.as_os_str().to_owned();
            beside.push(suffix);
            let _ = fs::remove_file(beside);
        }
    }

    /// The name that the file is to have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Waits until all of the file is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        // Opened to write, although nothing is written: Windows does not sync a file that is only read.
        File::options().write(true).open(&self.unfinished)?.sync_all()
    }

    /// Gives the file its name, once all of it is on the disk, and takes it from the file that has it.
    pub fn replace(self) -> Result<()> {
        let replaced = self.sync().and_then(|()| {
            fs::rename(&self.unfinished, &self.target)?;
            sync_folder(folder_of(&self.target))
        });
        replaced.map_err(|error| failed(&self.target, error))
    }

    /// Gives the file its name, once all of it is on the disk.
    pub fn publish(self) -> Result<()> {
        let published = self.sync().and_then(|()| {
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
            | Error::Unknown { location, source: Some(source), .. }
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
        self.remove_what_lies_beside();
    }
}

/// What nobody can guess: SQLite takes what lies beside a file, under its name and a suffix, for a part of it. The
/// standard library's hashes are keyed by the system's random numbers.
fn unpredictable() -> String {
    let hash = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", hash(), hash())
}

/// Creates a file that nobody else may read, from its first moment.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// How long nothing may have been written to a file that was left behind. Its process may run where this one cannot
/// see it, in another container.
const LEFT_AFTER: Duration = Duration::from_secs(3600);

/// The names of unfinished files in a folder whose processes have ended, where the system tells.
pub(crate) fn unfinished_by_ended_processes(folder: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let is_old = |file: &DirEntry| {
        let age = file.metadata().and_then(|found| found.modified()).map(|at| at.elapsed());
        matches!(age, Ok(Ok(age)) if age >= LEFT_AFTER)
    };
    let names = files.flatten().filter(is_old).filter_map(|file| file.file_name().into_string().ok());
    let mut left: Vec<String> = names.filter(|name| writer_of(name).is_some_and(has_ended)).collect();
    left.sort();
    left
}

/// The process that writes, or wrote, an unfinished file, by the file's name.
fn writer_of(name: &str) -> Option<u32> {
    name.strip_prefix(MARK)?.strip_suffix(UNFINISHED)?.split_once('-')?.0.parse().ok()
}

#[cfg(target_os = "linux")]
fn has_ended(process: u32) -> bool {
    let processes = Path::new("/proc");
    processes.join("self").exists() && !processes.join(process.to_string()).exists()
}

/// Without a way to ask that needs no permission, no process is taken for ended.
#[cfg(not(target_os = "linux"))]
fn has_ended(_process: u32) -> bool {
    false
}

fn failed(target: &Path, error: io::Error) -> Error {
    Error::BackupFailed { path: target.to_owned(), source: Arc::new(error) }
}

pub(super) fn is_lack_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
}

/// The name without `suffix`, if it ends with that.
#[cfg(unix)]
fn without_suffix<'a>(name: &'a OsStr, suffix: &str) -> Option<&'a OsStr> {
    use std::os::unix::ffi::OsStrExt;

    name.as_bytes().strip_suffix(suffix.as_bytes()).map(OsStr::from_bytes)
}

#[cfg(not(unix))]
fn without_suffix<'a>(name: &'a OsStr, suffix: &str) -> Option<&'a OsStr> {
    name.to_str()?.strip_suffix(suffix).map(OsStr::new)
}

/// The folder that a path is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a file another name, unless there is something of that name: by a rename that does not replace,
/// by a link, or by reserving the name first. No file system has all three, and each has one.
pub(super) fn name_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
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
    drop(create_private(to)?);
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
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
pub(super) fn sync_folder(_folder: &Path) -> io::Result<()> {
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
    fn the_names_of_unfinished_files_tell_their_process_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("new.db");
        let names: Vec<String> = (0..50)
            .map(|_| NewFile::begin(&target).unwrap())
            .map(|new| new.path().file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        for (index, name) in names.iter().enumerate() {
            assert_eq!(writer_of(name), Some(std::process::id()), "{name}");
            assert!(!names[..index].contains(name), "{name}");
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
