//! The quotas of the namespaces, which change all the time.

use larder::{Quota, Resource};

use super::Plant;
use super::calls::{Caller, Came, came, read};
use crate::face::call;
use crate::neighbours::history::{Asked, Limit};
use crate::random::Random;

/// Each namespace, what is limited there, and to how much: less than the workers try to put there, mostly.
const LIMITS: [(&str, Resource, [u64; 4]); 3] = [
    ("keys", Resource::Keys, [7, 3, 5, 11]),
    ("groups", Resource::Groups, [2, 1, 3, 4]),
    ("bytes", Resource::Bytes, [250, 60, 140, 500]),
];

impl Limit {
    pub fn of(namespace: &str, quota: Quota) -> Self {
        let [keys, groups, bytes] =
            [quota.max_keys, quota.max_groups, quota.max_bytes].map(|limit| limit.unwrap_or(u64::MAX));
        Self { namespace: namespace.to_owned(), keys, groups, bytes }
    }

    pub fn quota(&self) -> Quota {
        let [max_keys, max_groups, max_bytes] =
            [self.keys, self.groups, self.bytes].map(|limit| (limit < u64::MAX).then_some(limit));
        Quota { max_keys, max_groups, max_bytes }
    }
}

fn limit((namespace, resource, _): (&str, Resource, [u64; 4]), to: u64) -> Limit {
    let quota = match resource {
        Resource::Keys => Quota { max_keys: Some(to), ..Quota::default() },
        Resource::Groups => Quota { max_groups: Some(to), ..Quota::default() },
        _ => Quota { max_bytes: Some(to), ..Quota::default() },
    };
    Limit::of(namespace, quota)
}

/// What every namespace begins with.
pub fn first() -> impl Iterator<Item = Limit> {
    LIMITS.into_iter().map(|row| limit(row, row.2[0]))
}

/// Another quota for a namespace, or none.
fn other(random: &mut Random) -> Limit {
    let row = LIMITS[random.place(LIMITS.len())];
    if random.one_in(12) {
        return Limit::of(row.0, Quota::default());
    }
    limit(row, row.2[random.place(row.2.len())])
}

impl Caller<'_> {
    pub(super) fn set_quota(&mut self) -> Came {
        let limit = other(&mut self.random);
        self.asks(Asked::SetQuota(limit.clone()));
        let result = match self.plant {
            Some(Plant::QuotaUnset) => Ok(()),
            _ => call!(self.calling, |store| store.set_quota(&limit.namespace, limit.quota())),
        };
        came(Asked::SetQuota(limit), result.map(|()| None))
    }

    pub(super) fn quota(&mut self) -> Came {
        let namespace = LIMITS[self.random.place(LIMITS.len())].0;
        match call!(self.calling, |store| store.scoped(namespace)?.quota()) {
            Ok(quota) => came(Asked::Quota(Limit::of(namespace, quota)), Ok(None)),
            Err(error) => read(Err(error)),
        }
    }
}
