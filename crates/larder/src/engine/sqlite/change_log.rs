//! Reading the change log: every change in order, as many as the histories keep.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::cache::{Commits, News};
use super::columns::revision;
use super::large_values::Values;
use super::log_parts::Parts;
use super::schema::{signed, unsigned};
use super::step_limit::corrupt;
use crate::data::{Event, EventKind, LogPosition, Pattern, Revision, Value, clock};
use crate::engine::{Changes, LogRead, Logged};
use crate::rules::{self, Reading};

/// With more changes it is cheaper to empty the cache.
const NEWS_MAX: u64 = 4096;

/// How many bytes a page of the log holds at most, unless a single change is larger.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// The names that changed after a revision, for a cache.
pub(super) fn news(connection: &Connection, after: Revision) -> rusqlite::Result<News> {
    // One moment for all queries. The writer is in a transaction already.
    let _moment = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
    let parts = Parts::read(connection)?;
    let latest = Commits { revision: parts.revision(), unlogged: unlogged(connection)? };
    let after = LogPosition::after(after);
    let mut keys = Vec::new();
    for part in &parts.0 {
        if part.pruned.place > after {
            return Ok(News::Unknown { latest });
        }
        let start = part.seek(connection, after)?;
        if part.last.number.saturating_sub(start) > NEWS_MAX.saturating_sub(keys.len() as u64) {
            return Ok(News::Unknown { latest });
        }
        let mut names = connection
            .prepare_cached("SELECT group_name, entry_key FROM changes WHERE rowid > ?1 AND rowid <= ?2")?;
        let range = [part.id(start), part.id(part.last.number)];
        for name in names.query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))? {
            keys.push(name?);
            if keys.len() as u64 > NEWS_MAX {
                return Ok(News::Unknown { latest });
            }
        }
    }
    Ok(News::Changed { latest, keys })
}

/// How many commits the store has had.
pub(super) fn commits(connection: &Connection) -> rusqlite::Result<Commits> {
    Ok(Commits { revision: Parts::read(connection)?.revision(), unlogged: unlogged(connection)? })
}

/// How many of larder's commits are not in the log. They are counted so that a cache can tell them from the
/// commits of other programs.
pub(super) fn unlogged(connection: &Connection) -> rusqlite::Result<u64> {
    let count = connection
        .prepare_cached("SELECT content FROM store WHERE name = 'unlogged'")?
        .query_row([], |row| row.get(0).map(unsigned))
        .optional()?;
    Ok(count.unwrap_or_default())
}

/// Writes how many there are now.
pub(super) fn count_unlogged(connection: &Connection, unlogged: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO store VALUES ('unlogged', ?1)")?
        .execute([signed(unlogged)])
        .map(drop)
}

/// The log no longer has what was asked for. With the oldest revision from which a watch can start.
pub(super) struct Compacted(pub Revision);

/// Reads a page of the log.
pub(super) fn read(
    connection: &Connection,
    wanted: &LogRead<'_>,
) -> rusqlite::Result<Result<Changes, Compacted>> {
    // One moment for all queries: no pruning in between.
    let _moment = connection.unchecked_transaction()?;
    let parts = Parts::read(connection)?;
    let latest = parts.revision();
    let groups = &wanted.pattern.group;
    let readings =
        match rules::readings(groups, &parts.kept(), wanted.after, wanted.told, wanted.at_hand_after) {
            Ok(readings) => readings,
            Err(oldest) => return Ok(Err(Compacted(oldest))),
        };
    // One more row tells whether the last wanted row is the last of its revision.
    let limit = i64::try_from(wanted.max).map_or(-1, |max| max.saturating_add(1));
    let mut statements = Vec::new();
    for Reading { history, without } in readings {
        let after = wanted.after;
        let Some(part) = parts.0.get(history).filter(|part| !part.is_none() && part.last.place > after)
        else {
            continue;
        };
        let range = (part.id(part.seek(connection, after)?), part.id(part.last.number), without);
        let statement = connection.prepare_cached(
            "SELECT revision, kind, group_name, entry_key, entry_value, expires_at, at, position FROM changes
             WHERE rowid > ?1 AND rowid <= ?2 AND revision IS NOT ?3 ORDER BY rowid LIMIT ?4",
        )?;
        statements.push((statement, range));
    }
    let mut pages = Vec::with_capacity(statements.len());
    for (statement, (low, high, without)) in &mut statements {
        let without = without.map(|revision| signed(revision.0));
        let rows = statement.query(params![*low, *high, without, limit])?;
        pages.push(Page::begin(rows, Values::of(connection))?);
    }
    let mut changes = Changes { logged: Vec::new(), next: wanted.after, latest };
    let (mut before, mut bytes) = (wanted.after, 0);
    while let Some(page) = pages.iter_mut().filter(|page| page.next.is_some()).min_by_key(|page| page.place())
    {
        let Some(Logged { step, event }) = page.take()? else { break };
        let place = LogPosition { revision: event.revision, step };
        // Whoever reads on from there would read the same again, for ever.
        if place <= std::mem::replace(&mut before, place) {
            return Err(corrupt("the changes of its log are out of order"));
        }
        if let Some(last) =
            changes.logged.last().filter(|last: &&Logged| last.event.revision < event.revision)
        {
            changes.next = LogPosition::after(last.event.revision);
        }
        if changes.logged.len() == wanted.max || bytes >= PAGE_BYTES_MAX {
            return Ok(Ok(changes));
        }
        bytes += event.value.as_ref().map_or(0, |value| value.len());
        changes.next = LogPosition { revision: event.revision, step };
        changes.logged.push(Logged { step, event });
    }
    // That was all there is, also of what is not wanted.
    changes.next = wanted.after.max(LogPosition::after(latest));
    Ok(Ok(changes))
}

