//! The files of the store that a command is about, which must not be written to as files.
//!
//! They are only looked at from outside: to open one by hand, and close it again, would drop the locks that
//! this process has on it.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use larder::Store;

use crate::failure::Failure;
use crate::links;

/// What SQLite adds to the name of a database for the files that it keeps beside it.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// The files of a store: the database, and what SQLite keeps beside it.
pub struct StoreFiles {
    location: String,
    paths: Vec<PathBuf>,
}

impl StoreFiles {
    /// Those of the store that a location names; none where it is no file.
    pub fn of(location: &str) -> Self {
        // What the location is no good for is said when it is opened.
        let database = Store::file_of(location).ok().flatten();
        let database = database.map(|path| links::followed(&path).unwrap_or(path));
        let beside = |database: PathBuf| {
            SUFFIXES.map(|suffix| {
                let mut path = database.clone().into_os_string();
                path.push(suffix);
                PathBuf::from(path)
            })
        };
        let paths = database.map(beside).map(Vec::from).unwrap_or_default();
        Self { location: location.to_owned(), paths }
    }

    /// Refuses a file of the store, by whichever name, that a command would write to, or read by hand.
    pub fn refuse(&self, path: &Path) -> Result<(), Failure> {
        if self.include(path) {
            return Err(Failure::Refused(format!(
                "{} is a part of the store {}, which was left as it is",
                path.display(),
                self.location
            ))
            .advise("Name another file."));
        }
        Ok(())
    }

    /// Refuses a file of the store as standard output or standard error.
    pub fn refuse_as_output(&self) -> Result<(), Failure> {
        for (name, stream) in output_streams() {
            if self.paths.iter().any(|path| is_same(path, &stream)) {
                return Err(Failure::Refused(format!(
                    "{name} goes to a part of the store {}",
                    self.location
                ))
                .advise("Send it to another file."));
            }
        }
        Ok(())
    }

    fn include(&self, path: &Path) -> bool {
        let path = links::followed(path).unwrap_or_else(|_| path.to_owned());
        match fs::metadata(&path) {
            Ok(found) => self.paths.iter().any(|own| is_same(own, &Identity::of(&found, &path))),
            // It is not there yet, and neither is its like of the store.
            Err(_) => self.paths.iter().any(|own| {
                own.file_name() == path.file_name()
                    && fs::metadata(links::folder_of(&path)).is_ok_and(|folder| {
                        is_same(links::folder_of(own), &Identity::of(&folder, links::folder_of(&path)))
                    })
            }),
        }
    }
}

/// What tells a file from every other.
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
