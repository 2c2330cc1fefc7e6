//! The tallies of groups and namespaces, which every write keeps up to date.

use bytes::Bytes;

use super::Draft;
use super::knowledge::Wanted;
use super::step::Step;
use crate::data::Usage;
use crate::data::namespace::namespace_of;
use crate::engine::etcd::layout::{GroupTally, NamespaceTally};
use crate::rules::{Growth, needs_tally};

impl Draft {
    /// The facts that counting in a group needs.
    pub(super) fn tally_facts(&self, group: &str) -> impl Iterator<Item = Wanted> {
        let namespace = namespace_of(group).map(|name| Wanted::Key(self.layout().namespace(name)));
        namespace.into_iter().chain([Wanted::Key(self.layout().group(group))])
    }

    pub(super) fn group_tally(&mut self, group: &str) -> Step<GroupTally> {
        let path = self.layout().group(group);
        Ok(self.read_message(&path)?.unwrap_or_default())
    }

    /// A group's tally, without a guard. The caller guards the commit record.
    pub(super) fn unguarded_group_tally(&mut self, group: &str) -> Step<GroupTally> {
        let savepoint = self.guards.savepoint();
        let tally = self.group_tally(group);
        self.guards.roll_back_keys(savepoint);
        tally
    }

    pub(super) fn namespace_tally(&mut self, name: &str) -> Step<NamespaceTally> {
        let path = self.layout().namespace(name);
        Ok(self.read_message(&path)?.unwrap_or_default())
    }

    /// Counts the keys and bytes that a group gains or loses, and an entry's new expiry.
    pub(super) fn count(
        &mut self,
        group: &str,
        keys: i64,
        bytes: i64,
        expires_at_ms: Option<i64>,
    ) -> Step<()> {
        let before = self.group_tally(group)?;
        let growth = Growth::of_group(before.keys, keys, bytes);
        let mut tally = before;
        tally.keys = tally.keys.saturating_add_signed(keys);
        tally.bytes = tally.bytes.saturating_add_signed(bytes);
        if let Some(at_ms) = expires_at_ms
            && tally.first_expiry_ms.is_none_or(|first| at_ms < first)
        {
            self.move_due(group, tally.first_expiry_ms, Some(at_ms));
            tally.first_expiry_ms = Some(at_ms);
        }
        if tally == before {
            return Ok(());
        }
        let path = self.layout().group(group);
        if tally.keys == 0 {
            self.move_due(group, tally.first_expiry_ms, None);
            self.delete(path);
        } else {
            self.put_message(path, &tally);
        }
        if let Some(name) = namespace_of(group) {
            self.count_in_namespace(name, growth)?;
        }
        Ok(())
    }

    /// Corrects the time of a group's first expiry, which overwrites and deletions leave too early.
    pub(super) fn set_first_expiry(&mut self, group: &str, at_ms: Option<i64>) -> Step<()> {
        let before = self.group_tally(group)?;
        if before.first_expiry_ms != at_ms {
            self.move_due(group, before.first_expiry_ms, at_ms);
            self.put_message(self.layout().group(group), &GroupTally { first_expiry_ms: at_ms, ..before });
        }
        Ok(())
    }

    fn move_due(&mut self, group: &str, from_ms: Option<i64>, to_ms: Option<i64>) {
        if let Some(at_ms) = from_ms {
            self.delete(self.layout().due(at_ms, group));
        }
        if let Some(at_ms) = to_ms {
            self.put(self.layout().due(at_ms, group), Bytes::new());
        }
    }

    pub(super) fn count_in_namespace(&mut self, name: &str, growth: Growth) -> Step<()> {
        let before = self.namespace_tally(name)?;
        let Usage { keys, groups, bytes } = growth.applied_to(&before.usage());
        let tally = NamespaceTally { keys, groups, bytes, ..before };
        if tally != before {
            self.put_namespace(self.layout().namespace(name), &tally);
        }
        Ok(())
    }

    pub(super) fn put_namespace(&mut self, path: Bytes, tally: &NamespaceTally) {
        if needs_tally(tally.keys, &tally.quota()) {
            self.put_message(path, tally);
        } else {
            self.delete(path);
        }
    }
}

/// A count as the difference that a tally changes by.
pub fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
