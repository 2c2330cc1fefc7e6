//! Figures about a store and its named cursors.

use std::time::SystemTime;

use super::revision::Revision;

/// Figures about a store: see [`Store::stats`](crate::Store::stats).
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// store.set("config", "colour", "blue")?;
/// let stats = store.stats()?;
/// assert_eq!((stats.revision.0, stats.keys, stats.groups), (1, 1, 1));
/// assert_eq!(stats.bytes, 10); // "colour" and "blue"
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stats {
    /// Distinguishes this store from every other: 32 random hexadecimal digits, chosen when the store is
    /// created. A copy of the file has the same ones.
    pub identity: String,
    /// The latest commit.
    pub revision: Revision,
    /// The number of live keys.
    pub keys: u64,
    /// The number of groups.
    pub groups: u64,
    /// The number of namespaces that have a key or a quota.
    pub namespaces: u64,
    /// The bytes of all keys and values.
    pub bytes: u64,
    /// The size of the file in bytes, or of the memory if the store lives there. On a cluster, the size of the
    /// database of the member that was asked, including whatever else the cluster stores.
    pub file_bytes: u64,
    /// The size of the file's write-ahead log in bytes; 0 in memory and on a cluster.
    pub wal_bytes: u64,
    /// The oldest revision from which a watch can start.
    pub history_from: Revision,
    /// The number of changes in the change log. On a cluster it is an estimate if they come from more than
    /// 10,000 commits.
    pub history_changes: u64,
    /// The bytes that those changes count towards the limit of [`Options::history`](crate::Options::history).
    pub history_bytes: u64,
    /// The named cursors, sorted by name.
    pub cursors: Vec<CursorInfo>,
}

/// How far a named cursor is: see [`Store::cursors`](crate::Store::cursors).
///
/// ```
/// # let store = larder::Store::in_memory()?;
/// let mailer = store.cursor("mailer")?;
/// store.set("orders", "1", "a book")?;
/// let cursor = &store.cursors()?[0];
/// assert_eq!((cursor.name.as_str(), cursor.behind), ("mailer", 1));
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CursorInfo {
    /// The name. In a list of the whole store, the cursor of a namespace is called `namespace:name`.
    pub name: String,
    /// The last commit whose changes are all acknowledged.
    pub revision: Revision,
    /// The number of changes, to any key of the store, that follow what is acknowledged and are still in the
    /// change log. On a cluster it is an estimate if they come from more than 10,000 commits.
    pub behind: u64,
    /// Whether the change log has already lost changes that the cursor still needs. Its next
    /// [`recv`](crate::Cursor::recv) then fails with [`Error::Compacted`](crate::Error::Compacted).
    pub compacted: bool,
    /// When the cursor last moved, by the clock of the store that moved it, in milliseconds.
    #[cfg_attr(feature = "serde", serde(with = "super::serialized::time"))]
    pub moved_at: SystemTime,
}
