//! How much of the change log is kept for a group of changes.

use std::time::Duration;

use super::quota::at_most_kept;
use super::revision::Revision;

/// How much of the change log is kept for the groups of one prefix: see
/// [`Store::set_history`](crate::Store::set_history).
///
/// Bounds above 2^63 - 1 are kept as that, and ages in whole milliseconds.
///
/// The oldest changes that exceed any of the bounds are removed. [`History::default`] is what
/// [`Options::history`](crate::Options::history) starts with.
///
/// ```
/// use std::time::Duration;
/// use larder::History;
///
/// let day = History { age: Some(Duration::from_secs(86_400)), ..History::default() };
/// assert_eq!((day.changes, day.bytes), (100_000, 64 << 20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct History {
    /// The number of changes.
    pub changes: u64,
    /// The bytes of those changes: names, values, and what it takes to find them.
    pub bytes: u64,
    /// How long a change is kept, in JSON as `age_ms`, in whole milliseconds; `None` is for any time.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "age_ms", default, with = "super::serialized::optional_millis")
    )]
    pub age: Option<Duration>,
}

impl Default for History {
    fn default() -> Self {
        Self { changes: 100_000, bytes: 64 << 20, age: None }
    }
}

impl History {
    /// Nothing is kept: live watchers receive the changes, and nobody can read them later. Bounds of 0 mean the
    /// same.
    ///
    /// ```
    /// # use larder::{History, Store};
    /// # let store = Store::in_memory()?;
    /// store.set_history("session:", History::NONE)?;
    /// let watcher = store.watch(("session:7", "*"))?;
    /// store.set("session:7", "token", "abc")?;
    /// assert_eq!(watcher.recv()?.value.unwrap(), "abc");
    /// assert!(store.history("session:7", "token")?.is_empty());
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub const NONE: Self = Self { changes: 0, bytes: 0, age: None };

    /// Returns whether nothing is kept.
    ///
    /// ```
    /// use larder::History;
    /// assert!(History { changes: 0, ..History::default() }.is_none());
    /// assert!(!History::default().is_none());
    /// ```
    pub fn is_none(&self) -> bool {
        self.changes == 0 || self.bytes == 0 || self.age.is_some_and(|age| age.as_millis() == 0)
    }

    /// Returns the same bounds, as every engine can keep them; [`NONE`](Self::NONE) if one of them is 0.
    pub(crate) fn normalized(self) -> Self {
        if self.is_none() {
            return Self::NONE;
        }
        let millis = |age: Duration| at_most_kept(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        Self {
            changes: at_most_kept(self.changes),
            bytes: at_most_kept(self.bytes),
            age: self.age.map(|age| Duration::from_millis(millis(age))),
        }
    }
}

/// A history that a store keeps, and how much it holds now: see [`Store::histories`](crate::Store::histories).
///
/// ```
/// # use larder::{History, Store};
/// # let store = Store::in_memory()?;
/// store.set_history("session:", History { changes: 1000, ..History::default() })?;
/// store.set("session:7", "token", "abc")?;
/// let histories = store.histories()?;
/// assert_eq!((histories[1].prefix.as_str(), histories[1].changes), ("session:", 1));
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HistoryInfo {
    /// What the names of its groups start with.
    pub prefix: String,
    /// How much it keeps. Of the store's own history, if the store has none set: what this process keeps.
    pub bounds: History,
    /// The number of changes that it holds.
    pub changes: u64,
    /// The bytes that those changes count.
    pub bytes: u64,
    /// The oldest revision from which all of these groups' changes can be watched.
    pub from: Revision,
}
