//! Replaces a store with a backup.
//!
//! The new file is complete, checked and on the disk under a name of its own before anything happens to the old one.
//! Then both exchange their names, at once. So whenever the process is killed, the store is the old one with all its
//! writes, or the new one, and another run does all of it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::beside::beside;
use super::connection::prepare;
use super::exclusive::Exclusive;
use super::first_name::take_name;
use super::foreign_log::{self, Examined};
use super::kind::{Kind, accept, has_log, identify, refusal};
use super::own_rules::open;
use super::path::{behind_links, denied};
use super::probe::immutable;
use super::store_file::StoreFile;
use super::{change_log, check, copy, permissions, schema};
use crate::data::{Error, Result, Revision};
use crate::engine::exchange::{exchange, keep};
use crate::engine::new_file::{folder_of, sync_folder};
use crate::engine::{NewFile, Settings, planted};

/// What to restore, and where.
pub(crate) struct Request<'a> {
    pub backup: &'a Path,
    pub target: &'a Path,
    /// Whether the old file stays, under another name.
    pub keeps_old: bool,
}

/// What was restored.
pub(crate) struct Done {
    pub identity: Arc<str>,
    pub revision: Revision,
    /// Where the old file is now.
    pub old: Option<PathBuf>,
}

/// How far a restore has come. Tests end the process there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Checked,
    Written,
    Folded,
    Exchanged,
    Cleared,
    Kept,
}

pub(crate) fn restore(request: &Request<'_>) -> Result<Done> {
    stepwise(request, |_| Ok(()))
}

fn stepwise(request: &Request<'_>, mut at: impl FnMut(Step) -> io::Result<()>) -> Result<Done> {
    planted::refuse_links(request.target).map_err(|error| denied(request.target, &error))?;
    let target = behind_links(request.target).map_err(|_| {
        refused(request.target, "there are too many symbolic links in the path", "Name the file itself.")
    })?;
    let (source, place) = open_backup(request.backup)?;
    if is_same_file(request.backup, &target) {
        return Err(refused(request.target, "the backup is the store itself", "Name another file."));
    }
    let old = take_old(request.target, &target)?;
    let new = NewFile::begin_over(&target).map_err(|error| blame(&target, error))?;
    let copied = copy::into_new_file(&source, &new, &place, |copy| refuse_damaged(copy, &place));
    let copy = copied.map_err(|error| blame(&target, error))?;
    drop(source);
    let failed = |error: io::Error| Error::RestoreFailed { path: target.clone(), source: Arc::new(error) };
    at(Step::Checked).map_err(failed)?;
    let failure = |error| place.failure(error);
    let identity = schema::identity(&copy).map_err(failure)?;
    let revision = change_log::commits(&copy).map_err(failure)?.revision;
    copy.close().map_err(|(_, error)| failure(error))?;
    new.remove_what_lies_beside();
    if old.is_some() {
        permissions::copy(&target, new.path())?;
    }
    new.sync().map_err(failed)?;
    at(Step::Written).map_err(failed)?;
    let old = match old {
        Some(old) => replace(old, new, &target, request.keeps_old, at),
        None => create(&new, &target),
    };
    let old = old.map_err(|failure| match failure {
        Failure::Before(error) if error.kind() == ErrorKind::AlreadyExists => {
            Error::AlreadyExists { path: target.clone() }
        }
        Failure::Before(error) => failed(error),
        Failure::After(reason, error) => Error::Unknown {
            location: request.target.display().to_string(),
            waited: Duration::ZERO,
            reason,
            source: Some(Arc::new(error)),
        },
    })?;
    Ok(Done { identity, revision, old })
}

/// Whether two paths lead to one file, by whatever names.
#[cfg(unix)]
fn is_same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    inode(one).is_some_and(|found| Some(found) == inode(other))
}

#[cfg(not(unix))]
fn is_same_file(one: &Path, other: &Path) -> bool {
    fs::canonicalize(one).is_ok_and(|found| fs::canonicalize(other).is_ok_and(|other| other == found))
}

/// Opens a backup to read it, without a trace where that is possible.
fn open_backup(path: &Path) -> Result<(Connection, StoreFile)> {
    let settings = Settings { read_only: true, timeout: Duration::from_secs(5), ..Settings::default() };
    let mut place = StoreFile::new(path.display().to_string(), &settings);
    let missing = |error: io::Error| {
        let advice = "Check the path.".into();
        Error::NoStore { path: path.to_owned(), reason: error.to_string(), advice }
    };
    let file = fs::canonicalize(path).map_err(missing)?;
    if file.is_dir() {
        return Err(missing(ErrorKind::IsADirectory.into()));
    }
    place.path = Some(file.clone());
    let failure = |error| refusal(path, &place, error);
    // With a log or a journal beside it, it is not a backup of larder's, but may be a store all the same.
    let connection = if has_log(&place) || beside(&file, "-journal").exists() {
        let examined = foreign_log::refuse(path, &place)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = open(&file, flags).map_err(failure)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failure)?;
        if examined == Examined::NotYet {
            foreign_log::look_again(&connection, path, &place)?;
        }
        connection
    } else {
        let denied = || missing(ErrorKind::PermissionDenied.into());
        immutable(&file).ok_or_else(denied)?
    };
    let kind = identify(&connection, path, &place)?;
    accept(kind, path, &settings)?;
    debug_assert_eq!(kind, Kind::Larder, "nothing else is accepted");
    Ok((connection, place))
}

