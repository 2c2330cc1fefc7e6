//! Figures about a store and its named cursors.

use std::time::{Duration, SystemTime};

use super::pattern::Pattern;
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
    /// How many of those bytes are free: deleted entries and pruned changes had them, and new ones will use them.
    /// [`Store::compact`](crate::Store::compact) gives them back to the system. On a cluster, what `etcdctl defrag`
    /// would give back.
    pub free_bytes: u64,
    /// The size of the file's write-ahead log in bytes; 0 in memory and on a cluster.
    pub wal_bytes: u64,
    /// The reader that keeps most of the write-ahead log from being reused; `None` if no reader does, in memory and on
    /// a cluster.
    pub oldest_reader: Option<OldestReader>,
    /// The version of SQLite, such as `3.46.1`, with which another program has changed the file, if that version can
    /// damage a file that others use; `None` if there is no sign of one, in memory and on a cluster. It is read from the
    /// header of the file, when the store is opened and when this is asked for.
    pub unsafe_sqlite: Option<String>,
    /// The oldest revision from which a watch of everything can start. A watch of fewer groups may start earlier: see
    /// [`Store::histories`](crate::Store::histories).
    pub history_from: Revision,
    /// The number of changes in the change log. On a cluster it is an estimate if they come from more than
    /// 10,000 commits.
    pub history_changes: u64,
    /// The bytes that those changes count towards the limit of [`Options::history`](crate::Options::history).
    pub history_bytes: u64,
    /// The named cursors, sorted by name.
    pub cursors: Vec<CursorInfo>,
}

/// A reader that keeps the write-ahead log of a file from being reused: see [`Stats::oldest_reader`].
///
/// A snapshot, a stream and a backup read for as long as they are held or take. What is written meanwhile stays in the
/// log.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// let store = larder::Store::open(folder.path().join("app.db"))?;
/// let snapshot = store.snapshot()?;
/// store.set("config", "colour", "blue")?;
/// let reader = store.stats()?.oldest_reader.unwrap();
/// assert_eq!(reader.process, Some(std::process::id()));
/// assert!(reader.log_bytes > 0);
/// drop(snapshot);
/// assert_eq!(store.stats()?.oldest_reader, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct OldestReader {
    /// Its process, or `None` where the system does not tell. Systems other than Linux do not tell which process reads:
    /// there, only readers of this store are found.
    pub process: Option<u32>,
    /// For how long it has been reading, in milliseconds. For a reader of this store it is exact. A reader of another
    /// process, or of another store of this process, has been reading for at least as long: since this store has seen
    /// it for the first time, in a call of [`Store::stats`](crate::Store::stats) or in a checkpoint.
    #[cfg_attr(feature = "serde", serde(rename = "age_ms", with = "super::serialized::millis"))]
    pub age: Duration,
    /// How many bytes of the log follow what it reads, so that they cannot be copied into the file before it ends.
    pub log_bytes: u64,
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
    /// The changes that it wants, as it was last opened.
    pub pattern: Pattern,
    /// The number of changes that follow what is acknowledged and are still in the change log, in all histories that
    /// may hold changes of its pattern. On a cluster it counts the changes to every key, and is an estimate if they
    /// come from more than 10,000 commits.
    pub behind: u64,
    /// Whether the change log has already lost changes that the cursor still needs. Its next
    /// [`recv`](crate::Cursor::recv) then fails with [`Error::Compacted`](crate::Error::Compacted).
    pub compacted: bool,
    /// When the cursor last moved, by the clock of the store that moved it, in milliseconds.
    #[cfg_attr(feature = "serde", serde(with = "super::serialized::time"))]
    pub moved_at: SystemTime,
}
