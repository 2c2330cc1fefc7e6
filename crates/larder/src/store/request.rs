//! One write, and how its result is read from the answer.

use std::time::SystemTime;

use super::scope::Scope;
use crate::data::{Condition, History, Quota, Result, Revision, Value, clock};
use crate::engine::{Commit, Committed, Mutation, Purged, Requirement};

/// One write, and how its result is read from the answer. Stores, async stores, batches and transactions all
/// write by requests.
pub(crate) struct Request<T> {
    pub commit: Commit,
    pub answer: fn(&Committed) -> T,
}

impl Request<Revision> {
    pub fn set(
        scope: &Scope,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        expires_at_ms: Option<i64>,
    ) -> Self {
        let group = name(scope, group);
        let set = Mutation::Set { group, key: key.into(), value: value.into(), expires_at_ms };
        Self { commit: set.into(), answer: |done| done.revision }
    }

    pub fn set_until(
        scope: &Scope,
        group: impl AsRef<str>,
        key: impl Into<String>,
        value: impl Into<Value>,
        expires_at: Option<SystemTime>,
    ) -> Self {
        Self::set(scope, group, key, value, expires_at.and_then(clock::expiry_at_ms))
    }
}

impl Request<bool> {
    pub fn delete(scope: &Scope, group: impl AsRef<str>, key: impl Into<String>) -> Self {
        let delete = Mutation::Delete { group: name(scope, group), key: key.into() };
        Self { commit: delete.into(), answer: |done| done.outcome().changed() }
    }

    pub fn touch(
        scope: &Scope,
        group: impl AsRef<str>,
        key: impl Into<String>,
        expires_at_ms: Option<i64>,
    ) -> Self {
        let touch = Mutation::Touch { group: name(scope, group), key: key.into(), expires_at_ms };
        Self { commit: touch.into(), answer: |done| done.outcome().changed() }
    }
}

impl Request<i64> {
    pub fn increment(scope: &Scope, group: impl AsRef<str>, key: impl Into<String>, by: i64) -> Self {
        let increment = Mutation::Increment { group: name(scope, group), key: key.into(), by };
        Self { commit: increment.into(), answer: |done| done.outcome().sum() }
    }
}

impl Request<u64> {
    pub fn delete_group(scope: &Scope, group: impl AsRef<str>) -> Self {
        Self::deleting(Mutation::DeleteGroup { group: name(scope, group) })
    }

    pub fn delete_prefix(scope: &Scope, prefix: impl AsRef<str>) -> Self {
        Self::deleting(Mutation::DeletePrefix { prefix: name(scope, prefix) })
    }

    fn deleting(mutation: Mutation) -> Self {
        Self { commit: mutation.into(), answer: |done| done.outcome().deleted() }
    }
}

impl Request<bool> {
    /// Sets a history, or with `None` removes it, and answers whether that changed anything.
    pub fn set_history(scope: &Scope, prefix: impl AsRef<str>, history: Option<History>) -> Self {
        let history = history.map(History::normalized);
        let set = Mutation::SetHistory { prefix: name(scope, prefix), history };
        Self { commit: set.into(), answer: |done| done.outcome().changed() }
    }
}

impl Request<Purged> {
    /// Removes up to `max` expired entries.
    pub fn purge(scope: &Scope, max: usize) -> Self {
        let purge = Mutation::Purge { prefix: scope.prefix().to_owned(), max };
        Self { commit: purge.into(), answer: |done| done.outcome().purged() }
    }
}

impl Request<()> {
    pub fn set_quota(namespace: &str, quota: Quota) -> Result<Self> {
        // Refuses what is no namespace.
        Scope::namespace(namespace)?;
        let set = Mutation::SetQuota { namespace: namespace.to_owned(), quota: quota.normalized() };
        Ok(Self { commit: set.into(), answer: |_| () })
    }
}

impl<T> Request<T> {
    /// Makes the request depend on a condition for the one entry that it writes.
    pub fn only_if(mut self, condition: Condition) -> Self {
        let entry = self.commit.mutations.first().and_then(Mutation::entry);
        let requirement =
            entry.map(|(group, key)| Requirement { group: group.to_owned(), key: key.to_owned(), condition });
        self.commit.requirements.extend(requirement);
        self
    }
}

fn name(scope: &Scope, group: impl AsRef<str>) -> String {
    scope.group(group.as_ref()).into_owned()
}
