//! What other users have planted where everybody may create files.
//!
//! In a folder such as `/tmp`, anybody can give a link the name that larder is about to write to. Linux itself follows
//! no such link for another user, but only where the system follows it: SQLite and larder resolve links by themselves.

use std::io;
use std::path::Path;

/// Refuses a path that leads through another user's link in a folder where everybody may create files.
#[cfg(unix)]
pub fn refuse_links(path: &Path) -> io::Result<()> {
    use std::collections::VecDeque;
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Component, PathBuf};

    /// How many links are followed, as Linux does.
    const LINKS_MAX: usize = 40;

    fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
        path.components().map(|part| part.as_os_str().to_owned())
    }

    let mut rest: VecDeque<OsString> = names(path).collect();
    let mut folder = PathBuf::from(".");
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        let place = folder.join(&name);
        if matches!(Path::new(&name).components().next(), Some(Component::RootDir | Component::ParentDir)) {
            folder = place;
            continue;
        }
        // What does not exist leads nowhere.
        let Ok(found) = fs::symlink_metadata(&place) else { return Ok(()) };
        if !found.is_symlink() {
            folder = place;
            continue;
        }
        links += 1;
        if links > LINKS_MAX {
            return Err(io::Error::other("there are too many symbolic links in the path"));
        }
        if is_of_others(&folder, found.uid()) {
            let reason = format!(
                "{} is a link of another user, in a folder that everybody may write to",
                place.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        let Ok(target) = fs::read_link(&place) else { return Ok(()) };
        for name in names(&target).rev() {
            rest.push_front(name);
        }
    }
    Ok(())
}

/// Elsewhere it takes a privilege to create a link.
#[cfg(not(unix))]
pub fn refuse_links(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Refuses files of another user beside one that this user, or that file's owner, is to use alone.
#[cfg(unix)]
pub(crate) fn refuse_beside(path: &Path, beside: &[std::path::PathBuf]) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    let owner = std::fs::metadata(path).map(|found| found.uid());
    for place in beside {
        let Ok(found) = std::fs::symlink_metadata(place) else { continue };
        if owner.as_ref().is_ok_and(|owner| *owner == found.uid()) {
            continue;
        }
        if is_of_others(place.parent().unwrap_or(Path::new("/")), found.uid()) {
            let reason = format!(
                "{} is a file of another user, in a folder that everybody may write to",
                place.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
    }
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn refuse_beside(_path: &Path, _beside: &[std::path::PathBuf]) -> io::Result<()> {
    Ok(())
}

/// Whether what belongs to a user was put into a folder by somebody who is neither this user nor the folder's owner,
/// where everybody may.
#[cfg(unix)]
fn is_of_others(folder: &Path, user: u32) -> bool {
    use std::os::unix::fs::MetadataExt;

    const EVERYBODY_ALONE: u32 = 0o1002;
    std::fs::metadata(folder).is_ok_and(|found| {
        found.mode() & EVERYBODY_ALONE == EVERYBODY_ALONE
            && user != found.uid()
            && user != rustix::process::geteuid().as_raw()
    })
}
