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

/// Whether a usage is within a quota, whatever was there before.
pub(crate) fn is_within(quota: &Quota, usage: &Usage) -> bool {
    admit(quota, "", &Usage::default(), usage).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_usage() -> impl Strategy<Value = Usage> {
        (0..8_u64, 0..8_u64, 0..8_u64).prop_map(|(keys, groups, bytes)| Usage { keys, groups, bytes })
    }

    fn any_quota() -> impl Strategy<Value = Quota> {
        let limit = || prop::option::of(1..8_u64);
        (limit(), limit(), limit()).prop_map(|(max_keys, max_groups, max_bytes)| Quota {
            max_keys,
            max_groups,
            max_bytes,
        })
    }

    proptest! {
        #[test]
        fn a_write_is_refused_for_what_it_takes_over_a_limit_and_for_nothing_else(
            quota in any_quota(), before in any_usage(), after in any_usage(),
        ) {
            let over = |limit: Option<u64>, before: u64, after: u64| {
                limit.is_some_and(|limit| after > limit && after > before)
            };
            let refused = over(quota.max_keys, before.keys, after.keys)
                || over(quota.max_groups, before.groups, after.groups)
                || over(quota.max_bytes, before.bytes, after.bytes);
            prop_assert_eq!(admit(&quota, "t", &before, &after).is_err(), refused);
        }

        #[test]
        fn what_is_within_a_quota_is_admitted_whatever_was_there_before(
            quota in any_quota(), before in any_usage(), after in any_usage(),
        ) {
            prop_assert!(!is_within(&quota, &after) || admit(&quota, "t", &before, &after).is_ok());
        }
    }

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
