//! What differs between the engines, in one place: how commits are numbered, how much fits, and how long the
//! history lasts. `docs/guarantees.md` has the reasons.

use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use larder::{Event, Revision};

use super::{Bench, Engine};

impl Bench {
    /// Whether the first revision is 1, and each commit adds 1. In a cluster a revision is the cluster's own:
    /// other stores, and what is no change of this one, take revisions, too.
    pub fn counts_revisions(&self) -> bool {
        self.engine_is_sqlite()
    }

    /// The revision of the store's commit of this number, the first of which is 1: where the engine counts, the
    /// number itself; and else what the cluster, asked without larder, says of the record that each commit
    /// writes. So it can be told everywhere what took a revision, and which. What is not committed yet would
    /// have the revisions that come next.
    pub fn nth(&self, number: u64) -> Revision {
        if number == 0 || self.counts_revisions() {
            return Revision(number);
        }
        let known = self.number_commits(|known| known.len() as u64 >= number);
        let missing = number.saturating_sub(known.len() as u64);
        Revision(known[(number - missing) as usize - 1] + missing)
    }

    /// The revision of the commit that came after another, which may be none, 0.
    #[track_caller]
    pub fn after(&self, revision: Revision) -> Revision {
        self.nth(self.number_of(revision) + 1)
    }

    /// The number of a commit by its revision, as [`nth`](Self::nth) counts them; 0 is that of the revision 0.
    #[track_caller]
    pub fn number_of(&self, revision: Revision) -> u64 {
        if revision.0 == 0 || self.counts_revisions() {
            return revision.0;
        }
        let known = self.number_commits(|known| known.last().is_some_and(|last| *last >= revision.0));
        match known.binary_search(&revision.0) {
            Ok(index) => index as u64 + 1,
            Err(_) => panic!("no commit of the store has revision {revision}"),
        }
    }

    /// As [`number_of`](Self::number_of), of a revision that a transaction shows: what it has written itself has
    /// the number of the commit that it may become.
    #[track_caller]
    pub fn number_within(&self, revision: Revision) -> u64 {
        let before = self.commits_up_to(revision);
        if self.nth(before) == revision { before } else { before + 1 }
    }

    /// How many commits of the store there were up to a revision, which need not be one of theirs.
    pub fn commits_up_to(&self, revision: Revision) -> u64 {
        if self.counts_revisions() {
            return revision.0;
        }
        let known = self.number_commits(|known| known.last().is_some_and(|last| *last >= revision.0));
        known.partition_point(|commit| *commit <= revision.0) as u64
    }

    /// The numbers of the commits that events are of.
    #[track_caller]
    pub fn numbers_of<'a>(&self, events: impl IntoIterator<Item = &'a Event>) -> Vec<u64> {
        events.into_iter().map(|event| self.number_of(event.revision)).collect()
    }

    /// The revisions of all commits, if those that are known are not enough.
    #[cfg_attr(not(feature = "etcd"), allow(unused_mut, unused_variables))]
    fn number_commits(&self, enough: impl Fn(&[u64]) -> bool) -> MutexGuard<'_, Vec<u64>> {
        let mut numbered = self.numbered.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(feature = "etcd")]
        if !enough(&numbered) {
            let record = format!("{}/log", self.name());
            let after = numbered.last().copied().unwrap_or(0);
            numbered.extend(self.cluster().writes_of(record.as_bytes(), after).unwrap());
        }
        numbered
    }

    /// How many small entries one commit takes on every engine, and many they are.
    pub fn changes_of_a_huge_commit(&self) -> usize {
        // A request to the cluster has at most 1.5 MiB.
        if self.counts_revisions() { 20_000 } else { 8_000 }
    }

    /// How often something is tried that takes this many tries where a call stays on this machine: fewer where
    /// each is a round trip to a cluster.
    pub fn rounds(&self, rounds: usize) -> usize {
        if self.engine_is_sqlite() { rounds } else { rounds.div_ceil(10) }
    }

    /// A number of writes: one where a write stays on this machine, and one where it is a round trip to a
    /// cluster.
    pub fn either(&self, here: u64, in_a_cluster: u64) -> u64 {
        if self.engine_is_sqlite() { here } else { in_a_cluster }
    }

    /// All of many cases, or those that are most worth it where each takes many round trips to a cluster.
    pub fn some_of<'a, T>(&self, cases: &'a [T]) -> &'a [T] {
        if self.engine_is_sqlite() { cases } else { &cases[..cases.len().div_ceil(4)] }
    }

    /// Whether writes that are made at once may share a commit, and so a revision; only in a cluster, where a
    /// commit takes a round trip.
    pub fn combines_commits(&self) -> bool {
        !self.counts_revisions()
    }

    /// Whether deleting a group removes what has expired in it, too, in the same commit; else that is left to
    /// the next purge.
    pub fn takes_the_expired_with_their_group(&self) -> bool {
        !self.counts_revisions()
    }

    /// How large a value may be, unless the option says less.
    pub fn value_bytes_max(&self) -> usize {
        // A request to the cluster has at most 1.5 MiB.
        if self.counts_revisions() { 64 << 20 } else { 1 << 20 }
    }

    /// Whether a store cuts its own history short, as the option `history` says. In a cluster it lasts until
    /// somebody compacts the cluster.
    pub fn prunes_history(&self) -> bool {
        self.counts_revisions()
    }

    /// Has a history cut short that does not do so by itself: all is forgotten up to a commit. To be called
    /// on a bench that was told so with [`with_a_history_of_its_own`](Self::with_a_history_of_its_own).
    #[cfg_attr(not(feature = "etcd"), allow(unused_variables))]
    pub fn forget_up_to(&self, commit: u64) {
        #[cfg(feature = "etcd")]
        if let Some(cluster) = &self.own {
            // Who compacts says what is the first to stay.
            cluster.compact_at(self.nth(commit + 1).0).unwrap();
        }
        assert!(self.prunes_history() || self.is_alone());
    }

    /// Another bench of this engine, whose history can be cut short without harm to other tests.
    pub fn with_a_history_of_its_own(&self) -> BenchOfItsOwn {
        #[allow(unused_mut)]
        let mut bench = Self::new(self.engine);
        #[cfg(feature = "etcd")]
        if self.engine == Engine::Etcd {
            static OTHER: OnceLock<Mutex<larder_cluster::Cluster>> = OnceLock::new();
            let settings = larder_cluster::Settings { members: 1, ..Default::default() };
            let other =
                OTHER.get_or_init(|| Mutex::new(larder_cluster::Cluster::start_with(&settings).unwrap()));
            bench.own = Some(other.lock().unwrap_or_else(PoisonError::into_inner));
        }
        BenchOfItsOwn(bench)
    }

    #[cfg(feature = "etcd")]
    pub(super) fn cluster(&self) -> &larder_cluster::Cluster {
        match &self.own {
            Some(own) => own,
            None => larder_cluster::Cluster::shared(),
        }
    }

    fn is_alone(&self) -> bool {
        #[cfg(feature = "etcd")]
        return self.own.is_some();
        #[cfg(not(feature = "etcd"))]
        false
    }

    /// The name of the bench's store in a cluster.
    pub(super) fn name(&self) -> String {
        format!("bench-{}", self.number)
    }
}

/// A bench whose history can be cut short. It, too, verifies in the end what was left on it.
pub struct BenchOfItsOwn(Bench);

impl Deref for BenchOfItsOwn {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.0
    }
}

impl Drop for BenchOfItsOwn {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.0.verify_all();
        }
    }
}
