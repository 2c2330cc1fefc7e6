//! Makes a store where there is no file.
//!
//! The file gets its name last, once all of it is on the disk. So whatever ends the process, nobody finds half a store,
//! and no journal lies beside a file that is still empty: SQLite would delete it, also where it belongs to a store that
//! another process makes at that moment.

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, MAIN_DB};

use super::first_name::take_name;
use super::path::{behind_links, check_for_files, denied, read_only_disk};
use super::store_file::{StoreFile, full};
use super::{log_link, schema, timeline};
use crate::data::{Cause, Error, Result};
use crate::engine::NewFile;
use crate::engine::new_file::{folder_of, is_lack_of_room, sync_folder};
use crate::engine::sabotage::{Sabotage, is_planted};

/// Where the header of a database says how it is written and read: <https://sqlite.org/fileformat2.html>, section 1.3.3.
const VERSIONS: Range<usize> = 18..20;

/// The number that stands for a write-ahead log there.
const WITH_LOG: u8 = 2;

/// Makes an empty store, unless another process is faster.
pub(super) fn make(path: &Path, place: &StoreFile) -> Result<()> {
    check_for_files(path)?;
    let target = behind_links(path).map_err(|error| denied(path, &error))?;
    make_at(&target, place).map_err(|error| match error {
        Error::BackupFailed { source, .. } => not_made(place, source),
        Error::Denied { reason, advice, .. } => {
            let known = check_for_files(path).err().or_else(|| read_only_disk(path));
            known.unwrap_or_else(|| Error::Denied { path: path.to_owned(), reason, advice })
        }
        error => error,
    })
}

fn make_at(target: &Path, place: &StoreFile) -> Result<()> {
    let new = NewFile::begin_over(target)?;
    if place.group_access {
        new.share_with_group()?;
    }
    let image = image(new.path()).map_err(|error| place.failure(error))?;
    let named = fs::write(new.path(), image).and_then(|()| {
        if !is_planted(Sabotage::StoreNamedUnsynced) {
            new.sync()?;
        }
        take_name(&new, target)?;
        sync_folder(folder_of(target))
    });
    match named {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        named => named.map_err(|error| not_made(place, Arc::new(error))),
    }
}

fn not_made(place: &StoreFile, source: Cause) -> Error {
    let location = place.location.clone();
    if source.downcast_ref::<io::Error>().is_some_and(is_lack_of_room) {
        full(location, source)
    } else {
        Error::Storage { location, source }
    }
}

/// What an empty store in `file` has in it.
fn image(file: &Path) -> rusqlite::Result<Vec<u8>> {
    let mut connection = Connection::open_in_memory()?;
    let transaction = connection.transaction()?;
    schema::create(&transaction, 0)?;
    timeline::record_birth(&transaction, file)?;
    log_link::rename(&transaction)?;
    transaction.commit()?;
    let mut image = connection.serialize(MAIN_DB)?.to_vec();
    if let Some(versions) = image.get_mut(VERSIONS) {
        versions.fill(WITH_LOG);
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Settings;

    fn names_in(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn place(path: &Path) -> StoreFile {
        StoreFile::new(path.display().to_string(), &Settings::default())
    }

    #[test]
    fn a_new_store_is_complete_under_its_name_and_nothing_lies_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        make(&path, &place(&path)).unwrap();
        assert_eq!(names_in(folder.path()), ["app.db"]);
        let store = Connection::open(&path).unwrap();
        let mode: String = store.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        let sound: String = store.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
        assert_eq!((mode.as_str(), sound.as_str()), ("wal", "ok"));
        assert_eq!(schema::version(&store).unwrap(), schema::VERSION);
        assert!(log_link::read(&store).unwrap().is_some());
    }

    #[test]
    fn a_store_that_is_there_by_then_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        fs::write(&path, "of another process").unwrap();
        fs::write(folder.path().join("app.db-wal"), "its log").unwrap();
        make(&path, &place(&path)).unwrap();
        assert_eq!(names_in(folder.path()), ["app.db", "app.db-wal"]);
        assert_eq!(fs::read(&path).unwrap(), b"of another process");
        assert_eq!(fs::read(folder.path().join("app.db-wal")).unwrap(), b"its log");
    }

    #[test]
    fn a_store_whose_folder_is_gone_is_refused_by_the_path_that_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("app.db");
        let refused = make(&path, &place(&path)).unwrap_err();
        assert!(matches!(&refused, Error::Denied { path: named, .. } if *named == path), "{refused:?}");
    }
}