/// Checks a copy of the backup, so that what is checked is what will be there.
fn refuse_damaged(copy: &Connection, backup: &StoreFile) -> Result<()> {
    let findings = prepare(copy).and_then(|()| check::check(copy, None));
    let findings = findings.map_err(|error| backup.failure(error))?;
    match findings.iter().find(|finding| finding.is_damage()) {
        None => Ok(()),
        Some(finding) => {
            Err(Error::Damaged { location: backup.location.clone(), detail: finding.to_string() })
        }
    }
}

/// Locks the store that is to be replaced; `None` where there is no file.
fn take_old(given: &Path, target: &Path) -> Result<Option<Exclusive>> {
    match fs::metadata(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Ok(found) if !found.is_file() => {
            return Err(refused(given, "it is not a file", "Name a file."));
        }
        Ok(_) => {}
        Err(error) => {
            return Err(Error::RestoreFailed { path: given.to_owned(), source: Arc::new(error) });
        }
    }
    let no_store =
        || refused(given, "it is not a larder store", "Name another file, or move this one away first.");
    let old = Exclusive::take(target).map_err(|error| match error {
        Error::NotADatabase { .. } => no_store(),
        error => error,
    })?;
    if old.is_store() { Ok(Some(old)) } else { Err(no_store()) }
}

/// Why the files could not be exchanged, or what went wrong once they were.
enum Failure {
    /// The store is as it was.
    Before(io::Error),
    /// The backup has its place, where others may use it already. What is not known, and why.
    After(String, io::Error),
}

impl Failure {
    fn unconfirmed(error: io::Error) -> Self {
        Self::After(
            format!("a backup was put in its place, which the system did not confirm ({error})"),
            error,
        )
    }
}

/// Gives the new file the name of a store that is not there.
fn create(new: &NewFile, target: &Path) -> std::result::Result<Option<PathBuf>, Failure> {
    take_name(new, target).map_err(Failure::Before)?;
    sync_folder(folder_of(target)).map_err(Failure::unconfirmed)?;
    Ok(None)
}

/// Exchanges the files. From then on the old one has the name of the unfinished file, with which it goes.
fn replace(
    old: Exclusive,
    new: NewFile,
    target: &Path,
    keeps_old: bool,
    mut at: impl FnMut(Step) -> io::Result<()>,
) -> std::result::Result<Option<PathBuf>, Failure> {
    let is_folded = old.fold().map_err(Failure::Before)?;
    at(Step::Folded).map_err(Failure::Before)?;
    // Windows does not rename a file that is open. Elsewhere the lock is held until all is done.
    let _old = if cfg!(unix) { Some(old) } else { None };
    // SQLite would roll back the new file by the journal of the old one.
    let journal = &["-journal"];
    move_beside(target, new.path(), journal).map_err(Failure::Before)?;
    if let Err(error) = exchange(new.path(), target) {
        // The first error says why.
        let _ = move_beside(new.path(), target, journal);
        return Err(Failure::Before(error));
    }
    let mut aside = new.path().to_owned();
    let settled = at(Step::Exchanged).and_then(|()| {
        if !is_folded {
            // Until then whoever opens the new file finds that the log is not its own. If it was folded, a log that lies
            // there now is that of the new file.
            if let Err(error) = move_beside(target, new.path(), &["-wal"]) {
                exchange(new.path(), target)?;
                return Ok(Err(error));
            }
            let _ = fs::remove_file(beside(target, "-shm"));
        }
        settle(&mut aside, target, keeps_old, at).map(Ok)
    });
    match settled {
        Ok(Ok(kept)) => Ok(kept),
        Ok(Err(error)) => Err(Failure::Before(error)),
        Err(error) => Err(match Failure::unconfirmed(error) {
            Failure::After(reason, error) if keeps_old => {
                // Its file stays, whatever its name is.
                std::mem::forget(new);
                Failure::After(format!("{reason}; the old file is {}", aside.display()), error)
            }
            failure => failure,
        }),
    }
}

/// Waits until the exchange of names is on the disk, and gives the old file the name that it is kept under.
fn settle(
    old: &mut PathBuf,
    target: &Path,
    keeps_old: bool,
    mut at: impl FnMut(Step) -> io::Result<()>,
) -> io::Result<Option<PathBuf>> {
    sync_folder(folder_of(target))?;
    at(Step::Cleared)?;
    if keeps_old {
        let kept = keep(old, target)?;
        let unfinished = std::mem::replace(old, kept);
        move_beside(&unfinished, old, &["-journal", "-wal"])?;
        sync_folder(folder_of(target))?;
    }
    at(Step::Kept)?;
    Ok(keeps_old.then(|| old.clone()))
}

/// Gives what lies beside one file its place beside another.
fn move_beside(from: &Path, to: &Path, suffixes: &[&str]) -> io::Result<()> {
    for suffix in suffixes {
        match fs::rename(beside(from, suffix), beside(to, suffix)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn refused(path: &Path, reason: &'static str, advice: &'static str) -> Error {
    Error::RestoreRefused { path: path.to_owned(), reason: reason.into(), advice: advice.into() }
}

/// Calls what could not be written by the name of the store.
fn blame(target: &Path, error: Error) -> Error {
    match error {
        Error::BackupFailed { source, .. } => Error::RestoreFailed { path: target.to_owned(), source },
        error => error,
    }
}

#[cfg(test)]
mod tests;
