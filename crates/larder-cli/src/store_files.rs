//! The files of a store, which commands must not overwrite.
//!
//! This module never opens them: closing a file again would drop the locks that this process has on it.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use larder::{Location, Store};

use crate::failure::Failure;
use crate::links;

/// The suffixes of the database file and the files that SQLite keeps beside it.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The files of a store: the database and those that SQLite keeps beside it.
pub struct StoreFiles {
    location: String,
    paths: Vec<PathBuf>,
}

impl StoreFiles {
    /// Returns the files of the store at `location`; none if it is not a file.
    pub fn of(location: &Location) -> Self {
        // Opening the store reports an invalid location.
        let database = Store::file_of(location).ok().flatten();
        let database = database.map(|path| links::resolve(&path).unwrap_or(path));
        let beside = |database: PathBuf| {
            SUFFIXES.map(|suffix| {
                let mut path = database.clone().into_os_string();
                path.push(suffix);
                PathBuf::from(path)
            })
        };
        let paths = database.map(beside).map(Vec::from).unwrap_or_default();
        Self { location: location.to_string(), paths }
    }

    /// Returns whether `location` names the same database, by any name.
    pub fn are_of(&self, location: &Location) -> bool {
        let database = |files: &Self| files.paths.first().cloned();
        let (Some(own), Some(other)) = (database(self), database(&Self::of(location))) else { return false };
        fs::metadata(&other).is_ok_and(|found| is_same(&own, &Identity::of(&found, &other)))
    }

    /// Returns an error if `path`, by any name, is a file of the store.
    pub fn refuse(&self, path: &Path) -> Result<(), Failure> {
        if self.include(path) {
            return Err(Failure::Refused(format!(
                "{} is part of the store {}, which was left as it is",
                path.display(),
                self.location
            ))
            .advise("Name another file."));
        }
        Ok(())
    }

    /// Returns an error if standard output or standard error is a file of the store.
    pub fn refuse_as_output(&self) -> Result<(), Failure> {
        for (name, stream) in output_streams() {
            if self.paths.iter().any(|path| is_same(path, &stream)) {
                return Err(Failure::Refused(format!(
                    "{name} is redirected to a file of the store {}",
                    self.location
                ))
                .advise("Redirect it to another file."));
            }
        }
        Ok(())
    }

    fn include(&self, path: &Path) -> bool {
        let path = links::resolve(path).unwrap_or_else(|_| path.to_owned());
        match fs::metadata(&path) {
            Ok(found) => self.paths.iter().any(|own| is_same(own, &Identity::of(&found, &path))),
            // The path does not exist yet, but may be where SQLite will create one of its files.
            Err(_) => self.paths.iter().any(|own| {
                own.file_name() == path.file_name()
                    && fs::metadata(links::folder_of(&path)).is_ok_and(|folder| {
                        is_same(links::folder_of(own), &Identity::of(&folder, links::folder_of(&path)))
                    })
            }),
        }
    }
}

/// What identifies a file, whatever its name.
#[derive(PartialEq, Eq)]
struct Identity {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
    #[cfg(not(unix))]
    path: Option<PathBuf>,
}

impl Identity {
    #[cfg(unix)]
    fn of(file: &Metadata, _path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device_and_inode: (file.dev(), file.ino()) }
    }

    #[cfg(not(unix))]
    fn of(_file: &Metadata, path: &Path) -> Self {
        Self { path: fs::canonicalize(path).ok() }
    }
}

fn is_same(path: &Path, other: &Identity) -> bool {
    fs::metadata(path).is_ok_and(|found| Identity::of(&found, path) == *other)
}

#[cfg(unix)]
#[allow(clippy::unnecessary_cast, reason = "these numbers have other types on other systems")]
fn output_streams() -> Vec<(&'static str, Identity)> {
    let identity = |stream: rustix::fs::Stat| Identity {
        device_and_inode: (stream.st_dev as u64, stream.st_ino as u64),
    };
    [
        ("standard output", rustix::fs::fstat(std::io::stdout())),
        ("standard error", rustix::fs::fstat(std::io::stderr())),
    ]
    .into_iter()
    .filter_map(|(name, stream)| Some((name, identity(stream.ok()?))))
    .collect()
}

#[cfg(not(unix))]
fn output_streams() -> Vec<(&'static str, Identity)> {
    Vec::new()
}
