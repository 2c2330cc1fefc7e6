//! Statistics, checks for damage, and the age of what is cached.

use std::time::Duration;

use super::handle::Store;
use crate::data::{Finding, Health, Repair, Repaired, Result, Stats};

impl Store {
    /// Returns statistics about the store.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// assert_eq!(store.stats()?.keys, 1);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read: see [`View`](crate::View).
    pub fn stats(&self) -> Result<Stats> {
        self.shared().engine()?.stats().wait()
    }

    /// Checks the store for damage, and returns what it finds; a sound store has nothing to find. It reads the whole
    /// store, all of one moment, and counts everything again to compare it with the stored counts. A [`Finding`] may
    /// also be [harmless](Finding::is_damage), such as a table of another program.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// assert!(store.check()?.is_empty());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read. [`Error::Damaged`](crate::Error::Damaged) if damage prevents it from looking further.
    pub fn check(&self) -> Result<Vec<Finding>> {
        self.shared().engine()?.check().wait()
    }

    /// Corrects what [`check`](Self::check) finds, as far as it can be rebuilt from the entries: tallies and the index
    /// of expiries. No entry changes, no revision is used, and other processes can use the store meanwhile.
    ///
    /// A store in a file is repaired on a copy beside it first, which needs as much room as the file. Only if that
    /// copy is sound afterwards, and has the same entries, byte for byte, the store itself is repaired, in one
    /// transaction that is checked in the same way before it commits. If SQLite's own check finds damage, nothing is
    /// repaired. A store on a cluster is repaired group by group, each in a transaction that holds only if nothing of the
    /// group has changed since it was counted.
    ///
    /// ```
    /// use larder::Repair;
    /// # let store = larder::Store::in_memory()?;
    /// let done = store.repair(Repair::default())?;
    /// for finding in &done.left {
    ///     println!("{finding}. {}", finding.advice());
    /// }
    /// # assert!(done.left.is_empty());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`check`](Self::check) and any write. [`Error::BackupFailed`](crate::Error::BackupFailed) if the copy cannot
    /// be written. [`Error::Contended`](crate::Error::Contended) if a group of a cluster is written to without a pause
    /// until the timeout; the groups before it stay repaired. [`Error::Damaged`](crate::Error::Damaged) if the repair would not leave a sound store; then nothing
    /// was changed.
    pub fn repair(&self, repair: Repair) -> Result<Repaired> {
        self.shared().engine()?.repair(repair).wait()
    }

    /// Gives the space that the store does not need back to the system, and returns how many bytes that is. A file does
    /// not shrink by itself when entries are deleted; [`Stats::free_bytes`] says how much would be gained at least.
    ///
    /// The file is written anew, without free space, in one transaction. No entry changes, and no revision is used.
    /// Readers of all processes go on meanwhile. Writers wait; those of other processes fail with
    /// [`Error::Busy`](crate::Error::Busy) once their timeout has passed. It needs free disk space: as much as the entries and the change log take,
    /// once in the log beside the file and once in SQLite's temporary folder (`SQLITE_TMPDIR`, or else `/var/tmp` or
    /// `/tmp`). If it is killed, the file is as it was, or compacted.
    ///
    /// If somebody still reads what was there before, the file becomes smaller once they have ended; this call waits
    /// for them for up to five seconds. A store in memory has given back at once what was deleted; this gives back what
    /// its index and its change log have room for.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let options = larder::Store::options().durability(larder::Durability::Relaxed);
    /// # let store = options.open(folder.path().join("app.db"))?;
    /// store.set_history("sessions", larder::History::NONE)?; // What the change log has is no free space.
    /// for number in 0..1_000 {
    ///     store.set("sessions", number.to_string(), vec![b'x'; 1_000])?;
    /// }
    /// store.delete_group("sessions")?;
    /// assert!(store.stats()?.free_bytes > 1_000_000);
    /// assert!(store.compact()? > 1_000_000);
    /// assert_eq!(store.stats()?.free_bytes, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As any write. [`Error::Full`](crate::Error::Full) if there is not enough free disk space; then nothing has
    /// changed. On a cluster, [`Error::Unsupported`](crate::Error::Unsupported): its operators compact it and
    /// defragment its members.
    pub fn compact(&self) -> Result<u64> {
        self.shared().engine()?.compact().wait()
    }
}

impl Store {
    /// Tells every client that the cluster was restored from a snapshot, and gives the store another identity.
    ///
    /// Clients that were connected notice a restore by themselves. If none was, nobody can tell that the cluster's
    /// revisions have begun again at an earlier one: a [`ResumeToken`](crate::ResumeToken) from before is then
    /// accepted once the store has reached its revision again, and skips what came in between. So call this after
    /// each restore, or run `larder restored`. Tokens from before are refused with
    /// [`Error::OtherStore`](crate::Error::OtherStore) from then on, and watchers receive
    /// [`Error::ClusterRestored`](crate::Error::ClusterRestored).
    ///
    /// It changes nothing for a store in a file or in memory.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.note_restored()?;
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any write.
    pub fn note_restored(&self) -> Result<()> {
        self.shared().engine()?.note_restored().wait()
    }
}

impl<S> Store<S> {
    /// Returns how this process stands to what the store is in: on a cluster, whether the feed of changes comes, from
    /// which member, how far it lags and why it is refused, and how often requests were sent again or had no clear
    /// outcome. It never waits.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let health = store.health()?;
    /// if let Some(feed) = &health.feed {
    ///     println!("changes come from {:?}, and lag by {:?}", feed.member, feed.lag);
    /// }
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) and [`Error::Nested`](crate::Error::Nested).
    pub fn health(&self) -> Result<Health> {
        Ok(self.shared().engine()?.health())
    }

    /// Returns how old the result of a single read may be now.
    ///
    /// It is zero for a store in a SQLite file or in memory, and on a cluster with
    /// [`Consistency::Linearizable`](crate::Consistency::Linearizable): their reads see every write that was
    /// acknowledged before the read began. With [`Consistency::Cached`](crate::Consistency::Cached) it is at most
    /// [`Options::cache_age_max`](crate::Options::cache_age_max), or `None` while the age is unknown, for example
    /// because the cluster does not answer. Then no read uses the cache.
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
}
