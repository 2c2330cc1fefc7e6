//! Pruning the log: each part to its own bounds, except for what cursors have yet to read.

use rusqlite::{Connection, OptionalExtension};

use super::cursor_rows::{self, Hold};
use super::fair_share;
use super::large_values;
use super::log_end::LogEnd;
use super::log_parts::{Mark, Part, Parts, place};
use super::schema::unsigned;
use crate::data::{History, LogPosition, Revision};
use crate::rules::{LogLimits, Occasion, PRUNE_MIN, histories_for};

/// How many names are kept of the changes of a history that keeps nothing, for the caches of other processes.
const NAMES_MAX: u64 = 1024;

/// What a part keeps.
pub(super) fn bounds(part: &Part, limits: &LogLimits) -> History {
    if part.is_none() {
        return History { changes: NAMES_MAX, bytes: u64::MAX, age: None };
    }
    part.bounds.unwrap_or(limits.default)
}

/// The time before which changes are too old, in Unix milliseconds.
fn cutoff_ms(bounds: &History, now_ms: Option<i64>) -> Option<i64> {
    let age_ms = i64::try_from(bounds.age?.as_millis()).unwrap_or(i64::MAX);
    Some(now_ms?.saturating_sub(age_ms))
}

/// What the cursors hold; read once, and only if it matters.
struct Holds<'a> {
    connection: &'a Connection,
    found: Option<Vec<Hold>>,
}

impl Holds<'_> {
    /// The first position that a cursor has reached of those that want changes of the history at `index`.
    fn first(&mut self, parts: &Parts, index: usize) -> rusqlite::Result<Option<LogPosition>> {
        let found = match &mut self.found {
            Some(found) => found,
            empty => empty.insert(cursor_rows::holds(self.connection)?),
        };
        let kept = parts.kept();
        let wanting = found.iter().filter(|hold| histories_for(&hold.groups, &kept).contains(&index));
        Ok(wanting.map(|hold| hold.position).min())
    }
}

impl LogEnd {
    /// Prunes the oldest changes of each part that has more than its bounds allow. It prunes a few more than the
    /// transaction has added, so that no commit pauses for long, and none of the added ones. Returns whether it has
    /// pruned anything.
    pub fn prune(
        &mut self,
        connection: &Connection,
        limits: &LogLimits,
        occasion: Occasion,
        now_ms: Option<i64>,
    ) -> rusqlite::Result<bool> {
        let mut holds = Holds { connection, found: None };
        let mut has_pruned = false;
        for index in 0..self.parts.0.len() {
            let part = &self.parts.0[index];
            if part.added > 0 && self.division.is_none() {
                let bounds = bounds(part, limits);
                self.division = fair_share::needed(&mut self.parts, index, connection, bounds)?;
                if self.division.is_some() {
                    // Nothing of others goes for the sake of one.
                    continue;
                }
            }
            let part = &self.parts.0[index];
            if (occasion == Occasion::Every || part.added > 0)
                && let Some(cut) = self.cut(index, connection, limits, now_ms, &mut holds)?
            {
                let part = &mut self.parts.0[index];
                part.prune_to(connection, cut)?;
                has_pruned = true;
            }
        }
        Ok(has_pruned)
    }

    /// The number of the last change that a part loses now.
    fn cut(
        &mut self,
        index: usize,
        connection: &Connection,
        limits: &LogLimits,
        now_ms: Option<i64>,
        holds: &mut Holds<'_>,
    ) -> rusqlite::Result<Option<u64>> {
        let part = &self.parts.0[index];
        let bounds = bounds(part, limits);
        let first_number = part.last.number.saturating_sub(bounds.changes);
        let first_bytes = part.last.bytes.saturating_sub(bounds.bytes);
        // Some slack, so that a log at its bound is not pruned by every commit.
        let fits = part.pruned.number + PRUNE_MIN.min(bounds.changes / 64) >= first_number
            && part.pruned.bytes.saturating_add(bounds.bytes / 64) >= first_bytes;
        let cutoff_ms = cutoff_ms(&bounds, now_ms);
        if fits && cutoff_ms.is_none() || part.last.number < part.held_until {
            return Ok(None);
        }
        let most = part.pruned.number + PRUNE_MIN.max(2 * part.added);
        let mut cut = part.pruned.number;
        if !fits {
            let last = most.min(self.before_latest(part, connection)?);
            cut = part.first_with(connection, first_bytes, last)?.max(first_number).min(last).max(cut);
        }
        if let Some(cutoff_ms) = cutoff_ms
            && self.oldest_ms(index, connection)?.is_some_and(|at_ms| at_ms <= cutoff_ms)
        {
            let part = &self.parts.0[index];
            let last = most.min(part.last.number - part.added);
            cut = cut.max(part.last_older(connection, cutoff_ms, last)?);
        }
        let part = &self.parts.0[index];
        if cut == part.pruned.number {
            return Ok(None);
        }
        if part.is_none() {
            return Ok(Some(cut));
        }
        let Some(position) = holds.first(&self.parts, index)? else { return Ok(Some(cut)) };
        let held = part.seek(connection, position)?;
        let beyond = part.last.bytes.saturating_sub(limits.cursor_bytes_max);
        let kept = cut.min(held.max(part.first_with(connection, beyond, most)?));
        let part = &mut self.parts.0[index];
        // What is held is looked at again after some more changes, or when the cursor moves.
        let is_held = kept < cut;
        part.held_until = if is_held { part.last.number + PRUNE_MIN.min(bounds.changes / 64) } else { 0 };
        part.holder = is_held.then_some(position);
        Ok((kept > part.pruned.number).then_some(kept))
    }

