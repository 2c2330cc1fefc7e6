use std::fmt;

use crate::{Error, Result};

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

    /// The one rule that decides whether a write fits: it may not take a resource over its limit,
    /// but one that takes no more of a resource than there was is never refused for it, so that a
    /// namespace whose quota was lowered below what it holds can still be changed and emptied.
    pub(crate) fn admit(&self, namespace: &str, before: &Usage, after: &Usage) -> Result<()> {
        let resources = [
            (Resource::Keys, self.max_keys, before.keys, after.keys),
            (Resource::Groups, self.max_groups, before.groups, after.groups),
            (Resource::Bytes, self.max_bytes, before.bytes, after.bytes),
        ];
        for (resource, limit, before, after) in resources {
            if let Some(limit) = limit.filter(|limit| after > *limit && after > before) {
                let namespace = namespace.to_owned();
                return Err(Error::QuotaExceeded { namespace, resource, limit, wanted: after });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(keys: u64) -> Usage {
        Usage { keys, groups: 1, bytes: keys * 10 }
    }

    #[test]
    fn a_write_fits_up_to_the_limit_and_not_beyond() {
        let quota = Quota { max_keys: Some(3), ..Quota::default() };
        assert!(quota.admit("t", &usage(2), &usage(3)).is_ok());
        assert!(quota.admit("t", &usage(3), &usage(4)).is_err());
    }

    #[test]
    fn a_namespace_over_its_lowered_quota_may_shrink_and_stay_but_not_grow() {
        let quota = Quota { max_keys: Some(3), ..Quota::default() };
        assert!(quota.admit("t", &usage(9), &usage(8)).is_ok());
        assert!(quota.admit("t", &usage(9), &usage(9)).is_ok());
        assert!(quota.admit("t", &usage(9), &usage(10)).is_err());
    }

    #[test]
    fn zero_is_unlimited() {
        assert!(
            Quota { max_keys: Some(0), max_groups: Some(0), max_bytes: Some(0) }.normalized().is_unlimited()
        );
    }
}
