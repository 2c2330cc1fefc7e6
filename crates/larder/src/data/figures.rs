//! Figures about a store and its named cursors.

use std::time::SystemTime;

use super::position::LogPosition;
use super::revision::Revision;

/// Figures about a store: see [`Store::stats`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What tells this store from every other: made with it, at random, and copied with its file.
    pub identity: String,
    /// The latest commit.
    pub revision: Revision,
    /// How many keys there are.
    pub keys: u64,
    /// How many groups.
    pub groups: u64,
    /// How many namespaces hold something or have a quota.
    pub namespaces: u64,
    /// How many bytes all keys and values have.
    pub bytes: u64,
    /// How many bytes the file has, or the memory; on a cluster, the database of the member that was asked, with
    /// all that is in it.
    pub file_bytes: u64,
    /// How many bytes the file's write-ahead log has; 0 on a cluster.
    pub wal_bytes: u64,
    /// The oldest revision from which a watch can start.
    pub history_from: Revision,
    /// How many changes the change log holds; on a cluster, where they are of more than 10,000 commits, an
    /// estimate.
    pub history_changes: u64,
    /// How many bytes it counts for them.
    pub history_bytes: u64,
    /// The named cursors, sorted by name.
    pub cursors: Vec<CursorInfo>,
}

/// A named cursor: see [`Store::cursors`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CursorInfo {
    /// Its name; in the list of a whole store, with the namespace and a colon before it where it is a
    /// namespace's.
    pub name: String,
    /// The last commit of which all was acknowledged.
    pub revision: Revision,
    /// How many changes of the whole store came after what was acknowledged and are still in the change
    /// log. On a cluster, where that is more than 10,000 commits, an estimate.
    pub behind: u64,
    /// Whether the change log has lost some that came after: the cursor will be told with
    /// [`Error::Compacted`].
    pub compacted: bool,
    /// When it was last moved, by the clock of the store that moved it.
    pub moved_at: SystemTime,
    /// Everything up to here was acknowledged.
    pub(crate) place: LogPosition,
}
