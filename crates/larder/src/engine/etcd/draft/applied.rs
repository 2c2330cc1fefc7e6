//! A draft that the cluster has applied, and what its writer learns from it.

use super::Draft;
use super::knowledge::Knowledge;
use crate::data::Revision;
use crate::engine::etcd::client::KeyState;

/// What the cluster has made of a draft.
pub struct Applied {
    /// The cluster's revision of the transaction.
    pub revision: i64,
    /// The store's latest commit before it; `None` if the answer that says so was lost.
    pub before: Option<Revision>,
}

impl Applied {
    /// The revision of a commit that has changed something.
    pub fn own_revision(&self) -> Revision {
        Revision(self.revision.cast_unsigned())
    }

    /// The store's latest commit, for a commit that has changed nothing.
    pub fn latest_revision(&self) -> Revision {
        self.before.unwrap_or(self.own_revision())
    }
}

impl Draft {
    /// Learns what the draft has written.
    pub fn learn_applied(&mut self, applied: &Applied) {
        let mut knowledge = std::mem::take(&mut self.knowledge);
        self.teach_applied(&mut knowledge, applied);
        self.knowledge = knowledge;
    }

    /// Adds what the draft has written to the knowledge of another draft.
    pub fn teach_applied(&mut self, knowledge: &mut Knowledge, applied: &Applied) {
        let revision = applied.revision;
        let (emptied, written) = std::mem::take(&mut self.writes).into_parts();
        for span in emptied {
            knowledge.learn_emptied(&span);
        }
        for (key, value) in written {
            let state = if value.is_some() { KeyState { revision, value } } else { KeyState::ABSENT };
            knowledge.learn(key, state, revision);
        }
        let changed = !self.record.is_empty();
        knowledge.note_own_write(applied.before, applied.own_revision(), changed);
        if changed {
            knowledge.learn(self.layout().log(), KeyState { revision, value: None }, revision);
        }
        knowledge.forget_spans();
        knowledge.trim();
    }
}
