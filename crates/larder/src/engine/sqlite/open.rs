//! Opens a file, and makes it a larder store if it may become one.
//!
//! A refused file stays byte for byte as it was. Only SQLite opens it: opening and closing it by hand would drop the
//! locks that this process may hold on it.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::beside::beside;
use super::connection::prepare;
use super::foreign_log::{self, Examined};
use super::guard::{self, FileId, Guard, GuardedConnection};
use super::kind::{Kind, accept, has_log, identify, identify_again, refusal};
use super::own_rules::{open, read_only_flags};
use super::path::{self, no_store};
use super::raw_file::has_moved;
use super::store_file::StoreFile;
use super::{log_link, migrate, new_store, probe, schema, timeline, upgrade};
use crate::data::{Durability, Error, Result};
use crate::engine::new_file::folder_of;
use crate::engine::{Settings, planted};

/// How large the write-ahead log may stay after a checkpoint, in bytes.
pub(super) const WAL_BYTES_KEPT: i64 = 16 << 20;

/// How often a file is opened that is gone, or replaced, before it is open as a store.
const ATTEMPTS: u32 = 8;

/// Opens a file to write (or, with these settings, to read), and makes it a larder store. Fills in
/// where SQLite found it.
pub(super) fn file(path: &Path, settings: &Settings, place: &mut StoreFile) -> Result<GuardedConnection> {
    by_attempts(path, settings, |settings| attempt(path, settings, place).inspect_err(|_| place.release()))
}

/// Attempts to open a file until that succeeds, or fails for another reason than that the file was replaced: what an
/// attempt has seen is then partly of one file, partly of another.
fn by_attempts<T>(
    path: &Path,
    settings: &Settings,
    mut attempt: impl FnMut(&Settings) -> Result<T>,
) -> Result<T> {
    let present = || FileId::of(path).ok().flatten();
    let mut settings = settings.clone();
    for _ in 1..ATTEMPTS {
        let before = present();
        let attempted = attempt(&settings);
        if attempted.is_ok() || before.is_none() {
            return attempted;
        }
        let after = present();
        if after.is_none() || before == after {
            return attempted;
        }
        // What was there held something, so nothing is made anew where it is gone.
        settings.create = false;
    }
    attempt(&settings)
}

/// The same, once.
fn attempt(path: &Path, settings: &Settings, place: &mut StoreFile) -> Result<GuardedConnection> {
    let exists = look_at(path, settings)?;
    guard::admit(if exists { path } else { folder_of(path) }, path, settings)?;
    if !exists {
        new_store::make(path, place)?;
    }
    let examined = foreign_log::refuse(path, place)?;
    probe::refuse(path, settings, place)?;
    place.guard = Some(Guard::begin(path, &place.location)?);
    let connection = connect(path, settings, place)?;
    place.path = path::resolved(&connection, path);
    make_store(connection, path, settings, place, examined)
}

/// Fails if the file that a connection has open is no longer the one that its name leads to. Nobody would find what is
/// written to it, and the log beside the name belongs to another file.
pub(super) fn refuse_moved(connection: &Connection, place: &StoreFile) -> Result<()> {
    if !has_moved(connection) {
        return Ok(());
    }
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::error!(%error, "the log of a file that was replaced cannot be left alone");
    }
    let reason = "while it was opened, its file was deleted, renamed or replaced".into();
    Err(Error::Replaced { location: place.location.clone(), reason })
}

fn make_store(
    connection: Connection,
    path: &Path,
    settings: &Settings,
    place: &StoreFile,
    examined: Examined,
) -> Result<GuardedConnection> {
    // Refusing a file must not checkpoint a log that its owner left beside it.
    let keep_log =
        |keep| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(drop);
    let failure = |error| refusal(path, place, error);
    if has_log(place) {
        keep_log(true).map_err(failure)?;
    }
    if !settings.read_only && connection.is_readonly("main").map_err(failure)? {
        return Err(path::not_writable(path));
    }
    let accepted = identify(&connection, path, place).and_then(|kind| {
        accept(kind, path, settings)?;
        if examined == Examined::NotYet && kind == Kind::Larder {
            foreign_log::look_again(&connection, path, place)?;
        }
        Ok(kind)
    });
    // What lies beside the name of a file that has lost it belongs to another.
    let kind = accepted.or_else(|error| refuse_moved(&connection, place).and(Err(error)))?;
    let is_latest =
        || place.wait_for_lock(|| schema::version(&connection)).map(|version| version == schema::VERSION);
    if settings.read_only {
        refuse_moved(&connection, place)?;
        return place.open_guarded(|| prepare(&connection).map(|()| connection)).map_err(failure);
    }
    refuse_moved(&connection, place)?;
    if kind != Kind::Larder || !is_latest().map_err(failure)? {
        become_larder(kind, &connection, path, place)?;
    }
    place.wait_for_lock(|| set_up(&connection, settings)).map_err(failure)?;
    keep_log(false).map_err(failure)?;
    // Until here the store that is being opened keeps the guard's descriptors open.
    place.open_guarded(|| prepare(&connection).map(|()| connection)).map_err(failure)
}

