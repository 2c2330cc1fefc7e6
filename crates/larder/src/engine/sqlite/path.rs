//! What is wrong with a path that no store can be opened at, each with its own advice.

use std::fs::{self, File};
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::beside::beside;
use crate::data::{Error, Result};
use crate::engine::new_file::folder_of;

/// The longest suffix of the files that SQLite keeps beside a database.
const LONGEST_SUFFIX: &str = "-journal";

/// How many bytes SQLite takes for a full path, with the longest suffix: `MAX_PATHNAME` in its `os_unix.c`.
#[cfg(unix)]
const FULL_PATH_MAX: usize = 512;

pub(super) fn no_store(path: &Path, reason: impl Into<String>, advice: &'static str) -> Error {
    Error::NoStore { path: path.to_owned(), reason: reason.into(), advice: advice.into() }
}

/// How many files a store has open at least.
const FILES_OF_A_STORE: usize = 8;

/// How many symbolic links are followed, as Linux does.
const LINKS_MAX: usize = 40;

/// Where a path leads, links followed. The file need not exist.
pub(super) fn behind_links(path: &Path) -> std::io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(IoError::other("there are too many symbolic links in the path"))
}

/// The full path of an open file, as SQLite resolved it, links followed. rusqlite returns it only if it is UTF-8.
pub(super) fn resolved(connection: &Connection, path: &Path) -> Option<PathBuf> {
    let told = connection.path().filter(|path| !path.is_empty()).map(PathBuf::from);
    told.or_else(|| path.canonicalize().ok())
}

/// Refuses a path that SQLite could not open, or only in part: it would create the file and fail at its log.
pub(super) fn check(path: &Path) -> Result<()> {
    if path.is_relative() && std::env::current_dir().is_err() {
        let reason = "the path is relative, and the current folder was deleted";
        return Err(no_store(path, reason, "Change to a folder that exists, or give the full path."));
    }
    if is_too_long(&beside(path, LONGEST_SUFFIX)) {
        let reason =
            "the name is too long: SQLite keeps files beside it, whose names are up to 8 bytes longer";
        return Err(no_store(path, reason, "Choose a shorter name."));
    }
    #[cfg(unix)]
    if let Some(full) = full_path(path)
        && full.as_os_str().len() + LONGEST_SUFFIX.len() > FULL_PATH_MAX
    {
        let most = FULL_PATH_MAX - LONGEST_SUFFIX.len();
        let reason = format!("the full path has {} bytes, and SQLite takes {most}", full.as_os_str().len());
        return Err(no_store(path, reason, "Choose a shorter name, or a folder whose path is shorter."));
    }
    Ok(())
}

fn is_too_long(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::InvalidFilename)
}

#[cfg(unix)]
fn full_path(path: &Path) -> Option<PathBuf> {
    let in_folder = || Some(folder_of(path).canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(in_folder)
}

/// The error for a path that the system does not let in.
pub(super) fn denied(path: &Path, error: &IoError) -> Error {
    if error.kind() == ErrorKind::ReadOnlyFilesystem
        && let Some(known) = read_only_disk(path)
    {
        return known;
    }
    let advice = lack_of_files(error).unwrap_or("Check the permissions of the file and its folder.");
    Error::Denied { path: path.to_owned(), reason: error.to_string(), advice: advice.into() }
}

/// The error for a file that SQLite cannot write to.
pub(super) fn not_writable(path: &Path) -> Error {
    read_only_disk(path).unwrap_or_else(|| Error::Denied {
        path: path.to_owned(),
        reason: "the file may not be written".into(),
        advice: "Change its permissions, or open it with `read_only`.".into(),
    })
}

/// The error for a file on a disk that is mounted read-only.
#[cfg(unix)]
pub(super) fn read_only_disk(path: &Path) -> Option<Error> {
    use rustix::fs::StatVfsMountFlags;
    let disk = rustix::fs::statvfs(folder_of(path)).ok()?;
    disk.f_flag.contains(StatVfsMountFlags::RDONLY).then(|| Error::Denied {
        path: path.to_owned(),
        reason: "its file system is mounted read-only".into(),
        advice: "Mount it for writing, also to read: readers write to a file beside the store. Or copy the store to \
                 another disk."
            .into(),
    })
}

/// Other systems do not tell.
#[cfg(not(unix))]
pub(super) fn read_only_disk(_path: &Path) -> Option<Error> {
    None
}

/// The error for a file that SQLite cannot open, which does not say why.
pub(super) fn not_opened(path: &Path, said: &rusqlite::Error) -> Error {
    let is_gone = !path.exists();
    let gone =
        || is_gone.then(|| no_store(path, "the file was taken away while it was opened", "Check the path."));
    let known = check_for_files(path).err().or_else(gone).or_else(|| read_only_disk(path));
    known.unwrap_or_else(|| Error::Denied {
        path: path.to_owned(),
        reason: format!("SQLite says: {said}"),
        advice: "Check the permissions of the file and its folder.".into(),
    })
}

/// Fails if the system has no room for as many open files as a store needs.
pub(super) fn check_for_files(path: &Path) -> Result<()> {
    // The folder, not the file: closing that would drop the locks that this process may have on it.
    let opened: Result<Vec<_>, _> = (0..FILES_OF_A_STORE).map(|_| File::open(folder_of(path))).collect();
    match opened {
        Err(error) if lack_of_files(&error).is_some() => Err(denied(path, &error)),
        _ => Ok(()),
    }
}

/// What to do if the system has no room for another open file.
#[cfg(unix)]
fn lack_of_files(error: &IoError) -> Option<&'static str> {
    match error.raw_os_error() {
        Some(libc::EMFILE) => Some("Close files, or raise the limit of this process: `ulimit -n`."),
        Some(libc::ENFILE) => Some("Close files of other programs, or raise the limit of the system."),
        _ => None,
    }
}

#[cfg(not(unix))]
fn lack_of_files(_: &IoError) -> Option<&'static str> {
    None
}
