//! Writing a copy of a store to a new file.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::data::{Error, Result};
use crate::store::Store;

impl Store {
    /// Writes a copy of the store as it is now to a new file, while others read and write on. The
    /// copy is a store like any other, with the same revisions, quotas and change log. Of a store on an etcd
    /// cluster it is a SQLite file with the entries and quotas, whose revisions and change log begin anew.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) where there is a file of that name,
    /// [`Error::Denied`](crate::Error::Denied) where none can be made, and as any read. Nothing is left behind then.
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let (path, engine) = (path.as_ref(), self.shared().engine()?);
        check_target(path)?;
        match engine.backup_to(path) {
            Some(copied) => copied.wait(),
            None => self.copy_to_file(path),
        }
    }

    /// Copies every entry into a new file: complete under a name of its own first, then under the right
    /// one.
    fn copy_to_file(&self, path: &Path) -> Result<()> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".unfinished-{}", std::process::id()));
        let unfinished = Path::new(&unfinished);
        let copy = Store::options().expiry_timer(false).open(unfinished)?;
        let copied = self.copy_to(&copy).and_then(|_| copy.close());
        let published = copied.and_then(|()| {
            // Unlike a rename, a link does not replace what came into being meanwhile.
            fs::hard_link(unfinished, path).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.to_owned() },
                _ => Error::Denied {
                    path: path.to_owned(),
                    reason: error.to_string(),
                    advice: "Check the permissions of its folder.".into(),
                },
            })
        });
        drop(copy);
        let _ = fs::remove_file(unfinished);
        published
    }
}

/// Refuses to write a backup where a file is already, or where no folder is.
fn check_target(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        return Err(Error::AlreadyExists { path: path.to_owned() });
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::Denied {
            path: path.to_owned(),
            reason: format!("the folder {} does not exist", folder.display()),
            advice: "Create the folder first.".into(),
        });
    }
    Ok(())
}
