//! Notices that the cluster was restored: its revisions have gone back, or another cluster answers.
//!
//! A cluster that is restored from a snapshot forgets what was committed after the snapshot and gives the same
//! revisions out again. So whatever keeps a revision, a cache for instance, must learn of it. Two things prove it: a
//! linearizable answer with a lower revision than an earlier answer had, and another cluster's id. A serializable
//! answer proves nothing, since it may come from a member that lags. Raft terms prove nothing either: a member that
//! is cut off counts its own terms up.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;

use crate::data::{locked, report};

/// What a client knows of the history that the cluster's revisions belong to.
pub struct Timeline {
    /// Held only to compare and to store, never while waiting.
    state: Mutex<State>,
    /// The number of restores, for those who wait for one.
    restores: watch::Sender<u64>,
    /// The number of restores after which the store has begun anew.
    recovered: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// How many restores were noticed.
    restores: u64,
    /// The latest revision of the cluster in any answer since.
    newest: i64,
    /// The cluster's id; 0 until the first answer.
    cluster_id: u64,
}

/// What was known when a request was sent. Its answer cannot be older.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked(State);

impl Asked {
    /// How many restores were noticed by then.
    pub fn restores(self) -> u64 {
        self.0.restores
    }
}

/// What an answer says of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub cluster_id: u64,
    pub revision: i64,
}

impl Timeline {
    pub fn new() -> Self {
        Self { state: Mutex::default(), restores: watch::Sender::new(0), recovered: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// To be taken before a request is sent.
    pub fn ask(&self) -> Asked {
        Asked(*self.lock())
    }

    /// How many restores were noticed.
    pub fn restores(&self) -> u64 {
        self.lock().restores
    }

    /// The id of the cluster that answers; 0 until one has.
    pub fn cluster_id(&self) -> u64 {
        self.lock().cluster_id
    }

    /// Sets the id of the cluster while the store is not open yet. Returns whether another one has answered before.
    pub fn expect_cluster(&self, id: u64) -> bool {
        let mut state = self.lock();
        let is_other = state.cluster_id != 0 && state.cluster_id != id;
        if is_other {
            // Revisions of the other cluster prove nothing.
            state.newest = 0;
        }
        state.cluster_id = id;
        is_other
    }

    /// Whether an answer comes from another cluster than the one that is known.
    pub fn is_other(&self, header: Header) -> bool {
        let known = self.cluster_id();
        known != 0 && header.cluster_id != 0 && known != header.cluster_id
    }

    /// Waits until more than `restores` restores are noticed. Returns how many.
    pub async fn wait_for_more(&self, restores: u64) -> u64 {
        let mut noticed = self.restores.subscribe();
        // The sender lives as long as `self`.
        noticed.wait_for(|noticed| *noticed > restores).await.map_or(restores, |noticed| *noticed)
    }

    /// Notes that the store has begun anew after so many restores.
    pub fn note_recovery(&self, restores: u64) {
        self.recovered.send_replace(restores);
    }

    /// Whether a restore was noticed after which the store has not begun anew yet.
    pub fn is_recovering(&self) -> bool {
        *self.recovered.borrow() != self.restores()
    }

    /// Waits until the store has begun anew after every restore that is known by now.
    pub async fn wait_for_recovery(&self) {
        let restores = self.restores();
        let mut recovered = self.recovered.subscribe();
        // The sender lives as long as `self`.
        let _ = recovered.wait_for(|recovered| *recovered >= restores).await;
    }

    /// Looks at the header of an answer. `is_linearizable` says that the answer shows everything that was committed
    /// before it was asked for.
    pub fn look_at(&self, asked: Asked, header: Header, is_linearizable: bool) {
        let Asked(before) = asked;
        let mut state = self.lock();
        if state.restores != before.restores {
            // The answer may be of the time before the restore.
            return;
        }
        let is_other =
            state.cluster_id != 0 && header.cluster_id != 0 && state.cluster_id != header.cluster_id;
        if is_other || (is_linearizable && header.revision < before.newest) {
            let State { restores, newest, .. } = *state;
            report(|| {
                tracing::warn!(
                    revision = header.revision,
                    known = newest,
                    "the cluster was restored: it answers with a revision that has passed already"
                )
            });
            *state = State { restores: restores + 1, newest: header.revision, cluster_id: header.cluster_id };
            self.tell(state);
            return;
        }
        state.newest = state.newest.max(header.revision);
        if header.cluster_id != 0 {
            state.cluster_id = header.cluster_id;
        }
    }

    /// Whether a restore was noticed since.
    pub fn is_over(&self, asked: Asked) -> bool {
        self.restores() != asked.0.restores
    }

    /// Notes a restore that something else proves than a header, unless one was noticed since `asked`. Returns
    /// whether it is new.
    pub fn note_restore(&self, asked: Asked, proof: &str) -> bool {
        let mut state = self.lock();
        if state.restores != asked.0.restores {
            return false;
        }
        report(|| tracing::warn!(proof, "the cluster was restored"));
        state.restores += 1;
        // Known again with the next answer.
        state.newest = 0;
        self.tell(state);
        true
    }

    fn tell(&self, state: MutexGuard<'_, State>) {
        // While the lock is held, so that the numbers come in order.
        self.restores.send_replace(state.restores);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: u64 = 7;

    fn at(revision: i64) -> Header {
        Header { cluster_id: CLUSTER, revision }
    }

    /// A timeline on which the cluster has answered with revision 10.
    fn at_ten() -> Timeline {
        let timeline = Timeline::new();
        timeline.look_at(timeline.ask(), at(10), true);
        timeline
    }

    #[test]
    fn a_lower_revision_proves_a_restore_only_in_a_linearizable_answer_to_a_later_request() {
        let timeline = at_ten();
        let early = timeline.ask();
        timeline.look_at(timeline.ask(), at(12), true);
        timeline.look_at(early, at(11), true);
        timeline.look_at(timeline.ask(), at(3), false);
        assert_eq!(timeline.restores(), 0);
        timeline.look_at(timeline.ask(), at(11), true);
        assert_eq!(timeline.restores(), 1);
        timeline.look_at(timeline.ask(), at(11), true);
        assert_eq!(timeline.restores(), 1);
    }

    #[test]
    fn what_was_asked_before_a_restore_proves_no_second_one() {
        let timeline = at_ten();
        let early = timeline.ask();
        timeline.look_at(timeline.ask(), at(4), true);
        timeline.look_at(early, at(11), true);
        timeline.note_restore(early, "in a test");
        timeline.look_at(timeline.ask(), at(4), true);
        assert_eq!(timeline.restores(), 1);
    }

    #[test]
    fn another_cluster_proves_a_restore_whatever_its_revision() {
        let timeline = at_ten();
        timeline.look_at(timeline.ask(), Header { cluster_id: CLUSTER + 1, revision: 99 }, false);
        assert_eq!((timeline.restores(), timeline.cluster_id()), (1, CLUSTER + 1));
        timeline.note_restore(timeline.ask(), "in a test");
        assert_eq!(timeline.restores(), 2);
    }
}
