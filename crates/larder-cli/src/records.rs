//! The records of `--json` and NDJSON that are more than one value of the library. `docs/json.md` has all shapes.

use std::time::SystemTime;

use larder::{Entry, Health, ResumeToken, Revision, Stats, Value};
use serde::Serialize;

use crate::times;

/// An entry with its group.
#[derive(Serialize)]
pub struct EntryRecord<'a> {
    pub group: &'a str,
    #[serde(flatten)]
    pub entry: &'a Entry,
}

/// An entry as it moves from one store to another. A revision means nothing in the other store.
#[derive(Serialize)]
pub struct ExportRecord<'a> {
    group: &'a str,
    key: &'a str,
    #[serde(flatten)]
    value: &'a Value,
    expires_at: Option<String>,
}

impl<'a> ExportRecord<'a> {
    pub fn of(group: &'a str, entry: &'a Entry) -> Self {
        let Entry { key, value, expires_at, .. } = entry;
        Self { group, key, value, expires_at: expires_at.map(times::written) }
    }
}

/// The name of an entry.
#[derive(Serialize)]
pub struct KeyRecord<'a> {
    pub group: &'a str,
    pub key: &'a str,
}

/// What `watch --snapshot` prints before the first event.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SnapshotRecord<'a> {
    /// An entry that existed when the watch began.
    Entry {
        group: &'a str,
        #[serde(flatten)]
        entry: &'a Entry,
    },
    /// Follows the last of them.
    Current { revision: Revision },
}

/// The figures of a store, the token from which to watch what follows them, and how the command stands to its cluster.
#[derive(Serialize)]
pub struct StatsRecord<'a> {
    pub token: &'a ResumeToken,
    #[serde(flatten)]
    pub stats: &'a Stats,
    /// `None` where the store is in a file.
    pub health: Option<&'a Health>,
}

/// Returns when an entry expires, for a program that reads fields: `-` is never.
pub fn expiry_field(expires_at: Option<SystemTime>) -> String {
    expires_at.map_or_else(|| "-".into(), times::written)
}
