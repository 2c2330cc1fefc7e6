//! The files that SQLite keeps beside a database.

use std::path::{Path, PathBuf};

/// The name of the file beside `file`: `-wal` is its write-ahead log, `-shm` its shared memory.
pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
