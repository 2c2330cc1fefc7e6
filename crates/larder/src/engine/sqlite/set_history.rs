//! Setting the histories of a store, and moving the changes that the log has already to where they belong then.

use rusqlite::{Connection, params};

use super::large_values;
use super::log_parts::{HISTORY_NUMBER_MAX, Mark, Part, Parts, ROW_BYTES, place};
use super::pruning::bounds;
use super::schema::unsigned;
use super::writer::{Done, Writer};
use crate::data::{Error, History, HistoryInfo, LogPosition};
use crate::engine::Outcome;
use crate::rules::{LogLimits, history_of};

/// How many histories a store may have. Each costs a look at its last change whenever another process has committed.
const HISTORIES_MAX: usize = 256;

/// How many changes are moved at once.
const MOVED_AT_ONCE: usize = 1000;

/// The histories whose prefixes start with `prefix`, sorted by prefix.
pub(super) fn list(
    connection: &Connection,
    prefix: &str,
    limits: &LogLimits,
) -> rusqlite::Result<Vec<HistoryInfo>> {
    let parts = Parts::read(connection)?;
    let wanted = parts.0.iter().filter(|part| part.prefix.starts_with(prefix));
    let info = |part: &Part| {
        let (changes, bytes) = part.size();
        let kept = if part.is_none() { History::NONE } else { bounds(part, limits) };
        HistoryInfo { prefix: part.prefix.clone(), bounds: kept, changes, bytes, from: part.lost().revision }
    };
    Ok(wanted.map(info).collect())
}

impl Writer {
    /// Gives the groups of a prefix a history of their own, or takes it away.
    pub(super) fn set_history(&mut self, prefix: String, history: Option<History>) -> Done<Outcome> {
        let parts = &self.known.log.parts.0;
        let found = parts.iter().position(|part| part.prefix == prefix);
        match (found, history) {
            (None, None) => return Ok(Outcome::HistorySet(false)),
            (Some(index), history) if parts[index].bounds == history => {
                return Ok(Outcome::HistorySet(false));
            }
            (Some(index), None) if index > 0 => self.merge(index)?,
            (Some(index), history) => self.change(index, history)?,
            (None, Some(_)) if parts.len() >= HISTORIES_MAX => {
                return Err(Error::TooManyHistories { limit: HISTORIES_MAX as u64 }.into());
            }
            (None, Some(history)) => self.split(prefix, history)?,
        }
        self.transaction.is_unlogged = true;
        Ok(Outcome::HistorySet(true))
    }

    /// Gives a history other bounds.
    fn change(&mut self, index: usize, history: Option<History>) -> rusqlite::Result<()> {
        let Self { connection, known, .. } = self;
        let part = &mut known.log.parts.0[index];
        let was_none = part.is_none();
        part.bounds = history;
        (part.held_until, part.oldest_ms) = (0, None);
        if part.is_none() != was_none {
            // Its rows have no values, or will have none.
            part.empty(connection)?;
        }
        part.store(connection)
    }

    /// Begins a history, with the changes of its groups that the log has.
    fn split(&mut self, prefix: String, history: History) -> rusqlite::Result<()> {
        let Self { connection, known, .. } = self;
        let parts = &mut known.log.parts;
        let from = parts.of(&prefix);
        let parent = parts.0[from].clone();
        let mut child = Part { prefix, bounds: Some(history), ..parent.begin_again(parts.unused(&[])) };
        if parent.is_none() {
            child.pruned.place = parent.last.place;
            child.last = child.pruned;
            // The names that it has may be of groups that leave it.
            let parent = &mut parts.0[from];
            parent.empty(connection)?;
            parent.store_pruned(connection)?;
        } else {
            let mut rest = parent.begin_again(parts.unused(&[child.history]));
            distribute(connection, &[&parent], &mut [&mut rest, &mut child])?;
            rest.store(connection)?;
            parts.0[from] = rest;
        }
        child.store(connection)?;
        parts.0.push(child);
        parts.0.sort_by(|one, other| one.prefix.cmp(&other.prefix));
        Ok(())
    }

