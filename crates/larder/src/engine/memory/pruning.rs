//! Pruning the log: each part to its own bounds, except for what cursors have yet to read.

use super::fair_share;
use super::log::{Change, Log, Part};
use super::rows::Cursor;
use super::tree::Tree;
use crate::data::{History, LogPosition, Revision, clock};
use crate::rules::{Division, LogLimits, Occasion, PRUNE_MIN, histories_for};

/// What a pruning knows of the store.
#[derive(Clone, Copy)]
pub(super) struct Pruning<'a> {
    pub limits: LogLimits,
    pub cursors: &'a Tree<Cursor>,
    pub latest: Revision,
    /// By what time ages are judged, in Unix milliseconds; `None` if nothing counts as too old now.
    pub now_ms: Option<i64>,
}

/// What a pruning has done.
#[derive(Default)]
pub(super) struct Pruned {
    /// What the log has lost.
    pub lost: Vec<Change>,
    /// What is to become of the log now.
    pub division: Option<Division>,
}

impl LogLimits {
    fn bounds(&self, part: &Part) -> History {
        part.bounds.unwrap_or(self.default)
    }
}

fn millis(age: std::time::Duration) -> i64 {
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}

impl Log {
    /// Prunes the oldest changes of each part that has more than its bounds allow. It prunes a few more than the
    /// commit has added, so that no commit pauses for long, and none of the added ones.
    pub fn prune(&mut self, by: Pruning<'_>, occasion: Occasion) -> Pruned {
        let mut pruned = Pruned::default();
        for index in 0..self.parts.len() {
            let part = &self.parts[index];
            if part.is_none() || occasion == Occasion::Commit && part.added == 0 {
                continue;
            }
            if part.added > 0 && pruned.division.is_none() {
                let bounds = by.limits.bounds(part);
                pruned.division = fair_share::needed(&mut self.parts, index, bounds);
                if pruned.division.is_some() {
                    // Nothing of others goes for the sake of one.
                    continue;
                }
            }
            if let Some(cut) = self.cut(index, by) {
                pruned.lost.append(&mut self.parts[index].prune_to(cut));
            }
        }
        self.parts.iter_mut().for_each(|part| part.added = 0);
        pruned
    }

    /// The number of the last change that a part loses now.
    fn cut(&mut self, index: usize, by: Pruning<'_>) -> Option<u64> {
        let part = &self.parts[index];
        let bounds = by.limits.bounds(part);
        let first_number = part.last.number.saturating_sub(bounds.changes);
        let first_bytes = part.last.bytes.saturating_sub(bounds.bytes);
        // Some slack, so that a log at its bound is not pruned by every commit.
        let fits = part.pruned.number + PRUNE_MIN.min(bounds.changes / 64) >= first_number
            && part.pruned.bytes.saturating_add(bounds.bytes / 64) >= first_bytes;
        let cutoff_ms = bounds.age.and_then(|age| Some(by.now_ms?.saturating_sub(millis(age))));
        if fits && cutoff_ms.is_none() || part.last.number < part.held_until {
            return None;
        }
        let most = part.pruned.number + PRUNE_MIN.max(2 * part.added);
        let mut cut = part.pruned.number;
        if !fits {
            let last = most.min(before_latest(part, by.latest));
            cut = part.first_with(first_bytes, last).max(first_number).min(last).max(cut);
        }
        if let Some(cutoff_ms) = cutoff_ms {
            let last = most.min(part.last.number - part.added);
            cut = cut.max(part.last_older(cutoff_ms, last));
        }
        if cut == part.pruned.number {
            return None;
        }
        let Some(position) = self.first_hold(index, by.cursors) else { return Some(cut) };
        let part = &mut self.parts[index];
        let beyond = part.last.bytes.saturating_sub(by.limits.cursor_bytes_max);
        let kept = cut.min(part.seek(position).max(part.first_with(beyond, most)));
        // What is held is looked at again after some more changes, or when the cursor moves.
        let is_held = kept < cut;
        part.held_until = if is_held { part.last.number + PRUNE_MIN.min(bounds.changes / 64) } else { 0 };
        part.holder = is_held.then_some(position);
        (kept > part.pruned.number).then_some(kept)
    }

    /// The first position that a cursor has reached of those that want changes of the history at `index`.
    fn first_hold(&self, index: usize, cursors: &Tree<Cursor>) -> Option<LogPosition> {
        if cursors.len() == 0 {
            return None;
        }
        let kept = self.kept();
        let wanting =
            cursors.iter().filter(|cursor| histories_for(&cursor.pattern.group, &kept).contains(&index));
        wanting.map(|cursor| cursor.position).min()
    }

    /// Lets the next pruning look again at what cursors hold, since one of them has moved from here.
    pub fn release(&mut self, from: LogPosition) {
        for part in self.parts.iter_mut().filter(|part| part.holder == Some(from)) {
            part.held_until = 0;
        }
    }

    /// When the next change is too old, in Unix milliseconds.
    pub fn next_too_old_ms(&self, limits: LogLimits, cursors: &Tree<Cursor>) -> Option<i64> {
        let due = self.parts.iter().enumerate().filter_map(|(index, part)| {
            let age = limits.bounds(part).age?;
            let at_ms = clock::ms(part.changes.front()?.event.at);
            // What a cursor holds goes when the cursor moves.
            let holds = |position| part.seek(position) == part.pruned.number;
            let is_held = self.first_hold(index, cursors).is_some_and(holds);
            (!is_held).then(|| at_ms.saturating_add(millis(age)))
        });
        due.min()
    }
}

/// The number of the last change before the latest commit, whose changes stay.
fn before_latest(part: &Part, latest: Revision) -> u64 {
    if part.added > 0 {
        return part.last.number - part.added;
    }
    part.seek(LogPosition::after(latest.previous()))
}

impl Part {
    /// The first change whose running total is at least `bytes`; the one with the number `last` if that comes first.
    pub fn first_with(&self, bytes: u64, last: u64) -> u64 {
        if self.pruned.bytes >= bytes {
            return self.pruned.number;
        }
        (self.last_where(|change| change.bytes < bytes) + 1)
            .min(last.min(self.last.number))
            .max(self.pruned.number)
    }

    /// The last change, up to the number `last`, that comes before every change later than `cutoff_ms`.
    fn last_older(&self, cutoff_ms: i64, last: u64) -> u64 {
        let most = usize::try_from(last.saturating_sub(self.pruned.number)).unwrap_or(usize::MAX);
        let old = self.changes.iter().take(most).take_while(|change| clock::ms(change.event.at) <= cutoff_ms);
        self.pruned.number + old.count() as u64
    }
}
