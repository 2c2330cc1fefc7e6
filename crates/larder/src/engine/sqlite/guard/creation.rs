//! Creates the file of a store, readable by nobody else from its first moment.
//!
//! SQLite would create it with the permissions that the umask leaves, usually readable by all. It gives its log and its
//! shared memory the permissions of the file.

use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// How many symbolic links are followed, as Linux does.
const LINKS_MAX: usize = 40;

/// Creates an empty file, unless there is one already. `for_group` also lets the file's group read and write it.
pub(crate) fn create(path: &Path, for_group: bool) -> Result<()> {
    match create_new(&behind_links(path)?, for_group) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}

/// Where a path leads that may end at a link to nothing: a file that may not exist yet cannot be created through it.
fn behind_links(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(Error::other("there are too many symbolic links in the path"))
}

#[cfg(unix)]
fn create_new(path: &Path, for_group: bool) -> Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

    // Nobody can have a lock on a new file, so closing it drops none.
    let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(path)?;
    if for_group {
        // Not with `mode` above, of which the umask takes something away.
        file.set_permissions(std::fs::Permissions::from_mode(0o660))?;
    }
    Ok(())
}

/// Here permissions are inherited from the folder.
#[cfg(not(unix))]
fn create_new(path: &Path, _for_group: bool) -> Result<()> {
    std::fs::File::create_new(path).map(drop)
}
