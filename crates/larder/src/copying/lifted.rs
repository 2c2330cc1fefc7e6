//! Notes in the target about the quotas that a copy has lifted: a run that is killed cannot restore them.

use std::collections::BTreeMap;

use super::note::Note;
use crate::data::{Quota, Result};
use crate::engine::{Commit, Mutation};

impl Note {
    /// Lifts the quota of a namespace of the target, and notes the former one in the same commit.
    pub fn lift(&self, namespace: &str, quota: Quota) -> Result<()> {
        self.change_quota(namespace, Quota::default(), Some(written(quota)))
    }

    /// Sets the quota of a namespace of the target, and removes the note about its former one.
    pub fn settle(&self, namespace: &str, quota: Quota) -> Result<()> {
        self.change_quota(namespace, quota, None)
    }

    fn change_quota(&self, namespace: &str, quota: Quota, content: Option<String>) -> Result<()> {
        let note = Mutation::SetNote { name: self.name_for(namespace), content };
        let mutations = vec![note, Mutation::SetQuota { namespace: namespace.to_owned(), quota }];
        self.target.commit(Commit::from(mutations)).map(drop)
    }

    /// The former quotas that this run of the copy, or one before it, has lifted.
    pub fn lifted(&self) -> Result<BTreeMap<String, Quota>> {
        let prefix = self.name_for("");
        let mut lifted = BTreeMap::new();
        for (name, content) in self.target.engine()?.notes(&prefix).wait()? {
            let Some(namespace) = name.strip_prefix(&prefix) else { continue };
            match read(&content) {
                Some(quota) => drop(lifted.insert(namespace.to_owned(), quota)),
                None => tracing::warn!(namespace, "a copy's note about a quota cannot be read"),
            }
        }
        Ok(lifted)
    }

    /// The name of the note about a namespace.
    fn name_for(&self, namespace: &str) -> String {
        format!("{} {namespace}", self.name)
    }
}

/// A quota as text, for people and for [`read`]. 0 is no limit.
fn written(quota: Quota) -> String {
    let Quota { max_keys, max_groups, max_bytes } = quota;
    let [keys, groups, bytes] = [max_keys, max_groups, max_bytes].map(Option::unwrap_or_default);
    format!("max_keys={keys} max_groups={groups} max_bytes={bytes}")
}

pub(super) fn read(text: &str) -> Option<Quota> {
    let mut limits = text.split(' ');
    let mut limit =
        |name: &str| -> Option<u64> { limits.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok() };
    let [max_keys, max_groups, max_bytes] = [limit("max_keys")?, limit("max_groups")?, limit("max_bytes")?];
    let quota = Quota { max_keys: Some(max_keys), max_groups: Some(max_groups), max_bytes: Some(max_bytes) };
    limits.next().is_none().then(|| quota.normalized())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_survives_writing_and_reading() {
        for quota in [
            Quota::default(),
            Quota { max_keys: Some(1), ..Quota::default() },
            Quota { max_groups: Some(2), max_bytes: Some(i64::MAX as u64), ..Quota::default() },
        ] {
            assert_eq!(read(&written(quota)), Some(quota));
        }
        for nonsense in ["", "max_keys=1", "max_keys=1 max_groups=2 max_bytes=-3", "1 2 3"] {
            assert_eq!(read(nonsense), None);
        }
    }
}
