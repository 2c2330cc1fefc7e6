//! The reading side of an engine.

use super::answer::Answer;
use crate::data::{Entries, Found, GroupInfo, NamespaceInfo, Result, Revision, SmallValue, Usage};

/// What can be read.
///
/// Every method leaves out entries that have expired by the time of the call, also where they are still stored,
/// and writes nothing. Each call sees one moment. All calls on a snapshot see the same moment, and so do the calls
/// in a transaction, together with its own writes.
pub(crate) trait Read: Send + Sync {
    /// The live entry of a key. Never blocks: the answer comes from memory, or is on its way. `None` if this thread
    /// would have to wait; then [`fetch`](Self::fetch) finds the entry. An engine whose reads always block keeps the
    /// default.
    fn try_get(&self, _group: &str, _key: &str) -> Option<Answer<Option<Found>>> {
        None
    }

    /// Copies the value of a live entry that is in memory and small, without counting a reference to it. Returns whether
    /// there is one; `None` where only [`get`](Self::get) knows.
    fn peek(&self, _group: &str, _key: &str, _into: &mut SmallValue) -> Option<bool> {
        None
    }

    /// The live entry of a key, from storage. Blocks: it is called where [`try_get`](Self::try_get) returned `None`,
    /// on a thread that may.
    fn fetch(&self, group: &str, key: &str) -> Result<Option<Found>>;

    /// The live entry of a key, from memory or else from storage. Blocks.
    fn get(&self, group: &str, key: &str) -> Result<Option<Found>> {
        match self.try_get(group, key) {
            Some(answer) => answer.wait(),
            None => self.fetch(group, key),
        }
    }

    /// One page of a group, if the whole group is in memory. Never blocks. An engine that keeps no groups apart from what it
    /// reads keeps the default.
    fn try_scan(&self, _scan: &Scan<'_>) -> Option<Entries> {
        None
    }

    /// The usage of a part of the store, if it is in memory. Never blocks. An engine that keeps no counts keeps the default,
    /// here and below.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    fn try_usage(&self, _extent: Extent<'_>) -> Option<Usage> {
        None
    }

    /// The [groups](Self::groups), if they are in memory. Never blocks.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    fn try_groups(&self, _prefix: &str) -> Option<Vec<GroupInfo>> {
        None
    }

    /// The [namespaces](Self::namespaces), if they are in memory. Never blocks.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code))]
    fn try_namespaces(&self, _only: Option<&str>) -> Option<Vec<NamespaceInfo>> {
        None
    }

    /// Notes that so many entries of a group were read in a snapshot of the present: whoever reads a group again and again
    /// wants it in memory.
    fn note_walk(&self, _group: &str, _entries: usize) {}

    /// How many bytes a page of a stream has at most: few, where a further page costs little.
    fn page_bytes_max(&self) -> usize {
        256 << 10
    }

    /// One page of a group, sorted by key.
    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries>;

    /// The usage of a part of the store. The cost does not grow with the number of keys.
    fn usage(&self, extent: Extent<'_>) -> Answer<Usage>;

    /// The groups that have a live key and whose names start with `prefix`, sorted by name.
    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>>;

    /// The namespaces that have a live key or a quota, sorted by name; or only the one named.
    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>>;

    /// The revision of the latest commit; 0 before the first.
    fn revision(&self) -> Answer<Revision>;
}

/// A page of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'a> {
    pub group: &'a str,
    /// Only keys after this one.
    pub after: Option<&'a str>,
    /// How many entries to skip at the beginning.
    pub offset: u64,
    /// The most entries to return.
    pub limit: usize,
    /// The page is full once its keys and values have so many bytes.
    pub bytes_max: usize,
    pub columns: Columns,
}

impl<'a> Scan<'a> {
    /// All of a group.
    pub fn whole(group: &'a str, columns: Columns) -> Self {
        let (limit, bytes_max) = (usize::MAX, usize::MAX);
        Self { group, after: None, offset: 0, limit, bytes_max, columns }
    }

    /// The page, of all live entries of the group.
    pub fn page_of(&self, group: &Entries) -> Entries {
        group.page(self.after, self.offset, self.limit, self.bytes_max)
    }
}

/// Which parts of entries a [`Scan`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Keys alone: no value is read.
    Keys,
    /// Keys and values.
    Values,
    /// Keys, values, revisions and expiries.
    All,
}

/// A part of the store whose usage is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent<'a> {
    Group(&'a str),
    /// The groups whose names start with this.
    Prefix(&'a str),
}
