use std::path::Path;
use std::time::Duration;

use crate::new_file::NewFile;
use crate::{CursorInfo, Result, Revision, Store};

/// Figures about a store: see [`Store::stats`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What tells this store from every other: made with it, at random, and copied with its file.
    pub identity: String,
    /// The latest commit.
    pub revision: Revision,
    /// How many keys there are.
    pub keys: u64,
    /// How many groups.
    pub groups: u64,
    /// How many namespaces hold something or have a quota.
    pub namespaces: u64,
    /// How many bytes all keys and values have.
    pub bytes: u64,
    /// How many bytes the file has, or the memory; on a cluster, the database of the member that was asked, with
    /// all that is in it.
    pub file_bytes: u64,
    /// How many bytes the file's write-ahead log has; 0 on a cluster.
    pub wal_bytes: u64,
    /// The oldest revision from which a watch can start.
    pub history_from: Revision,
    /// How many changes the change log holds; on a cluster, where they are of more than 10,000 commits, an
    /// estimate.
    pub history_changes: u64,
    /// How many bytes it counts for them.
    pub history_bytes: u64,
    /// The named cursors, sorted by name.
    pub cursors: Vec<CursorInfo>,
}

impl Store {
    /// Figures about the store.
    ///
    /// # Errors
    /// As any read.
    pub fn stats(&self) -> Result<Stats> {
        self.shared().engine()?.stats().wait()
    }

    /// Looks for damage, and returns a line for each thing that it finds; none is good news. It reads
    /// the whole file, counts everything again and holds it against the tallies.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert!(store.check()?.is_empty());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read. Damage that keeps it from looking further is [`Error::Damaged`](crate::Error::Damaged).
    pub fn check(&self) -> Result<Vec<String>> {
        self.shared().engine()?.check().wait()
    }

    /// Writes a copy of the store as it is now to a new file, while others read and write on. The
    /// copy is a store like any other, with the same revisions, quotas and change log. Of a store on an etcd
    /// cluster it is a SQLite file with the entries and quotas, whose revisions and change log begin anew.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`](crate::Error::AlreadyExists) where there is a file of that name,
    /// [`Error::NotFound`](crate::Error::NotFound) and [`Error::Denied`](crate::Error::Denied) where
    /// none can be made, [`Error::BackupFailed`](crate::Error::BackupFailed) where it cannot be written to the
    /// end, and as any read. Nothing is left behind then.
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        match self.shared().engine()?.backup_to(path.as_ref()) {
            Some(copied) => copied.wait(),
            None => self.copy_to_file(path.as_ref()),
        }
    }

    /// Copies every entry into a new file: complete under a name of its own first, then under the right
    /// one.
    fn copy_to_file(&self, path: &Path) -> Result<()> {
        let new = NewFile::begin(path)?;
        let copy = Store::options().expiry_timer(false).open(new.path()).map_err(|error| new.blame(error))?;
        self.copy_to(&copy).and_then(|_| copy.close()).map_err(|error| new.blame(error))?;
        new.publish()
    }
}

impl<S> Store<S> {
    /// How old what a single read shows may be at the moment. It is zero for a store in a SQLite file or in
    /// memory, and for one on a cluster with [`Consistency::Linearizable`](crate::Consistency::Linearizable):
    /// those show everything that was written before the read began. With
    /// [`Consistency::Cached`](crate::Consistency::Cached) it is at most
    /// [`Options::cache_age_max`](crate::Options::cache_age_max), or `None` where that cannot be known, because
    /// the cluster does not answer, say; then nothing is shown from memory, and every read asks the cluster.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// assert_eq!(store.cache_age()?, Some(Duration::ZERO));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) and [`Error::Nested`](crate::Error::Nested).
    pub fn cache_age(&self) -> Result<Option<Duration>> {
        Ok(self.shared().engine()?.cache_age())
    }

    /// Copies every entry as it is now, with its expiry, into another store, in one transaction of
    /// that store: all of them or none. What the other has beside them stays. Returns how many.
    ///
    /// Copying a whole store copies the quotas too, after the entries; a scoped one copies its
    /// namespace's entries, under the names that it knows them by, into whatever `target` is.
    ///
    /// A cluster takes no transaction of more than about a megabyte: to copy more into one, and to copy
    /// what is too much to do in one go, there is [`copy_into`](Self::copy_into).
    ///
    /// # Errors
    /// As any read of this store and any write of the other; [`Error::TooMuchAtOnce`](crate::Error::TooMuchAtOnce) where the other cannot
    /// take all of it in one transaction.
    pub fn copy_to<T>(&self, target: &Store<T>) -> Result<u64> {
        let source = self.snapshot()?;
        let mut copied = 0;
        target.transaction(|tx| {
            copied = 0;
            for group in source.groups("")? {
                for entry in source.entries(&group.name)? {
                    let entry = entry?;
                    tx.set_until(&group.name, entry.key, entry.value, entry.expires_at)?;
                    copied += 1;
                }
            }
            Ok(())
        })?;
        if self.scope().prefix().is_empty() {
            for namespace in source.reader()?.namespaces(None).wait()? {
                if !namespace.quota.is_unlimited() && target.scope().prefix().is_empty() {
                    let (name, quota) = (namespace.name, namespace.quota);
                    target.shared().apply(crate::engine::Mutation::SetQuota { namespace: name, quota })?;
                }
            }
        }
        Ok(copied)
    }
}
