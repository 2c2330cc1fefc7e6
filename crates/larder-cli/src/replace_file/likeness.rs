//! What a file that replaces another takes over from it: owner, group, permissions, and the attributes in which
//! systems keep access lists and labels.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Makes one file like another, and returns what could not be made so.
#[cfg(unix)]
pub fn take_over(from: &Path, found: &Metadata, to: &File) -> io::Result<Vec<String>> {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let made = to.metadata()?;
    let mut mode = found.mode() & 0o7777;
    let mut lost = Vec::new();
    let (has_owner, has_group) = (made.uid() == found.uid(), made.gid() == found.gid());
    // The owner of a file may give it to another group of theirs, and only root to another owner.
    if !(has_owner && has_group) && fchown(to, Some(found.uid()), Some(found.gid())).is_err() {
        if !has_owner {
            lost.push("owner".into());
            mode &= !0o4000;
        }
        if !has_group && fchown(to, None, Some(found.gid())).is_err() {
            lost.push("group".into());
            // The members of another group get what everybody gets, and no more.
            mode &= !0o2000;
            mode &= !0o070 | (mode & 0o007) << 3;
        }
    }
    lost.extend(attributes::take_over(from, to)?);
    // Last, since a change of the owner, and one of an access list, changes permissions.
    to.set_permissions(Permissions::from_mode(mode))?;
    Ok(lost)
}

#[cfg(not(unix))]
pub fn take_over(_from: &Path, found: &Metadata, to: &File) -> io::Result<Vec<String>> {
    to.set_permissions(found.permissions())?;
    Ok(Vec::new())
}

#[cfg(unix)]
mod attributes {
    use std::ffi::OsString;
    use std::fs::File;
    use std::io;
    use std::path::Path;

    use xattr::FileExt;

    /// They speak of the content, which is another now.
    const OF_THE_CONTENT: [&str; 3] = ["security.capability", "security.evm", "security.ima"];

    pub fn take_over(from: &Path, to: &File) -> io::Result<Vec<String>> {
        let (Ok(wanted), Ok(made)) = (xattr::list(from), to.list_xattr()) else {
            // A file system without any, or one that does not tell.
            return Ok(Vec::new());
        };
        let wanted: Vec<OsString> =
            wanted.filter(|name| OF_THE_CONTENT.iter().all(|other| name != other)).collect();
        let mut lost = Vec::new();
        // A folder may give each new file in it an access list.
        for name in made.filter(|name| !wanted.contains(name)) {
            if to.remove_xattr(&name).is_err() {
                lost.push(named(&name));
            }
        }
        for name in wanted {
            let is_kept = match xattr::get(from, &name) {
                Ok(Some(value)) => {
                    to.get_xattr(&name).is_ok_and(|made| made.as_ref() == Some(&value))
                        || to.set_xattr(&name, &value).is_ok()
                }
                Ok(None) => true,
                Err(_) => false,
            };
            if !is_kept {
                lost.push(named(&name));
            }
        }
        Ok(lost)
    }

    fn named(name: &OsString) -> String {
        match name.to_str() {
            Some("system.posix_acl_access") => "access list".into(),
            _ => format!("attribute {}", name.to_string_lossy()),
        }
    }
}
