//! Whether writes fit the quotas of their namespaces.

use bytes::Bytes;

use super::Draft;
use super::lookup::DraftEntry;
use super::step::Step;
use crate::data::Quota;
use crate::data::namespace::namespace_of;
use crate::engine::etcd::layout::NamespaceTally;
use crate::rules::{Growth, admit, growth_of_set, is_live, is_within};

impl Draft {
    /// Refuses a value that does not fit its namespace's quota. Expired entries do not count. In a batch of
    /// several mutations, [`judge_batch`](Self::judge_batch) decides instead.
    pub(super) fn admit(
        &mut self,
        group: &str,
        key: &str,
        size: usize,
        old: Option<&DraftEntry>,
    ) -> Step<()> {
        let Some(name) = namespace_of(group) else { return Ok(()) };
        let namespace = self.namespace_tally(name)?;
        let quota = namespace.quota();
        if quota.is_unlimited() || self.batch.usage_before.is_some() {
            return Ok(());
        }
        let growth_by = |old: Option<usize>, keys_before: u64| {
            let (keys, bytes) = growth_of_set(key.len(), size, old);
            Growth::of_group(keys_before, keys, bytes)
        };
        // Judges by what is stored, expired or not, since that is known. Only where it does not fit is it worth
        // reading which entries have expired.
        let stored = growth_by(old.map(|old| old.value.len()), self.group_tally(group)?.keys);
        if is_within(&quota, &stored.applied_to(&namespace.usage())) {
            return Ok(());
        }
        self.for_all_clocks(|draft| {
            let before = draft.namespace_usage(name)?;
            let live = old.filter(|old| is_live(old.expires_at_ms, draft.expired_by_ms()));
            let exact = growth_by(live.map(|old| old.value.len()), draft.group_usage(group)?.keys);
            Ok(admit(&quota, name, &before, &exact.applied_to(&before))?)
        })
    }

    /// Judges the quotas from now on by what the whole batch leaves behind.
    pub(super) fn begin_batch(&mut self) {
        self.batch.usage_before = Some(Default::default());
    }

    /// Notes what a group's namespace holds before the open batch first writes to it.
    pub(super) fn note_usage_before(&mut self, group: &str) -> Step<()> {
        if let Some(name) = namespace_of(group)
            && self.batch.usage_before.as_ref().is_some_and(|before| !before.contains_key(name))
            && !self.namespace_tally(name)?.quota().is_unlimited()
        {
            let usage = self.for_all_clocks(|draft| draft.namespace_usage(name))?;
            self.batch.usage_before.get_or_insert_default().insert(name.to_owned(), usage);
        }
        Ok(())
    }

    /// Refuses the open batch if a namespace that it has written to now exceeds its quota.
    pub(super) fn judge_batch(&mut self) -> Step<()> {
        let Some(usage_before) = self.batch.usage_before.take() else { return Ok(()) };
        for (name, before) in usage_before {
            let namespace = self.namespace_tally(&name)?;
            let quota = namespace.quota();
            if is_within(&quota, &namespace.usage()) {
                continue;
            }
            let after = self.for_all_clocks(|draft| draft.namespace_usage(&name))?;
            admit(&quota, &name, &before, &after)?;
        }
        Ok(())
    }

    pub(super) fn set_quota(&mut self, namespace: &str, quota: Quota) -> Step<()> {
        let tally = NamespaceTally {
            max_keys: quota.max_keys,
            max_groups: quota.max_groups,
            max_bytes: quota.max_bytes,
            ..self.namespace_tally(namespace)?
        };
        self.put_namespace(self.layout().namespace(namespace), &tally);
        self.put(self.layout().quotas(), Bytes::new());
        Ok(())
    }
}