/// The rows of one part, one ahead.
struct Page<'a> {
    rows: rusqlite::Rows<'a>,
    values: Values<'a>,
    next: Option<Logged>,
}

impl<'a> Page<'a> {
    fn begin(rows: rusqlite::Rows<'a>, values: Values<'a>) -> rusqlite::Result<Self> {
        let mut page = Self { rows, values, next: None };
        page.take()?;
        Ok(page)
    }

    fn place(&self) -> Option<LogPosition> {
        let next = self.next.as_ref()?;
        Some(LogPosition { revision: next.event.revision, step: next.step })
    }

    fn take(&mut self) -> rusqlite::Result<Option<Logged>> {
        let next = match self.rows.next()? {
            Some(row) => {
                Some(Logged { step: unsigned(row.get(7)?), event: Arc::new(event(row, &mut self.values)?) })
            }
            None => None,
        };
        Ok(std::mem::replace(&mut self.next, next))
    }
}

/// How many changes that a pattern's groups may be in the log has after a position.
pub(super) fn count_after(
    connection: &Connection,
    parts: &Parts,
    pattern: &Pattern,
    place: LogPosition,
) -> rusqlite::Result<u64> {
    let mut count = 0;
    for index in rules::histories_for(&pattern.group, &parts.kept()) {
        if let Some(part) = parts.0.get(index).filter(|part| !part.is_none()) {
            count += part.last.number.saturating_sub(part.seek(connection, place)?);
        }
    }
    Ok(count)
}

/// The changes of one key that the log has, oldest first.
pub(super) fn history(connection: &Connection, group: &str, key: &str) -> rusqlite::Result<Vec<Event>> {
    let _moment = connection.unchecked_transaction()?;
    let parts = Parts::read(connection)?;
    let Some(part) = parts.0.get(parts.of(group)).filter(|part| !part.is_none()) else {
        return Ok(Vec::new());
    };
    let mut statement = connection.prepare_cached(
        "SELECT revision, kind, group_name, entry_key, entry_value, expires_at, at, rowid FROM changes
         WHERE rowid > ?1 AND rowid <= ?2 AND group_name = ?3 AND (entry_key = ?4 OR entry_key IS NULL)
         ORDER BY rowid",
    )?;
    let (low, high) = (part.id(part.pruned.number), part.id(part.last.number));
    let mut before = low;
    let mut values = Values::of(connection);
    let events = statement.query_map(params![low, high, group, key], |row| {
        let change = row.get(7)?;
        if change <= std::mem::replace(&mut before, change) {
            return Err(corrupt("the changes of its log are out of order"));
        }
        event(row, &mut values)
    })?;
    events.collect()
}

fn event(row: &Row<'_>, values: &mut Values<'_>) -> rusqlite::Result<Event> {
    let kind = row.get_ref(1)?.as_str()?;
    let Ok(kind) = kind.parse::<EventKind>() else {
        return Err(rusqlite::Error::InvalidColumnType(1, "kind".into(), rusqlite::types::Type::Text));
    };
    let value = values.read(row, 4, |value| value.map(Value::from))?;
    if kind == EventKind::Set && value.is_none() {
        return Err(corrupt("a change of its log sets a key to nothing"));
    }
    Ok(Event {
        revision: revision(row, 0)?,
        kind,
        group: row.get(2)?,
        key: row.get(3)?,
        value,
        expires_at: row.get::<_, Option<i64>>(5)?.map(clock::time),
        at: clock::time(row.get(6)?),
    })
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;
    use crate::engine::sqlite::log_parts::{Mark, Part};

    #[test]
    fn the_place_in_a_log_is_found_whatever_its_revisions_hold() {
        let connection = Connection::open_in_memory().unwrap();
        schema::create(&connection, 0).unwrap();
        let insert = "INSERT INTO changes VALUES (?1, ?2, ?3, 'delete', 'g', 'k', NULL, NULL, 0, 0)";
        for every in [1, 3, 7] {
            connection.execute("DELETE FROM changes", []).unwrap();
            // Revisions of one change, of many and of none, and a log that was pruned in the middle of one.
            let places: Vec<LogPosition> = (1..60_u64)
                .filter(|number| number % every == 0)
                .flat_map(|number| (0..1 + (number * number) % 7).map(move |step| (Revision(number), step)))
                .map(|(revision, step)| LogPosition { revision, step })
                .collect();
            for (place, sequence) in places.iter().zip(1_i64..).skip(3) {
                let (revision, step) = (signed(place.revision.0), signed(place.step));
                connection.execute(insert, [sequence, revision, step]).unwrap();
            }
            let part = Parts::read(&connection).unwrap().0.remove(0);
            let pruned = Mark { number: 3, bytes: 0, place: places[2] };
            let part = Part { pruned, ..part };
            let everywhere =
                (0..62).flat_map(|number| [0, 1, 3, u64::MAX].map(|step| (Revision(number), step)));
            for (revision, step) in everywhere {
                let place = LogPosition { revision, step };
                let expected = places.iter().filter(|other| **other <= place).count().max(3) as u64;
                assert_eq!(part.seek(&connection, place).unwrap(), expected, "{place:?}");
            }
        }
    }
}
