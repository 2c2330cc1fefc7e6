//! Everything that a store holds at one moment, for another engine to write down.

use std::sync::Arc;

use super::changes::{Logged, StoredCursor};
use super::new_file::NewFile;
use crate::data::{Found, History, LogPosition, Quota, Result};

/// A store at one moment.
pub(crate) struct Dump<'a> {
    /// All entries, expired or not, sorted by group and key.
    pub entries: Box<dyn Iterator<Item = &'a Found> + 'a>,
    pub quotas: Vec<(Arc<str>, Quota)>,
    /// The parts of the log, sorted by prefix. The first is that of the empty prefix.
    pub histories: Vec<DumpedHistory>,
    pub cursors: Vec<DumpedCursor>,
    pub notes: Vec<(Arc<str>, Arc<str>)>,
}

/// A history, and its changes in their order.
pub(crate) struct DumpedHistory {
    pub prefix: Arc<str>,
    /// `None` for the store's own where none was set.
    pub bounds: Option<History>,
    /// The last change that it has lost, or a position before its first change.
    pub lost: LogPosition,
    pub changes: Vec<Logged>,
}

/// A cursor, and when it last moved, in Unix milliseconds.
pub(crate) struct DumpedCursor {
    pub name: Arc<str>,
    pub stored: StoredCursor,
    pub moved_at_ms: i64,
}

/// Writes a store into a new file.
pub(crate) type WriteFile = fn(Dump<'_>, &NewFile) -> Result<()>;
