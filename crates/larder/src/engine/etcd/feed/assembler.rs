//! Assembles revisions from the responses of a watch on entries and records.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use etcd_client::{EventType, WatchResponse};
use prost::Message;

use crate::data::{Event, Revision};
use crate::engine::etcd::layout::{ChangeKind, Layout, Record, StoredEntry};

/// What one revision has done to the store.
pub struct WatchedRevision {
    pub revision: Revision,
    /// The record of the commit; `None` if there is none.
    pub record: Option<Bytes>,
    /// The events of the commit; `None` if another program than larder wrote.
    pub events: Option<Vec<Arc<Event>>>,
    /// The entries that were written, by path, each with its new value. `None` is a deletion.
    pub entries: HashMap<Bytes, Option<Bytes>>,
}

/// Assembles revisions. A revision may come in several fragments.
pub struct Assembler {
    layout: Layout,
    log: Bytes,
    /// The revision that may still be incomplete.
    revision: i64,
    record: Option<Bytes>,
    entries: HashMap<Bytes, Option<Bytes>>,
}

impl Assembler {
    pub fn new(layout: Layout) -> Self {
        let log = layout.log();
        Self { layout, log, revision: 0, record: None, entries: HashMap::new() }
    }

    /// Adds a response. Returns the revisions that it completes, or what is damaged.
    pub fn add(&mut self, response: &WatchResponse) -> Result<Vec<WatchedRevision>, String> {
        let mut complete = Vec::new();
        for event in response.events() {
            let Some(pair) = event.kv() else { continue };
            if pair.mod_revision() != self.revision {
                complete.extend(self.finish()?);
                self.revision = pair.mod_revision();
            }
            let is_there = event.event_type() != EventType::Delete;
            let value = is_there.then(|| Bytes::copy_from_slice(pair.value()));
            if pair.key() == &*self.log {
                self.record = value;
            } else {
                self.entries.insert(Bytes::copy_from_slice(pair.key()), value);
            }
        }
        if !response.0.fragment {
            complete.extend(self.finish()?);
        }
        Ok(complete)
    }

    fn finish(&mut self) -> Result<Option<WatchedRevision>, String> {
        let entries = std::mem::take(&mut self.entries);
        let revision = Revision(self.revision.cast_unsigned());
        let Some(record) = self.record.take() else {
            let watched = WatchedRevision { revision, record: None, events: None, entries };
            return Ok((!watched.entries.is_empty()).then_some(watched));
        };
        let bytes = record.clone();
        let record = Record::decode(record).map_err(|error| error.to_string())?;
        let mut events = Vec::with_capacity(record.changes.len());
        for change in &record.changes {
            let stored = match (change.kind(), &change.key, &change.value) {
                (ChangeKind::Set, Some(key), None) => {
                    let path = self.layout.entry(&change.group, key);
                    let Some(Some(stored)) = entries.get(&path) else {
                        return Err(format!("revision {revision} lacks an entry that its record has set"));
                    };
                    Some(StoredEntry::decode(stored.clone()).map_err(|error| error.to_string())?)
                }
                _ => None,
            };
            events.push(Arc::new(change.event(stored, revision, record.at_ms)));
        }
        Ok(Some(WatchedRevision { revision, record: Some(bytes), events: Some(events), entries }))
    }
}
