//! The permissions and the owner of a file that takes the place of another.

use std::path::Path;

#[cfg(unix)]
use crate::data::Error;
use crate::data::Result;

/// Gives a file the permissions and the owner of another.
#[cfg(unix)]
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, chown};

    let failed = |error: std::io::Error| Error::Denied {
        path: from.to_owned(),
        reason: format!("its permissions could not be given to the new file ({error})"),
        advice: "Do it as its owner, or as root.".into(),
    };
    let (old, new) = (fs::metadata(from).map_err(failed)?, fs::metadata(to).map_err(failed)?);
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        chown(to, Some(old.uid()), Some(old.gid())).map_err(|_| {
            let reason = "the new file would belong to another user or group".to_owned();
            Error::Denied { path: from.to_owned(), reason, advice: "Do it as its owner, or as root.".into() }
        })?;
    }
    fs::set_permissions(to, old.permissions()).map_err(failed)
}

/// Here permissions are inherited from the folder.
#[cfg(not(unix))]
pub(super) fn copy(_from: &Path, _to: &Path) -> Result<()> {
    Ok(())
}
