//! The limits of a namespace, and what it holds.

use std::fmt;

/// The limits of one namespace. `None`, or 0, is no limit.
///
/// ```
/// use larder::{Quota, Store};
/// let store = Store::in_memory()?;
/// let tenant = store.scoped("tenant-42")?;
/// tenant.set_quota(Quota { max_keys: Some(1), ..Quota::default() })?;
///
/// tenant.set("preferences", "locale", "en-GB")?;
/// tenant.set("preferences", "locale", "de-AT")?; // overwriting takes no new key
/// assert!(tenant.set("preferences", "theme", "dark").is_err());
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// How many keys all its groups together may hold.
    pub max_keys: Option<u64>,
    /// How many groups it may have.
    pub max_groups: Option<u64>,
    /// How many bytes its keys and values together may have.
    pub max_bytes: Option<u64>,
}

/// What a namespace holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Keys of all its groups.
    pub keys: u64,
    /// Groups that have a live key.
    pub groups: u64,
    /// Bytes of its keys and values.
    pub bytes: u64,
}

/// What a [`Quota`] limits.
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
        f.write_str(match self {
            Self::Keys => "keys",
            Self::Groups => "groups",
            Self::Bytes => "bytes",
        })
    }
}

impl Quota {
    /// The same limits, with 0 written as `None`.
    pub(crate) fn normalized(self) -> Self {
        let limit = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
        Self {
            max_keys: limit(self.max_keys),
            max_groups: limit(self.max_groups),
            max_bytes: limit(self.max_bytes),
        }
    }

    /// Whether anything is limited.
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
