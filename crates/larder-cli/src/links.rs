//! Resolves symbolic links.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The longest chain of links; Linux has the same limit.
const LINKS_MAX: usize = 40;

/// Resolves a path that may be a link to a file that does not exist.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    // If the target exists, the system resolves it: a link in /proc need not name a path.
    if fs::metadata(path).is_ok() {
        return Ok(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
    }
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(target) => path = folder_of(&path).join(target),
            // Not a link, or missing.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

/// Returns the folder that contains a path.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
