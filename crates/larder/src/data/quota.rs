//! The limits of a namespace, and what it holds.

use std::fmt;

/// The limits of one namespace. For each of them, `None` and 0 mean that there is no limit.
///
/// Later versions may add limits: build a quota with `..Quota::default()`.
///
/// ```
/// use larder::{Error, Quota, Store};
///
/// let store = Store::in_memory()?;
/// let tenant = store.scoped("tenant-42")?;
/// tenant.set_quota(Quota { max_keys: Some(1), ..Quota::default() })?;
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
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keys => "keys",
            Self::Groups => "groups",
            Self::Bytes => "bytes",
        })
    }
}

impl Quota {
    /// Returns the same limits, with `None` instead of 0.
    pub(crate) fn normalized(self) -> Self {
        let limit = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
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
