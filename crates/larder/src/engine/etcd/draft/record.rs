//! The changes of a draft, which become the record of its commit.

use std::sync::Arc;

use hashbrown::HashMap;

use super::limits::OPERATION_BYTES;
use crate::data::{Event, Revision};
use crate::engine::etcd::layout::{Change, ChangeKind, Record};

/// The changes of a draft, in order.
#[derive(Default)]
pub struct PendingRecord {
    changes: Vec<Change>,
    /// The time of the first change, which becomes the time of the whole commit.
    at_ms: i64,
    bytes: usize,
    soonest_expiry_ms: Option<i64>,
}

#[derive(Clone, Copy)]
pub struct RecordSavepoint {
    changes: usize,
    bytes: usize,
    soonest_expiry_ms: Option<i64>,
}

impl PendingRecord {
    pub fn push(&mut self, change: Change, now_ms: i64) {
        if let (ChangeKind::Set, Some(at_ms)) = (change.kind(), change.expires_at_ms) {
            self.soonest_expiry_ms = Some(self.soonest_expiry_ms.map_or(at_ms, |soonest| soonest.min(at_ms)));
        }
        if self.changes.is_empty() {
            self.at_ms = now_ms;
        }
        self.bytes += change.group.len() + change.key.as_ref().map_or(0, String::len) + OPERATION_BYTES;
        self.changes.push(change);
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// About how many bytes the changes take, without the values that entries have.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The soonest expiry that a set has given an entry.
    pub fn soonest_expiry_ms(&self) -> Option<i64> {
        self.soonest_expiry_ms
    }

    pub fn savepoint(&self) -> RecordSavepoint {
        RecordSavepoint {
            changes: self.changes.len(),
            bytes: self.bytes,
            soonest_expiry_ms: self.soonest_expiry_ms,
        }
    }

    pub fn roll_back(&mut self, savepoint: RecordSavepoint) {
        self.changes.truncate(savepoint.changes);
        self.bytes = savepoint.bytes;
        self.soonest_expiry_ms = savepoint.soonest_expiry_ms;
    }

    /// The events of the changes, as those of a commit at `revision`.
    pub fn events(&self, revision: Revision) -> Vec<Arc<Event>> {
        let event = |change: &Change| Arc::new(change.event(None, revision, self.at_ms));
        self.changes.iter().map(event).collect()
    }

    /// The message, without the values that entries have; `None` if nothing has changed.
    pub fn message(&self) -> Option<Record> {
        if self.changes.is_empty() {
            return None;
        }
        let mut changes = self.changes.clone();
        let mut last_of = HashMap::new();
        let mut deleted_groups: HashMap<&str, usize> = HashMap::new();
        for (index, change) in self.changes.iter().enumerate() {
            match &change.key {
                Some(key) => drop(last_of.insert((&*change.group, &**key), index)),
                None => drop(deleted_groups.insert(&*change.group, index)),
            }
        }
        for ((group, _), index) in &last_of {
            let is_final = deleted_groups.get(group).is_none_or(|deleted| deleted < index);
            if is_final && self.changes[*index].kind() == ChangeKind::Set {
                changes[*index].value = None;
                changes[*index].expires_at_ms = None;
            }
        }
        Some(Record { at_ms: self.at_ms, changes })
    }
}
