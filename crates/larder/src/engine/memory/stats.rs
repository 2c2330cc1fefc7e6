//! Figures about a store in memory.

use std::sync::Arc;

use super::published::Published;
use super::reading::Reading;
use super::state::ENTRY_MEMORY;
use crate::data::{CursorInfo, LogPosition, Stats, clock};
use crate::engine::Extent;

/// The memory of a change besides what it counts: its place in the log.
const CHANGE_MEMORY: usize = size_of::<super::log::Change>();

impl Published {
    /// The cursors whose names start with `prefix`, sorted by name.
    pub fn cursors(&self, prefix: &str) -> Vec<CursorInfo> {
        let cursors = self.state.cursors.iter_from(|cursor| (*cursor.name).cmp(prefix));
        let wanted = cursors.take_while(|cursor| cursor.name.starts_with(prefix));
        let info = |cursor: &super::rows::Cursor| {
            let place = cursor.position;
            let is_whole = place == LogPosition::after(place.revision);
            CursorInfo {
                name: cursor.name.to_string(),
                revision: if is_whole { place.revision } else { place.revision.previous() },
                behind: self.log.count_after(&cursor.pattern, place),
                compacted: self.log.has_lost(&cursor.pattern.group, place),
                moved_at: clock::time(cursor.moved_at_ms),
                pattern: (*cursor.pattern).clone(),
            }
        };
        wanted.map(info).collect()
    }

    pub fn stats(&self, identity: &Arc<str>, now_ms: i64) -> Stats {
        let reading = Reading { state: &self.state, now_ms };
        let usage = reading.usage(Extent::Prefix(""));
        let parts = &self.log.parts;
        let sizes = parts.iter().map(super::log::Part::size);
        let (history_changes, history_bytes) =
            sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
        let (file_bytes, free_bytes) = self.memory();
        Stats {
            identity: identity.to_string(),
            revision: self.state.revision,
            keys: usage.keys,
            groups: usage.groups,
            namespaces: reading.namespaces(None).len() as u64,
            bytes: usage.bytes,
            file_bytes,
            free_bytes,
            wal_bytes: 0,
            oldest_reader: None,
            unsafe_sqlite: None,
            history_from: parts.iter().map(|part| part.pruned.place.revision).max().unwrap_or_default(),
            history_changes,
            history_bytes,
            cursors: self.cursors(""),
        }
    }

    /// The memory of entries, index and log, and how much of it nothing uses.
    fn memory(&self) -> (u64, u64) {
        let entries = self.state.stored_bytes + self.state.entries.len() as u64 * ENTRY_MEMORY;
        let (index, free_index) = self.index.memory();
        let places = |count: usize| (count * CHANGE_MEMORY) as u64;
        let log: u64 =
            self.log.parts.iter().map(|part| part.size().1 + places(part.changes.capacity())).sum();
        let free_log: u64 =
            self.log.parts.iter().map(|part| places(part.changes.capacity() - part.changes.len())).sum();
        (entries + index + log, free_index + free_log)
    }

    /// Gives back the memory that nothing uses. Returns how much that is.
    pub fn compact(&mut self) -> u64 {
        let (before, _) = self.memory();
        self.index.shrink();
        self.log.parts.iter_mut().for_each(|part| part.changes.shrink_to_fit());
        before.saturating_sub(self.memory().0)
    }
}