    /// The number of the last change before the latest commit, whose changes stay.
    fn before_latest(&self, part: &Part, connection: &Connection) -> rusqlite::Result<u64> {
        if part.added > 0 {
            return Ok(part.last.number - part.added);
        }
        part.seek(connection, LogPosition::after(Revision(self.parts.revision().0.saturating_sub(1))))
    }

    /// Lets the next pruning look again at what cursors hold, since one of them has moved from here.
    pub fn release(&mut self, from: LogPosition) {
        for part in self.parts.0.iter_mut().filter(|part| part.holder == Some(from)) {
            part.held_until = 0;
        }
    }

    /// When the oldest change of a part was made, in Unix milliseconds.
    fn oldest_ms(&mut self, index: usize, connection: &Connection) -> rusqlite::Result<Option<i64>> {
        let part = &mut self.parts.0[index];
        if part.oldest_ms.is_none() {
            part.oldest_ms = part.ages(connection, 1)?.pop().map(|(_, at_ms)| at_ms);
        }
        Ok(part.oldest_ms)
    }
}

/// When the next change is too old, in Unix milliseconds.
pub(super) fn next_ms(connection: &Connection, limits: &LogLimits) -> rusqlite::Result<Option<i64>> {
    let parts = Parts::read(connection)?;
    let mut holds = Holds { connection, found: None };
    let mut next = None;
    for (index, part) in parts.0.iter().enumerate() {
        let Some(age) = bounds(part, limits).age else { continue };
        let Some((_, at_ms)) = part.ages(connection, 1)?.pop() else { continue };
        // What a cursor holds goes when the cursor moves.
        let is_held = match holds.first(&parts, index)? {
            Some(position) => part.seek(connection, position)? == part.pruned.number,
            None => false,
        };
        let due_ms = at_ms.saturating_add(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        if !is_held {
            next = Some(next.map_or(due_ms, |next: i64| next.min(due_ms)));
        }
    }
    Ok(next)
}

impl Part {
    /// The first change whose running total is at least `bytes`; the one with the number `last` if that comes first.
    pub(super) fn first_with(&self, connection: &Connection, bytes: u64, last: u64) -> rusqlite::Result<u64> {
        if self.pruned.bytes >= bytes {
            return Ok(self.pruned.number);
        }
        // A number after the last change has no sum, so the search would go on past it.
        let last = last.min(self.last.number);
        let (mut low, mut high) = (self.pruned.number, last.max(self.pruned.number));
        while high - low > 1 {
            // The sums of bytes only grow, so this can bisect.
            let middle = low + (high - low) / 2;
            if self.mark(connection, middle)?.is_none_or(|mark| mark.bytes < bytes) {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(high)
    }

    /// The last change, up to the number `last`, that comes before every change later than `cutoff_ms`.
    fn last_older(&self, connection: &Connection, cutoff_ms: i64, last: u64) -> rusqlite::Result<u64> {
        let ages = self.ages(connection, last.saturating_sub(self.pruned.number))?;
        let old = ages.iter().take_while(|(_, at_ms)| *at_ms <= cutoff_ms);
        Ok(old.last().map_or(self.pruned.number, |(number, _)| *number))
    }

    /// The oldest changes, at most `max` of them, and when each was made, in Unix milliseconds.
    fn ages(&self, connection: &Connection, max: u64) -> rusqlite::Result<Vec<(u64, i64)>> {
        let mut statement = connection.prepare_cached(
            "SELECT rowid, at FROM changes WHERE rowid > ?1 AND rowid <= ?2 ORDER BY rowid LIMIT ?3",
        )?;
        let range =
            [self.id(self.pruned.number), self.id(self.last.number), i64::try_from(max).unwrap_or(i64::MAX)];
        statement.query_map(range, |row| Ok((self.number(row.get(0)?), row.get(1)?)))?.collect()
    }

    fn mark(&self, connection: &Connection, number: u64) -> rusqlite::Result<Option<Mark>> {
        connection
            .prepare_cached("SELECT revision, position, logged_bytes FROM changes WHERE rowid = ?1")?
            .query_row([self.id(number)], |row| {
                Ok(Mark { number, bytes: unsigned(row.get(2)?), place: place(row, 0)? })
            })
            .optional()
    }

    fn prune_to(&mut self, connection: &Connection, number: u64) -> rusqlite::Result<()> {
        self.oldest_ms = None;
        if let Some(mark) = self.mark(connection, number)? {
            self.pruned = Mark { place: mark.place.max(self.pruned.place), ..mark };
            self.store_pruned(connection)?;
        }
        large_values::remove_changes(connection, self.id(0), self.id(number))
    }
}
