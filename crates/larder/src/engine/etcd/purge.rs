//! Removing what has expired, as a mutation.

use bytes::Bytes;

use super::draft::{Draft, Hitch, OPERATIONS_MAX, Step, decoded};
use super::knowledge::Wanted;
use super::layout::{Kind, Span, Weight, next_key};
use super::mutations::{length, signed};
use crate::engine::Purged;

/// How many groups with something due are looked at in one step.
pub(super) const DUE_MAX: usize = 1000;

/// How many of them are asked for at once.
const GROUPS_AT_ONCE: usize = 32;

impl Draft {
    /// What has expired by then has for every client, whatever its clock shows.
    pub fn gone_ms(&self) -> i64 {
        self.now_ms.saturating_sub(self.grace_ms)
    }

    /// Removes up to `max` expired entries, and not more than fit into one transaction. There may be more to do
    /// where it removed something, and where it only corrected when a group has to be looked at again.
    pub fn purge(&mut self, prefix: &str, max: usize) -> Step<Purged> {
        let begun = self.mark();
        let limit = if prefix.is_empty() { DUE_MAX } else { usize::MAX };
        let (due, _) = self.rows(&self.layout.due_by(self.gone_ms()), limit)?;
        // Each takes an operation and a comparison; each group some more.
        let most = max.min(OPERATIONS_MAX - 24);
        let mut room = most;
        let due = due.into_iter().map(|(path, _)| self.due_group(path)).collect::<Step<Vec<_>>>()?;
        let due: Vec<_> = due.into_iter().filter(|(_, group, _)| group.starts_with(prefix)).collect();
        'room: for some in due.chunks(GROUPS_AT_ONCE) {
            let wanted = some.iter().flat_map(|(_, group, _)| {
                let span = Wanted::Span(self.layout.expiries(group), most + 1);
                self.tallies(group).chain([span])
            });
            self.wants(wanted.collect::<Vec<_>>())?;
            for (path, group, at_ms) in some {
                let is_begun = self.has_written_since(begun);
                if room < most / 4 || (is_begun && self.excess_with(12)) {
                    break 'room;
                }
                room -= self.purge_group(path, group, *at_ms, room, most)?;
            }
        }
        if self.has_written_since(begun) && !self.has_changes() {
            // Tallies have changed without a commit; who compares nothing else is to notice.
            self.put(self.layout.quotas(), Bytes::new());
        }
        Ok(Purged { entries: (most - room) as u64, more: self.has_written_since(begun) })
    }

    /// A mark that a group may have something due, the group, and when.
    fn due_group(&self, path: Bytes) -> Step<(Bytes, String, i64)> {
        let Some((at_ms, group)) = self.layout.due_parts(&path) else {
            let path = String::from_utf8_lossy(&path);
            return Err(Hitch::Damaged(format!("the key {path:?} is no time")));
        };
        Ok((path, group, at_ms))
    }

    /// Whether a few operations more would be too many.
    fn excess_with(&self, operations: usize) -> bool {
        let plan = self.plan();
        plan.operations.len() + operations > OPERATIONS_MAX
            || plan.compares.len() + operations > OPERATIONS_MAX
    }

    /// Removes up to `room` expired entries of a group, of which the first `most` and one more are known.
    fn purge_group(&mut self, due: &Bytes, group: &str, at_ms: i64, room: usize, most: usize) -> Step<usize> {
        let expiries = self.layout.expiries(group);
        let tally = self.group_tally(group)?;
        if tally.first_expiry_ms != Some(at_ms) {
            // Left over from a group that was deleted since.
            self.delete(due.clone());
            return Ok(0);
        }
        let (rows, _) = self.rows(&expiries, most + 1)?;
        let mut times = Vec::new();
        for (path, weight) in &rows {
            let (_, at_ms, key) = self.expiry_parts(path)?;
            times.push((path, at_ms, key, decoded::<Weight>(weight.clone())?.bytes));
        }
        let expired: Vec<_> =
            times.iter().take_while(|(_, at, ..)| *at <= self.gone_ms()).take(room).collect();
        if let Some((last, ..)) = expired.last() {
            self.remember(group)?;
            for (path, at_ms, key, _) in &expired {
                self.look(path)?;
                self.delete(self.layout.entry(group, key));
                self.log(Kind::Expire, group.to_owned(), Some(key.clone()), None, Some(*at_ms));
            }
            let end = next_key(last);
            self.empty(Span { start: expiries.start.clone(), end });
        }
        let bytes: u64 = expired.iter().map(|(.., bytes)| bytes).sum();
        let next_ms = times.get(expired.len()).map(|(_, at_ms, ..)| *at_ms);
        let purged = expired.len();
        self.set_first_expiry(group, next_ms)?;
        self.count(group, -length(purged), -signed(bytes), None)?;
        Ok(purged)
    }
}
