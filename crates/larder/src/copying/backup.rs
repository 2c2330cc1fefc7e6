//! Backups: a copy of a store in a new file.

use std::path::Path;
use std::sync::Arc;

use crate::data::Result;
use crate::engine::NewFile;
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
    /// [`Error::Denied`](crate::Error::Denied) if it cannot be created, [`Error::BackupFailed`](crate::Error::BackupFailed) if it cannot be written to the end, and as any
    /// read. Then no file is left behind.
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        match self.shared().engine()?.backup_to(path.as_ref()) {
            Some(copied) => copied.wait(),
            None => self.export_to(path.as_ref()),
        }
    }

    /// Copies every entry into a new file.
    fn export_to(&self, path: &Path) -> Result<()> {
        let new = NewFile::begin(path)?;
        // By the same clock: a copy leaves out what has expired by the clock of either side.
        let options = Store::options().clock(Arc::clone(&self.shared().clock)).expiry_timer(false);
        let copy = options.open(new.path()).map_err(|error| new.blame(error))?;
        let copied = self.copy_to(&copy).in_one_transaction().run().and_then(|_| copy.close());
        copied.map_err(|error| new.blame(error))?;
        new.publish()
    }
}
