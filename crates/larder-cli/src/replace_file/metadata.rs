//! Copies owner, group, permissions and extended attributes (access lists, labels) to a replacement file.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// Copies the metadata of one file to another, and returns the names of what could not be copied.
#[cfg(unix)]
pub fn copy(from: &Path, found: &Metadata, to: &File) -> io::Result<Vec<String>> {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let made = to.metadata()?;
    let mut mode = found.mode() & 0o7777;
    let mut lost = Vec::new();
    if found.nlink() > 1 {
        // The other names keep the old content.
        lost.push("other names (hard links)".into());
    }
    let (has_owner, has_group) = (made.uid() == found.uid(), made.gid() == found.gid());
    // Only root may change the owner. The owner may change the group to another of their own groups.
    if !(has_owner && has_group) && fchown(to, Some(found.uid()), Some(found.gid())).is_err() {
        if !has_owner {
            lost.push("owner".into());
            mode &= !0o4000;
        }
        if !has_group && fchown(to, None, Some(found.gid())).is_err() {
            lost.push("group".into());
            // The file now belongs to another group, whose members get the permissions of everyone else.
            mode &= !0o2000;
            mode &= !0o070 | (mode & 0o007) << 3;
        }
    }
    lost.extend(attributes::copy(from, to)?);
    // Last, because changing the owner or an access list changes the permissions.
    to.set_permissions(Permissions::from_mode(mode))?;
    Ok(lost)
}

#[cfg(not(unix))]
pub fn copy(_from: &Path, found: &Metadata, to: &File) -> io::Result<Vec<String>> {
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

    /// Attributes that describe the old content, so they must not be copied.
    const OF_THE_CONTENT: [&str; 3] = ["security.capability", "security.evm", "security.ima"];

    pub fn copy(from: &Path, to: &File) -> io::Result<Vec<String>> {
        let (Ok(wanted), Ok(made)) = (xattr::list(from), to.list_xattr()) else {
            // The file system has no extended attributes, or does not list them.
            return Ok(Vec::new());
        };
        let wanted: Vec<OsString> =
            wanted.filter(|name| OF_THE_CONTENT.iter().all(|other| name != other)).collect();
        let mut lost = Vec::new();
        // The folder may have a default access list, which the new file got.
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
