//! Whether a write fits the quota of its namespace.

use crate::data::{Error, Quota, Resource, Result, Usage};

/// Whether a write fits the quota of its namespace.
///
/// A write may not take a resource over its limit. A write that takes no more of a resource than there
/// was is never refused for it, so a namespace whose quota was lowered below what it holds can still be
/// changed and emptied.
///
/// # Errors
/// [`Error::QuotaExceeded`] names the first resource that does not fit.
pub(crate) fn admit(quota: &Quota, namespace: &str, before: &Usage, after: &Usage) -> Result<()> {
    let resources = [
        (Resource::Keys, quota.max_keys, before.keys, after.keys),
        (Resource::Groups, quota.max_groups, before.groups, after.groups),
        (Resource::Bytes, quota.max_bytes, before.bytes, after.bytes),
    ];
    for (resource, limit, before, after) in resources {
        if let Some(limit) = limit.filter(|limit| after > *limit && after > before) {
            let namespace = namespace.to_owned();
            return Err(Error::QuotaExceeded { namespace, resource, limit, wanted: after });
        }
    }
    Ok(())
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
        assert!(admit(&quota, "t", &usage(2), &usage(3)).is_ok());
        assert!(admit(&quota, "t", &usage(3), &usage(4)).is_err());
    }

    #[test]
    fn a_namespace_over_its_lowered_quota_may_shrink_and_stay_but_not_grow() {
        let quota = Quota { max_keys: Some(3), ..Quota::default() };
        assert!(admit(&quota, "t", &usage(9), &usage(8)).is_ok());
        assert!(admit(&quota, "t", &usage(9), &usage(9)).is_ok());
        assert!(admit(&quota, "t", &usage(9), &usage(10)).is_err());
    }
}
