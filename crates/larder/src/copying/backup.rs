//! Writing a copy of a store to a new file.

use std::path::Path;

use crate::data::Result;
use crate::engine::NewFile;
use crate::store::Store;

impl Store {
    /// Writes a copy of the store as it is now to a new file, while others read and write on. The
    /// copy is a store like any other, with the same revisions, quotas and change log. Of a store on an etcd
    /// cluster it is a SQLite file with the entries and quotas, whose revisions and change log begin anew.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) where there is a file of that name,
    /// [`Error::Denied`](crate::Error::Denied) where none can be made,
    /// [`Error::BackupFailed`](crate::Error::BackupFailed) where it cannot be written to the end, and as any read. Nothing is left behind then.
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        match self.shared().engine()?.backup_to(path.as_ref()) {
            Some(copied) => copied.wait(),
            None => self.copy_to_file(path.as_ref()),
        }
    }

    /// Copies every entry into a new file.
    fn copy_to_file(&self, path: &Path) -> Result<()> {
        let new = NewFile::begin(path)?;
        let copy = Store::options().expiry_timer(false).open(new.path()).map_err(|error| new.blame(error))?;
        self.copy_to(&copy).and_then(|_| copy.close()).map_err(|error| new.blame(error))?;
        new.publish()
    }
}
