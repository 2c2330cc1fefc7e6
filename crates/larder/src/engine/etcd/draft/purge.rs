//! The mutation that removes expired entries.

use bytes::Bytes;

use super::Draft;
use super::knowledge::Wanted;
use super::limits::OPERATIONS_MAX;
use super::step::{Step, StepError, decode};
use super::tallies::signed;
use crate::engine::Purged;
use crate::engine::etcd::layout::{Change, Span, Weight, next_key};

/// How many groups with something due one purge looks at.
const DUE_GROUPS_MAX: usize = 1000;

/// Of how many of these groups the facts are fetched at once.
const GROUPS_AT_ONCE: usize = 32;

/// How many operations of a transaction are left for tallies, when entries are purged.
const TALLY_OPERATIONS: usize = 24;

/// How many operations purging one more group takes at least.
const GROUP_OPERATIONS: usize = 12;

/// A group that may have something due.
struct DueGroup {
    path: Bytes,
    group: String,
    at_ms: i64,
}

impl Draft {
    /// The time up to which entries have expired by the clock of every client. No entry has while the clock of this one
    /// is not to be believed.
    fn purge_until_ms(&self) -> i64 {
        if !self.context.clock_watch.may_purge() {
            return 0;
        }
        self.now_ms().saturating_sub(self.context.grace_ms)
    }

    /// The groups that have something due, and how many of them a purge looks at.
    fn due_to_purge(&self, prefix: &str) -> (Span, usize) {
        let limit = if prefix.is_empty() { DUE_GROUPS_MAX } else { usize::MAX };
        (self.layout().due_by(self.purge_until_ms()), limit)
    }

    /// The facts that a purge needs.
    pub(super) fn purge_facts(&self, prefix: &str) -> Vec<Wanted> {
        let (span, limit) = self.due_to_purge(prefix);
        vec![Wanted::Span(span, limit)]
    }

    /// Removes up to `max` expired entries of the groups whose names start with `prefix`, but no more than fit
    /// into one transaction. [`Purged::more`] is set where the purge has removed something, or has only
    /// corrected the time at which a group is looked at again.
    pub(super) fn purge(&mut self, prefix: &str, max: usize) -> Step<Purged> {
        let begin = self.savepoint();
        let (span, limit) = self.due_to_purge(prefix);
        let mut due = Vec::new();
        for (path, _) in self.read_span(&span, limit)?.pairs {
            let group = self.due_group(path)?;
            if group.group.starts_with(prefix) {
                due.push(group);
            }
        }
        // Each entry takes one operation and one comparison.
        let entries_max = max.min(OPERATIONS_MAX - TALLY_OPERATIONS);
        let mut left = entries_max;
        'full: for groups in due.chunks(GROUPS_AT_ONCE) {
            let wanted = groups.iter().flat_map(|DueGroup { group, .. }| {
                let expiries = Wanted::Span(self.layout().expiries(group), entries_max + 1);
                self.tally_facts(group).chain([expiries])
            });
            self.require_known(wanted)?;
            for group in groups {
                let has_begun = self.has_written_since(begin);
                if left < entries_max / 4 || (has_begun && !self.has_room_for(GROUP_OPERATIONS)) {
                    break 'full;
                }
                left -= self.purge_group(group, left, entries_max)?;
            }
        }
        if self.has_written_since(begin) && self.record.is_empty() {
            // Lone writers compare only the commit record, which does not change, and the quotas' mark.
            self.put(self.layout().quotas(), Bytes::new());
        }
        Ok(Purged { entries: (entries_max - left) as u64, more: self.has_written_since(begin) })
    }

    fn due_group(&self, path: Bytes) -> Step<DueGroup> {
        let Some((at_ms, group)) = self.layout().due_parts(&path) else {
            let path = String::from_utf8_lossy(&path);
            return Err(StepError::Damaged(format!("the key {path:?} names no time")));
        };
        Ok(DueGroup { path, group, at_ms })
    }

    /// Whether the transaction can take so many more operations and comparisons.
    fn has_room_for(&self, operations: usize) -> bool {
        let plan = self.plan();
        plan.operations.len() + operations <= OPERATIONS_MAX
            && plan.compares.len() + operations <= OPERATIONS_MAX
    }

    /// Removes up to `max` expired entries of a group, of which the first `known` expiries and one more are
    /// known. Returns how many it has removed.
    fn purge_group(&mut self, due: &DueGroup, max: usize, known: usize) -> Step<usize> {
        let group = &*due.group;
        let tally = self.group_tally(group)?;
        if tally.first_expiry_ms != Some(due.at_ms) {
            // The group was deleted since.
            self.delete(due.path.clone());
            return Ok(0);
        }
        let span = self.layout().expiries(group);
        let mut expiries = Vec::new();
        for (path, weight) in self.read_span(&span, known + 1)?.pairs {
            let (at_ms, key) = self.expiry_parts(&path)?;
            let Weight { bytes } = decode(&path, weight)?;
            expiries.push((path, at_ms, key, bytes));
        }
        let until_ms = self.purge_until_ms();
        let expired: Vec<_> =
            expiries.iter().take_while(|(_, at_ms, ..)| *at_ms <= until_ms).take(max).collect();
        if let Some((last, ..)) = expired.last() {
            self.note_usage_before(group)?;
            for (path, at_ms, key, _) in &expired {
                self.read(path)?;
                self.delete(self.layout().entry(group, key));
                self.log(Change::expire(group, key, Some(*at_ms)));
            }
            self.writes.empty(Span { start: span.start.clone(), end: next_key(last) });
        }
        let removed = expired.len();
        let bytes: u64 = expired.iter().map(|(.., bytes)| bytes).sum();
        let next_ms = expiries.get(removed).map(|(_, at_ms, ..)| *at_ms);
        self.set_first_expiry(group, next_ms)?;
        self.count(group, -signed(removed as u64), -signed(bytes), None)?;
        Ok(removed)
    }
}
