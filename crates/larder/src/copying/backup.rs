//! Backups: a copy of a store in a new file.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::data::{Error, Result};
use crate::store::Store;

impl Store {
    /// Writes a copy of the store as it is now to a new SQLite file, while others read and write. The copy is a
    /// store like any other.
    ///
    /// The copy of a SQLite file has the same revisions, quotas and change log. The copy of a store on a cluster has
    /// its entries and quotas; its revisions and change log start anew.
    ///
    /// ```
    /// # use larder::Store;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("backup.db");
    /// # let store = Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// store.backup_to(&path)?; // e.g. "backup.db"
    /// assert_eq!(Store::open(&path)?.get("config", "colour")?.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) if the file exists,
    /// [`Error::NotFound`](crate::Error::NotFound) and [`Error::Denied`](crate::Error::Denied) if it cannot be
    /// created, and as any read. Then no file is left behind.
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        match self.shared().engine()?.backup_to(path.as_ref()) {
            Some(copied) => copied.wait(),
            None => self.export_to(path.as_ref()),
        }
    }

    /// Copies every entry into a new file. It gets its name once it is complete.
    fn export_to(&self, path: &Path) -> Result<()> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(Error::AlreadyExists { path: path.to_owned() });
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(format!(".unfinished-{}", std::process::id()));
        let unfinished = Path::new(&unfinished);
        let copy = Store::options().expiry_timer(false).open(unfinished)?;
        let copied = self.copy_to(&copy).in_one_transaction().run().and_then(|_| copy.close());
        let published = copied.and_then(|()| {
            // Unlike a rename, a link does not replace a file that was created meanwhile.
            fs::hard_link(unfinished, path).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => Error::AlreadyExists { path: path.to_owned() },
                _ => Error::Denied { path: path.to_owned(), reason: error.to_string() },
            })
        });
        drop(copy);
        let _ = fs::remove_file(unfinished);
        published
    }
}