    /// Ends a history. Its changes go to the one that its groups belong to without it.
    fn merge(&mut self, index: usize) -> rusqlite::Result<()> {
        let Self { connection, known, .. } = self;
        let parts = &mut known.log.parts;
        let mut child = parts.0.remove(index);
        let into = parts.of(&child.prefix);
        connection.prepare_cached("DELETE FROM histories WHERE prefix = ?1")?.execute([&child.prefix])?;
        let parent = &parts.0[into];
        let merged = if parent.is_none() || child.is_none() {
            child.empty(connection)?;
            let mut merged = parent.clone();
            merged.lose_up_to(child.last.place);
            merged
        } else {
            let mut merged = parent.begin_again(parts.unused(&[child.history]));
            merged.lose_up_to(child.lost());
            distribute(connection, &[parent, &child], &mut [&mut merged])?;
            merged
        };
        merged.store(connection)?;
        parts.0[into] = merged;
        Ok(())
    }
}

impl Parts {
    /// A number that no history has, apart from those `taken`. 0 is for a log that was never divided: it has every
    /// revision.
    fn unused(&self, taken: &[i64]) -> i64 {
        let is_used =
            |number: &i64| taken.contains(number) || self.0.iter().any(|part| part.history == *number);
        (1..=HISTORY_NUMBER_MAX).find(|number| !is_used(number)).unwrap_or_default()
    }
}

impl Part {
    /// The same history without changes, under another number.
    fn begin_again(&self, history: i64) -> Self {
        let pruned = Mark { number: 0, bytes: 0, place: self.pruned.place };
        Self {
            history,
            pruned,
            last: pruned,
            held_until: 0,
            holder: None,
            oldest_ms: None,
            looked_at: (0, 0),
            ..self.clone()
        }
    }

    /// Has lost what another history has lost.
    fn lose_up_to(&mut self, place: LogPosition) {
        self.pruned.place = self.pruned.place.max(place);
        self.last.place = self.last.place.max(place);
    }

    /// Loses all its changes.
    fn empty(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        large_values::remove_changes(connection, self.id(0), self.id(self.last.number))?;
        self.pruned = self.last;
        Ok(())
    }
}

/// Moves the changes of some parts, in their order, to those of the `targets` that their groups belong to.
fn distribute(connection: &Connection, sources: &[&Part], targets: &mut [&mut Part]) -> rusqlite::Result<()> {
    let mut starts: Vec<u64> = sources.iter().map(|part| part.pruned.number).collect();
    loop {
        let mut page = Vec::new();
        for (source, (part, start)) in sources.iter().zip(&starts).enumerate() {
            page.extend(rows(connection, part, *start)?.into_iter().map(|row| (source, row)));
        }
        page.sort_by_key(|(_, row)| row.place);
        page.truncate(MOVED_AT_ONCE);
        if page.is_empty() {
            return Ok(());
        }
        for (source, row) in page {
            starts[source] = row.number;
            let index = history_of(&row.group, targets.iter().map(|part| part.prefix.as_str()));
            let target = &mut *targets[index.unwrap_or_default()];
            target.take(connection, sources[source].id(row.number), &row)?;
        }
    }
}

/// A change that moves.
struct LoggedRow {
    /// Its number where it comes from.
    number: u64,
    place: LogPosition,
    group: String,
    bytes: u64,
}

fn rows(connection: &Connection, part: &Part, after: u64) -> rusqlite::Result<Vec<LoggedRow>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT rowid, revision, position, group_name, octet_length(group_name)
                + coalesce(octet_length(entry_key), 0) + coalesce(",
        large_values::size!(),
        ", 0)
         FROM changes WHERE rowid > ?1 AND rowid <= ?2 ORDER BY rowid LIMIT ?3",
    ))?;
    let most = i64::try_from(MOVED_AT_ONCE).unwrap_or(i64::MAX);
    let rows = statement.query_map([part.id(after), part.id(part.last.number), most], |row| {
        Ok(LoggedRow {
            number: part.number(row.get(0)?),
            place: place(row, 1)?,
            group: row.get(3)?,
            bytes: ROW_BYTES + unsigned(row.get(4)?),
        })
    })?;
    rows.collect()
}

impl Part {
    /// Takes a change from elsewhere; drops it, if it keeps none.
    fn take(&mut self, connection: &Connection, id: i64, row: &LoggedRow) -> rusqlite::Result<()> {
        if self.is_none() {
            large_values::remove_changes(connection, id.saturating_sub(1), id)?;
            self.lose_up_to(row.place);
            return Ok(());
        }
        let Mark { number, bytes, place } = self.last;
        self.last = Mark { number: number + 1, bytes: bytes + row.bytes, place: place.max(row.place) };
        connection
            .prepare_cached("UPDATE changes SET change = ?2, logged_bytes = ?3 WHERE rowid = ?1")?
            .execute(params![id, self.id(self.last.number), super::schema::signed(self.last.bytes)])
            .map(drop)
    }
}
