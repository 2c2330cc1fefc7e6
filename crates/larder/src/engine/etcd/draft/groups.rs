//! Mutations of whole groups.

use std::collections::BTreeMap;

use super::Draft;
use super::knowledge::Wanted;
use super::step::{Step, StepError};
use super::tallies::signed;
use crate::data::namespace::namespace_of;
use crate::engine::etcd::layout::Change;
use crate::rules::Growth;

/// Beyond this many groups, deleting by prefix guards the commit record instead of each group's tally.
const GUARDED_GROUPS_MAX: usize = 40;

impl Draft {
    /// The facts that deleting a group needs.
    pub(super) fn group_facts(&self, group: &str) -> Vec<Wanted> {
        let expired = self.layout().expired(group, self.now_ms());
        self.tally_facts(group).chain([Wanted::Span(expired, usize::MAX)]).collect()
    }

    /// The facts that deleting by prefix needs.
    pub(super) fn prefix_facts(&self, prefix: &str) -> Vec<Wanted> {
        let spans = [self.layout().groups(prefix), self.layout().due_by(self.now_ms())];
        spans.map(|span| Wanted::Span(span, usize::MAX)).into()
    }

    /// Deletes a group. Returns how many live entries it had; a group without any stays, for a purge to remove.
    pub(super) fn delete_group(&mut self, group: &str) -> Step<u64> {
        let live = self.group_usage(group)?;
        if live.keys == 0 {
            return Ok(0);
        }
        self.note_usage_before(group)?;
        self.log_expired(group)?;
        let tally = self.group_tally(group)?;
        for span in [self.layout().entries(group), self.layout().expiries(group)] {
            self.writes.empty(span);
        }
        self.count(group, -signed(tally.keys), -signed(tally.bytes), None)?;
        self.log(Change::delete_group(group));
        Ok(live.keys)
    }

    /// Logs the expiry of the expired entries that a deletion of their group removes.
    fn log_expired(&mut self, group: &str) -> Step<()> {
        let expired = self.layout().expired(group, self.now_ms());
        for (path, _) in self.read_whole_span(&expired)? {
            let (at_ms, key) = self.expiry_parts(&path)?;
            self.log(Change::expire(group, &key, Some(at_ms)));
        }
        Ok(())
    }

    /// Parses the time and the key from the path of an expiry.
    pub(super) fn expiry_parts(&self, path: &[u8]) -> Step<(i64, String)> {
        match self.layout().expiry_parts(path) {
            Some((_, at_ms, key)) => Ok((at_ms, key)),
            None => {
                let path = String::from_utf8_lossy(path);
                Err(StepError::Damaged(format!("the key {path:?} names no expiry")))
            }
        }
    }

    /// Deletes the groups whose names start with `prefix`. Returns how many live entries they had.
    pub(super) fn delete_prefix(&mut self, prefix: &str) -> Step<u64> {
        let groups = self.groups(prefix)?;
        if groups.iter().all(|group| group.keys == 0) {
            return Ok(0);
        }
        let guards_tallies = groups.len() <= GUARDED_GROUPS_MAX;
        if !guards_tallies {
            self.guard_commits_since(&self.layout().groups(prefix));
            self.require_known(groups.iter().map(|group| Wanted::Key(self.layout().group(&group.name))))?;
        }
        let mut deleted = 0;
        let mut losses: BTreeMap<&str, Growth> = BTreeMap::new();
        for group in &groups {
            let name = &*group.name;
            self.note_usage_before(name)?;
            let tally =
                if guards_tallies { self.group_tally(name)? } else { self.unguarded_group_tally(name)? };
            if tally.keys > group.keys {
                self.log_expired(name)?;
            }
            if group.keys > 0 {
                self.log(Change::delete_group(name));
                deleted += group.keys;
            }
            if let Some(namespace) = namespace_of(name) {
                let loss = Growth::of_group(tally.keys, -signed(tally.keys), -signed(tally.bytes));
                *losses.entry(namespace).or_default() += loss;
            }
        }
        self.require_known(losses.keys().map(|name| Wanted::Key(self.layout().namespace(name))))?;
        for (name, loss) in losses {
            self.count_in_namespace(name, loss)?;
        }
        for span in [
            self.layout().entries_of_groups(prefix),
            self.layout().expiries_of_groups(prefix),
            // The groups' `due` keys stay. When their time comes, a purge finds that no group has it.
            self.layout().groups(prefix),
        ] {
            self.writes.empty(span);
        }
        Ok(deleted)
    }
}
