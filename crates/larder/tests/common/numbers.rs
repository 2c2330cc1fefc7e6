//! Numbers of commits: what tests compare instead of revisions, which a cluster does not number
//! consecutively.

use std::sync::{MutexGuard, PoisonError};

use larder::{Event, Revision};

use super::Rig;

impl Rig {
    /// The revision of the store's commit with this number; the first is 1, and 0 stands for no commit.
    ///
    /// On a cluster it comes from the history of the store's commit record, read without larder. So a test
    /// can check exactly which calls committed. Commits still to come have the cluster's next revisions.
    pub fn revision(&self, number: u64) -> Revision {
        if number == 0 || self.promises.revisions_are_consecutive {
            return Revision(number);
        }
        let known = self.revisions_of_commits(|known| known.len() as u64 >= number);
        let missing = number.saturating_sub(known.len() as u64);
        Revision(known[(number - missing) as usize - 1] + missing)
    }

    /// The revision of the commit after the one with this revision; after 0 comes the first commit.
    #[track_caller]
    pub fn after(&self, revision: Revision) -> Revision {
        self.revision(self.number_of(revision) + 1)
    }

    /// The number of the commit with this revision: the inverse of [`revision`](Self::revision).
    #[track_caller]
    pub fn number_of(&self, revision: Revision) -> u64 {
        if revision.0 == 0 || self.promises.revisions_are_consecutive {
            return revision.0;
        }
        let known = self.revisions_of_commits(|known| known.last().is_some_and(|last| *last >= revision.0));
        match known.binary_search(&revision.0) {
            Ok(index) => index as u64 + 1,
            Err(_) => panic!("no commit of the store has revision {revision}"),
        }
    }

    /// Like [`number_of`](Self::number_of), for a revision read inside a transaction. What the transaction
    /// wrote itself has the number that its commit would have.
    #[track_caller]
    pub fn number_in_transaction(&self, revision: Revision) -> u64 {
        let before = self.commits_up_to(revision);
        if self.revision(before) == revision { before } else { before + 1 }
    }

    /// How many commits the store has up to and including a revision, which may belong to another store.
    pub fn commits_up_to(&self, revision: Revision) -> u64 {
        if self.promises.revisions_are_consecutive {
            return revision.0;
        }
        let known = self.revisions_of_commits(|known| known.last().is_some_and(|last| *last >= revision.0));
        known.partition_point(|commit| *commit <= revision.0) as u64
    }

    /// The number of each event's commit.
    #[track_caller]
    pub fn numbers_of<'a>(&self, events: impl IntoIterator<Item = &'a Event>) -> Vec<u64> {
        events.into_iter().map(|event| self.number_of(event.revision)).collect()
    }

    /// The revisions of the store's commits; asks the cluster for new ones unless the known ones are enough.
    #[cfg_attr(not(feature = "etcd"), allow(unused_mut, unused_variables))]
    fn revisions_of_commits(&self, enough: impl Fn(&[u64]) -> bool) -> MutexGuard<'_, Vec<u64>> {
        let mut known = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(feature = "etcd")]
        if !enough(&known) {
            let record = format!("{}/log", self.name());
            let after = known.last().copied().unwrap_or(0);
            known.extend(self.cluster().writes_of(record.as_bytes(), after).unwrap());
        }
        known
    }
}