const A_FILE_IN_THE_PATH: &str = "a part of the path is a file, not a folder";

/// Checks the path without opening anything; returns whether the file exists.
fn look_at(path: &Path, settings: &Settings) -> Result<bool> {
    if path.as_os_str().is_empty() {
        return Err(no_store(path, "the path is empty", "Name a file."));
    }
    path::check(path)?;
    planted::refuse_links(path).map_err(|error| path::denied(path, &error))?;
    let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    planted::refuse_beside(&file, &["-wal", "-shm", "-journal"].map(|suffix| beside(&file, suffix)))
        .map_err(|error| path::denied(path, &error))?;
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(no_store(path, "that is a folder", "Name a file in it.")),
        // SQLite takes a file of one byte for an empty one, and would overwrite it.
        Ok(found) if found.len() == 1 => Err(Error::NotADatabase { path: path.to_owned() }),
        // The log is beside the name, not the file: each name would get its own log, and one would lose the writes of
        // the other.
        Ok(found) if names(&found) > 1 => {
            Err(Error::SeveralNames { path: path.to_owned(), names: names(&found) })
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = folder_of(path);
            if !folder.exists() {
                let reason = format!("the folder {} does not exist", folder.display());
                Err(no_store(path, reason, "Create the folder first."))
            } else if !folder.is_dir() {
                Err(no_store(path, A_FILE_IN_THE_PATH, "Check the path."))
            } else if settings.read_only {
                let reason = "there is no such file, and a store opened read-only is not created";
                Err(no_store(path, reason, "Check the path."))
            } else if !settings.create {
                Err(no_store(
                    path,
                    "there is no such file",
                    "Check the path, or write something to it first.",
                ))
            } else {
                Ok(false)
            }
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(no_store(path, A_FILE_IN_THE_PATH, "Check the path."))
        }
        Err(error) => Err(path::denied(path, &error)),
    }
}

/// How many names a file has: one, and one more for each further hard link.
#[cfg(unix)]
fn names(file: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(file)
}

/// On other systems the standard library does not tell.
#[cfg(not(unix))]
fn names(_: &Metadata) -> u64 {
    1
}

fn connect(path: &Path, settings: &Settings, place: &StoreFile) -> Result<Connection> {
    let flags = if settings.read_only {
        read_only_flags()
    } else {
        // Where there was no file, a store was made. If it is gone, nothing is made in its place.
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
    };
    open(path, flags).map_err(|error| refusal(path, place, error))
}

/// Creates the schema, brings a go-store file's entries into it, or brings that of an earlier version up to date, in
/// one transaction.
fn become_larder(kind: Kind, connection: &Connection, path: &Path, place: &StoreFile) -> Result<()> {
    let failure = |error| refusal(path, place, error);
    // An upgrade touches no entry, so it need not read all of the file.
    if kind != Kind::Larder
        && let Some(damage) = place.wait_for_lock(|| migrate::damage(connection)).map_err(failure)?
    {
        return Err(Error::Damaged { location: place.location.clone(), detail: damage });
    }
    place.wait_for_lock(|| connection.execute_batch("BEGIN IMMEDIATE")).map_err(failure)?;
    let kind = refuse_moved(connection, place).and_then(|()| identify_again(connection, path, place));
    let result = kind.and_then(|kind| match kind {
        Kind::Larder => upgrade::upgrade(connection).map_err(failure),
        Kind::Empty => schema::create(connection, 0).and_then(|()| mark(connection, place)).map_err(failure),
        Kind::Dump(version) => schema::restore_numbers(connection, version)
            .and_then(|()| upgrade::upgrade(connection))
            .map_err(failure),
        Kind::GoStore(shape) => migrate::migrate(connection, shape, path, place)
            .and_then(|()| mark(connection, place).map_err(failure)),
    });
    let result =
        result.and_then(|()| place.wait_for_lock(|| connection.execute_batch("COMMIT")).map_err(failure));
    if result.is_err() && !connection.is_autocommit() {
        // The first error is reported; this one would say the same.
        let _ = connection.execute_batch("ROLLBACK");
    }
    result
}

/// Says in a new store which file it is, and how its log knows it.
fn mark(connection: &Connection, place: &StoreFile) -> rusqlite::Result<()> {
    place.path.as_deref().map_or(Ok(()), |file| timeline::record_birth(connection, file))?;
    log_link::rename(connection)
}

