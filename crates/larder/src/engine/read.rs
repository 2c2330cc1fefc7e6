//! The reading side of an engine.

use super::answer::Answer;
use crate::data::{Entries, Found, GroupInfo, NamespaceInfo, Result, Revision, Usage};

/// What can be read of one moment, or of the moment of each call.
///
/// Every method leaves out what has expired by the clock when it is called, whether or not it is
/// still stored, and never writes. Each call by itself sees one moment; calls on a snapshot or in
/// a transaction all see the same one, the transaction's with its own writes.
pub(crate) trait Read: Send + Sync {
    /// What is stored under one key, if it is live. Never blocks: the answer comes from memory, or is on its
    /// way. `None` if this thread would have to block for it; then [`fetch`](Self::fetch) finds it.
    fn try_get(&self, _group: &str, _key: &str) -> Option<Answer<Option<Found>>> {
        None
    }

    /// What is stored under one key, if it is live. Blocks; called where [`try_get`](Self::try_get) returned
    /// `None`, on a thread that may.
    fn fetch(&self, group: &str, key: &str) -> Result<Option<Found>>;

    /// What is stored under one key, if it is live: from memory, or else from storage. Blocks.
    fn get(&self, group: &str, key: &str) -> Result<Option<Found>> {
        match self.try_get(group, key) {
            Some(answer) => answer.wait(),
            None => self.fetch(group, key),
        }
    }

    /// One bounded page of a group, sorted by key.
    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries>;

    /// How much there is in part of the store, at a cost that does not grow with it.
    fn usage(&self, extent: Extent<'_>) -> Answer<Usage>;

    /// The groups whose names start with `prefix`, sorted.
    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>>;

    /// The namespaces that hold something or have a quota, sorted; or only the one named.
    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>>;

    /// The latest commit.
    fn revision(&self) -> Answer<Revision>;
}

/// A page of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scan<'a> {
    pub group: &'a str,
    /// Only keys after this one.
    pub after: Option<&'a str>,
    /// How many entries to leave out at the beginning.
    pub offset: u64,
    /// The most entries to return.
    pub limit: usize,
    /// Once so many bytes are there, the page is full.
    pub bytes_max: usize,
    pub columns: Columns,
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

/// A part of the store that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent<'a> {
    Group(&'a str),
    /// The groups whose names start so.
    Prefix(&'a str),
}
