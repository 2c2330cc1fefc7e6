//! Notes in the target about the quotas that a copy has changed: a run that is killed cannot restore them.

use std::collections::BTreeMap;

use super::note::Note;
use crate::data::{Quota, Result};
use crate::engine::{Commit, Mutation};

/// What a note says about the quota of one namespace of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    /// The quota that it had before the copy.
    pub former: Quota,
    /// The quota of the source, once the copy has set it. Until then the quota is lifted.
    pub set: Option<Quota>,
}

impl Changed {
    /// The quota that the namespace has without the copy. One that it was given meanwhile stays.
    pub fn without_copy(self, there: Option<Quota>) -> Quota {
        let there = there.unwrap_or_default();
        if there == self.set.unwrap_or_default() { self.former } else { there }
    }
}

impl Note {
    /// Lifts the quota of a namespace of the target, and notes the former one in the same commit.
    pub fn lift(&self, namespace: &str, former: Quota) -> Result<()> {
        let changed = Changed { former, set: None };
        self.change_quota(namespace, Quota::default(), Some(written(changed)))
    }

    /// Sets the quota of a namespace of the target to that of the source, and keeps the former one in the note.
    pub fn set_quota(&self, namespace: &str, former: Quota, quota: Quota) -> Result<()> {
        let changed = Changed { former, set: Some(quota) };
        self.change_quota(namespace, quota, Some(written(changed)))
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

    /// The quotas that this run of the copy, or one before it, has changed.
    pub fn changed_quotas(&self) -> Result<BTreeMap<String, Changed>> {
        let prefix = self.name_for("");
        let mut quotas = BTreeMap::new();
        for (name, content) in self.target.engine()?.notes(&prefix).wait()? {
            let Some(namespace) = name.strip_prefix(&prefix) else { continue };
            match read(&content) {
                Some(changed) => drop(quotas.insert(namespace.to_owned(), changed)),
                None => tracing::warn!(namespace, "a copy's note about a quota cannot be read"),
            }
        }
        Ok(quotas)
    }

    /// The name of the note about a namespace.
    pub fn name_for(&self, namespace: &str) -> String {
        format!("{} {namespace}", self.name)
    }
}

/// Between the former quota and the one that the copy has set.
const THEN: &str = " then ";

/// The content of a note, for people and for [`read`]. 0 is no limit.
fn written(Changed { former, set }: Changed) -> String {
    let text = |quota: Quota| {
        let Quota { max_keys, max_groups, max_bytes } = quota;
        let [keys, groups, bytes] = [max_keys, max_groups, max_bytes].map(Option::unwrap_or_default);
        format!("max_keys={keys} max_groups={groups} max_bytes={bytes}")
    };
    match set {
        Some(set) => format!("{}{THEN}{}", text(former), text(set)),
        None => text(former),
    }
}

pub(super) fn read(text: &str) -> Option<Changed> {
    match text.split_once(THEN) {
        Some((former, set)) => Some(Changed { former: read_quota(former)?, set: Some(read_quota(set)?) }),
        None => Some(Changed { former: read_quota(text)?, set: None }),
    }
}

fn read_quota(text: &str) -> Option<Quota> {
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
    fn a_note_about_a_quota_survives_writing_and_reading() {
        let quotas = [
            Quota::default(),
            Quota { max_keys: Some(1), ..Quota::default() },
            Quota { max_groups: Some(2), max_bytes: Some(i64::MAX as u64), ..Quota::default() },
        ];
        for former in quotas {
            for set in quotas.map(Some).into_iter().chain([None]) {
                let changed = Changed { former, set };
                assert_eq!(read(&written(changed)), Some(changed));
            }
        }
        let quota = "max_keys=1 max_groups=2 max_bytes=3";
        let twice = format!("{quota} then {quota} then {quota}");
        for nonsense in ["", "max_keys=1", "max_keys=1 max_groups=2 max_bytes=-3", "1 2 3", "then", &twice] {
            assert_eq!(read(nonsense), None);
        }
    }

    #[test]
    fn a_quota_goes_back_to_the_former_one_unless_it_was_given_another() {
        let keys = |max_keys| Quota { max_keys: Some(max_keys), ..Quota::default() };
        let lifted = Changed { former: keys(1), set: None };
        assert_eq!(lifted.without_copy(None), keys(1));
        assert_eq!(lifted.without_copy(Some(keys(3))), keys(3));
        let set = Changed { former: keys(1), set: Some(keys(2)) };
        assert_eq!(set.without_copy(Some(keys(2))), keys(1));
        assert_eq!(set.without_copy(Some(keys(3))), keys(3));
        assert_eq!(set.without_copy(None), Quota::default(), "somebody has removed it");
    }
}
