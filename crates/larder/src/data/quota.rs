//! The limits of a namespace, and what it holds.

use std::fmt;

/// The limits of one namespace. For each of them, `None` and 0 mean that there is no limit.
///
/// The names of groups count for no byte, and neither does the change log, which has bounds of its own. A group's name
/// may have 64 KiB and its key may be empty, so `max_bytes` alone does not bound what a tenant stores: set `max_groups`
/// as well. The cursors of a namespace may take 1 MiB, with or without a quota: their names, their patterns, and 48
/// bytes for each. Beyond that a new cursor is refused.
///
/// A limit above 2^63 - 1 is kept as that.
///
/// Later versions may add limits: build a quota with `..Quota::default()`.
///
/// ```
/// use larder::{Error, Quota, Store};
///
/// let store = Store::in_memory()?;
/// let tenant = store.scoped("tenant-42")?;
/// store.set_quota("tenant-42", Quota { max_keys: Some(1), ..Quota::default() })?;
///
/// tenant.set("preferences", "locale", "en-GB")?;
/// tenant.set("preferences", "locale", "de-AT")?; // an existing key: no new one is needed
/// let refused = tenant.set("preferences", "theme", "dark");
/// assert!(matches!(refused, Err(Error::QuotaExceeded { .. })));
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Quota {
    /// The most keys that all its groups together may have.
    pub max_keys: Option<u64>,
    /// The most groups that it may have.
    pub max_groups: Option<u64>,
    /// The most bytes that its keys and values together may have.
    pub max_bytes: Option<u64>,
}

/// What a namespace holds: see [`ScopedStore::usage`](crate::ScopedStore::usage).
///
/// ```
/// use larder::{Store, Usage};
///
/// let tenant = Store::in_memory()?.scoped("tenant-42")?;
/// tenant.set("preferences", "locale", "en-GB")?;
/// assert_eq!(tenant.usage()?, Usage { keys: 1, groups: 1, bytes: 11 });
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Usage {
    /// The number of live keys in all its groups.
    pub keys: u64,
    /// The number of groups that have a live key.
    pub groups: u64,
    /// The bytes of its keys and values.
    pub bytes: u64,
}

/// What a [`Quota`] limits, as [`Error::QuotaExceeded`](crate::Error::QuotaExceeded) names it.
///
/// ```
/// assert_eq!(larder::Resource::Keys.to_string(), "keys");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// The number of keys.
    Keys,
    /// The number of groups.
    Groups,
    /// The bytes of keys and values.
    Bytes,
    /// The bytes of the names and patterns of cursors, and 48 for each cursor. No quota sets this limit: it is 1 MiB
    /// for each namespace.
    CursorBytes,
    /// The number of watchers, mirrors and cursors that scoped handles have in this process at a time.
    /// [`Options::watchers_max`](crate::Options::watchers_max) sets it.
    Watchers,
    /// The steps of one batch or transaction of a scoped handle. [`Options::batch_max`](crate::Options::batch_max) sets
    /// it.
    BatchSteps,
    /// The bytes of the names and values in one batch or transaction of a scoped handle.
    /// [`Options::batch_max`](crate::Options::batch_max) sets it.
    BatchBytes,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keys => "keys",
            Self::Groups => "groups",
            Self::Bytes => "bytes",
            Self::CursorBytes => "bytes of cursors",
            Self::Watchers => "watchers",
            Self::BatchSteps => "steps in one batch or transaction",
            Self::BatchBytes => "bytes in one batch or transaction",
        })
    }
}

/// A count as every engine can keep it: SQLite's integers end at 2^63 - 1.
pub(super) fn at_most_kept(count: u64) -> u64 {
    count.min(i64::MAX.cast_unsigned())
}

impl Quota {
    /// Returns the same limits, with `None` instead of 0, and none above what every engine can keep.
    pub(crate) fn normalized(self) -> Self {
        let limit = |limit: Option<u64>| limit.filter(|limit| *limit > 0).map(at_most_kept);
        Self {
            max_keys: limit(self.max_keys),
            max_groups: limit(self.max_groups),
            max_bytes: limit(self.max_bytes),
        }
    }

    /// Returns whether nothing is limited.
    pub(crate) fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_unlimited() {
        assert!(
            Quota { max_keys: Some(0), max_groups: Some(0), max_bytes: Some(0) }.normalized().is_unlimited()
        );
    }
}