fn set_up(connection: &Connection, settings: &Settings) -> rusqlite::Result<()> {
    let mode = turn_log_on(connection)?;
    if mode != "wal" {
        let what = format!("this file system cannot share a write-ahead log (SQLite stays in {mode} mode)");
        return Err(rusqlite::Error::ToSqlConversionFailure(what.into()));
    }
    let synchronous = match settings.durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Returns the journal mode of the file, which is `wal` if SQLite could do it.
fn turn_log_on(connection: &Connection) -> rusqlite::Result<String> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query([])?;
    let mode = rows.next()?.map_or(Ok(String::new()), |row| row.get(0))?;
    // SQLite tells the mode before it commits the change. Only the step after the last row fails if that does.
    rows.next()?;
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a file, lets something happen to it, and makes it a store.
    fn made_after(path: &Path, happens: impl FnOnce()) -> Result<GuardedConnection> {
        let settings = Settings::default();
        let place = StoreFile::new(path.display().to_string(), &settings);
        let connection = connect(path, &settings, &place).unwrap();
        happens();
        make_store(connection, path, &settings, &place, Examined::Done)
    }

    #[test]
    fn no_store_is_made_of_a_file_that_somebody_has_removed_or_replaced_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let make = || std::fs::write(&path, b"").unwrap();
        make();
        made_after(&path, || {}).unwrap();
        std::fs::remove_file(&path).unwrap();
        make();
        let refused = made_after(&path, || std::fs::remove_file(&path).unwrap()).map(drop);
        assert!(matches!(refused, Err(Error::Replaced { .. })), "{refused:?}");
        assert!(!path.exists());
        make();
        let replace = || {
            std::fs::remove_file(&path).unwrap();
            make();
        };
        let refused = made_after(&path, replace).map(drop);
        assert!(matches!(refused, Err(Error::Replaced { .. })), "{refused:?}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    }

    /// Makes an empty file a store.
    fn make_new_store(path: &Path) {
        std::fs::write(path, b"").unwrap();
        made_after(path, || {}).unwrap();
    }

    /// Opens a file, and lets another store with a log take its name. Checks that the file is refused as replaced, and
    /// that the log stays as it is.
    fn check_that_a_replaced_file_is_refused(make: impl FnOnce(&Path)) {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("app.db"), folder.path().join("other.db"));
        make(&path);
        make_new_store(&other);
        let log = beside(&path, "-wal");
        let replace = || {
            std::fs::rename(&other, &path).unwrap();
            std::fs::write(&log, b"of the other file").unwrap();
        };
        let error = made_after(&path, replace).map(drop).unwrap_err();
        assert!(matches!(error, Error::Replaced { .. }), "{error:?}");
        assert_eq!(std::fs::read(&log).unwrap(), b"of the other file");
    }

    #[test]
    fn a_store_that_is_replaced_while_it_is_opened_is_refused_and_the_other_files_log_stays() {
        check_that_a_replaced_file_is_refused(make_new_store);
    }

    #[test]
    fn a_file_that_is_replaced_while_it_is_looked_at_is_not_called_damaged_and_the_other_files_log_stays() {
        let text = "no database, and longer than the header of one would be".repeat(20);
        check_that_a_replaced_file_is_refused(|path| std::fs::write(path, text).unwrap());
    }

    #[test]
    fn a_file_that_is_replaced_while_it_is_opened_is_opened_again_and_never_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("app.db"), folder.path().join("other.db"));
        std::fs::write(&path, b"1").unwrap();
        std::fs::write(&other, b"2").unwrap();
        let damaged = || Error::Damaged { location: "app.db".into(), detail: "half of each".into() };
        let mut creates = Vec::new();
        let opened = by_attempts(&path, &Settings::default(), |settings| {
            creates.push(settings.create);
            if std::fs::rename(&other, &path).is_ok() {
                return Err(damaged());
            }
            std::fs::read(&path).map_err(|error| path::denied(&path, &error))
        });
        assert_eq!((opened.unwrap(), creates), (b"2".to_vec(), vec![true, false]));
        let refused = by_attempts(&path, &Settings::default(), |_| Err::<(), _>(damaged()));
        assert!(matches!(refused, Err(Error::Damaged { .. })), "{refused:?}");
    }

    #[test]
    fn a_file_that_is_taken_away_while_it_is_opened_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        for settings in [Settings::default(), Settings { read_only: true, ..Settings::default() }] {
            let place = StoreFile::new(path.display().to_string(), &settings);
            let error = connect(&path, &settings, &place).map(drop).unwrap_err();
            assert!(matches!(error, Error::NoStore { .. }), "{error:?}");
            assert!(!path.exists());
        }
    }
}
