//! Where a path leads to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many links may lead to one another. Linux stops as early.
const LINKS_MAX: usize = 40;

/// Where a path leads to if it is a link, whether or not there is anything.
pub fn followed(path: &Path) -> io::Result<PathBuf> {
    // Where there is something the system knows best: a name in /proc need not be one of a file.
    if fs::metadata(path).is_ok() {
        return Ok(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
    }
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            // It is no link, or not there.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("its links lead in a circle"))
}

/// The folder that a path is in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
