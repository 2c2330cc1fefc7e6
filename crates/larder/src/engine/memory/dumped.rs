//! Everything that a store in memory holds, for a backup.

use std::sync::Arc;

use super::log::{Log, Part};
use super::state::State;
use crate::engine::{Dump, DumpedCursor, DumpedHistory, Logged, StoredCursor};

impl State {
    pub fn dumped(&self, histories: Vec<DumpedHistory>) -> Dump<'_> {
        let limited = self.namespaces.iter().filter(|namespace| !namespace.quota.is_unlimited());
        let cursors = self.cursors.iter().map(|cursor| DumpedCursor {
            name: Arc::clone(&cursor.name),
            stored: StoredCursor { position: cursor.position, pattern: (*cursor.pattern).clone() },
            moved_at_ms: cursor.moved_at_ms,
        });
        let notes = self.notes.iter().map(|note| (Arc::clone(&note.name), Arc::clone(&note.content)));
        Dump {
            entries: Box::new(self.entries.iter().map(|row| &row.0)),
            quotas: limited.map(|namespace| (Arc::clone(&namespace.name), namespace.quota)).collect(),
            histories,
            cursors: cursors.collect(),
            notes: notes.collect(),
        }
    }
}

impl Log {
    pub fn dumped(&self) -> Vec<DumpedHistory> {
        let changes = |part: &Part| {
            let changes = part.changes.iter();
            changes.map(|change| Logged { step: change.step, event: Arc::clone(&change.event) }).collect()
        };
        let dumped = self.parts.iter().map(|part| DumpedHistory {
            prefix: Arc::clone(&part.prefix),
            bounds: part.bounds,
            lost: part.pruned.place,
            changes: changes(part),
        });
        dumped.collect()
    }
}
