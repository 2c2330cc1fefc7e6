//! The change log: every change in order, as many as `Options::history` keeps.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::cache::{Commits, News};
use super::queries::{Stored, bytes, revision, value};
use super::schema::{signed, unsigned};
use crate::data::{Event, EventKind, LogPosition, Revision, clock};
use crate::engine::{Changes, Logged};

/// About what a row of the log takes besides its names and value, so that many small changes count.
const ROW_BYTES: u64 = 48;

/// How many rows a commit prunes at least when the log is too long.
const PRUNE_MIN: u64 = 256;

/// How much the log keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub changes_max: u64,
    pub bytes_max: u64,
}

/// The running totals of one row of the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    sequence: u64,
    logged_bytes: u64,
}

/// The end of the log, where the next change goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tail {
    pub revision: Revision,
    last: Totals,
}

impl Tail {
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let last = connection
            .prepare_cached(
                "SELECT revision, sequence, logged_bytes FROM changes ORDER BY sequence DESC LIMIT 1",
            )?
            .query_row([], |row| {
                let last = Totals { sequence: unsigned(row.get(1)?), logged_bytes: unsigned(row.get(2)?) };
                Ok(Self { revision: revision(row, 0)?, last })
            })
            .optional()?;
        match last {
            Some(tail) => Ok(tail),
            None => Ok(Self { revision: base_revision(connection)?, ..Self::default() }),
        }
    }

    /// Appends a change, the `step`-th of its revision.
    pub fn append(&mut self, connection: &Connection, step: u64, event: &Event) -> rusqlite::Result<()> {
        let names = event.group.len() + event.key.as_ref().map_or(0, String::len);
        let size = names + event.value.as_ref().map_or(0, crate::data::Value::len);
        self.last.sequence += 1;
        self.last.logged_bytes += ROW_BYTES + size as u64;
        connection
            .prepare_cached(
                "INSERT INTO changes (sequence, revision, position, kind, group_name, entry_key, entry_value,
                                      expires_at, at, logged_bytes)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                signed(self.last.sequence),
                signed(event.revision.0),
                signed(step),
                event.kind.as_str(),
                event.group,
                event.key,
                event.value.as_ref().map(Stored),
                event.expires_at.map(clock::ms),
                clock::ms(event.at),
                signed(self.last.logged_bytes),
            ])?;
        Ok(())
    }

    /// Prunes the oldest changes when there are more than `bounds` allows. It prunes a few more than were
    /// `added`, so that no commit pauses for long, and none of the added ones: the last of them carries the
    /// store's revision.
    ///
    /// `oldest` is a row that was the first once. The first row only moves forward, so an old value is safe: it
    /// is looked up again only when it says that there is something to prune.
    pub fn prune(
        &self,
        connection: &Connection,
        bounds: Bounds,
        added: u64,
        oldest: &mut Totals,
    ) -> rusqlite::Result<()> {
        let sequence_floor = self.last.sequence.saturating_sub(bounds.changes_max);
        let bytes_floor = self.last.logged_bytes.saturating_sub(bounds.bytes_max);
        // Some slack, so that a log at its bound is not pruned by every commit.
        let fits = |oldest: &Totals| {
            oldest.sequence + PRUNE_MIN.min(bounds.changes_max / 64) > sequence_floor
                && oldest.logged_bytes + bounds.bytes_max / 64 > bytes_floor
        };
        if fits(oldest) {
            return Ok(());
        }
        *oldest = first(connection)?;
        if fits(oldest) {
            return Ok(());
        }
        // Changes are numbered one by one, so a bound on their number gives the last one to prune.
        let most = PRUNE_MIN.max(2 * added);
        let end = (oldest.sequence + most - 1).min(self.last.sequence.saturating_sub(added));
        let mut cut = sequence_floor.min(end);
        let (mut low, mut high) = (cut.max(oldest.sequence.saturating_sub(1)), end + 1);
        while oldest.logged_bytes <= bytes_floor && high - low > 1 {
            // The sums of bytes only grow, so this can bisect.
            let middle = low + (high - low) / 2;
            let bytes = connection
                .prepare_cached("SELECT logged_bytes FROM changes WHERE sequence = ?1")?
                .query_row([signed(middle)], |row| row.get(0).map(unsigned))
                .optional()?;
            if bytes.is_none_or(|bytes| bytes <= bytes_floor) {
                low = middle;
                cut = middle;
            } else {
                high = middle;
            }
        }
        if cut >= oldest.sequence {
            connection.prepare_cached("DELETE FROM changes WHERE sequence <= ?1")?.execute([signed(cut)])?;
            *oldest = first(connection)?;
        }
        Ok(())
    }
}

/// The totals of the first row of the log; zero where the log is empty.
fn first(connection: &Connection) -> rusqlite::Result<Totals> {
    connection
        .prepare_cached("SELECT sequence, logged_bytes FROM changes ORDER BY sequence LIMIT 1")?
        .query_row([], |row| {
            Ok(Totals { sequence: unsigned(row.get(0)?), logged_bytes: unsigned(row.get(1)?) })
        })
        .optional()
        .map(Option::unwrap_or_default)
}

/// With more changes it is cheaper to empty the cache.
const NEWS_MAX: i64 = 4096;

/// The names that changed after a revision, for a cache.
pub(super) fn news(connection: &Connection, after: Revision) -> rusqlite::Result<News> {
    // One moment for all queries. The writer is in a transaction already.
    let _moment = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
    let latest = commits(connection)?;
    if oldest_start(connection)? > LogPosition::after(after) {
        return Ok(News::Unknown { latest });
    }
    let keys = connection
        .prepare_cached("SELECT group_name, entry_key FROM changes WHERE sequence > ?1 LIMIT ?2")?
        .query_map([seek(connection, LogPosition::after(after))?, NEWS_MAX + 1], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let all = i64::try_from(keys.len()).is_ok_and(|count| count <= NEWS_MAX);
    Ok(if all { News::Changed { latest, keys } } else { News::Unknown { latest } })
}

/// How many commits the store has had.
pub(super) fn commits(connection: &Connection) -> rusqlite::Result<Commits> {
    Ok(Commits { revision: Tail::read(connection)?.revision, unlogged: unlogged(connection)? })
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

/// Reads up to `max` changes after a position.
pub(super) fn read(
    connection: &Connection,
    after: LogPosition,
    max: usize,
) -> rusqlite::Result<Result<Changes, Compacted>> {
    // One moment for both queries: no pruning in between.
    let _moment = connection.unchecked_transaction()?;
    let oldest = oldest_start(connection)?;
    if after < oldest {
        // If the oldest revision has lost its first changes, a watch can start only after it.
        return Ok(Err(Compacted(oldest.revision)));
    }
    let mut statement = connection.prepare_cached(
        "SELECT revision, kind, group_name, entry_key, entry_value, expires_at, at, position FROM changes
         WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
    )?;
    // One more row tells whether the last wanted row is the last of its revision.
    let limit = i64::try_from(max).map_or(-1, |max| max.saturating_add(1));
    let mut rows = statement.query([seek(connection, after)?, limit])?;
    let mut changes = Changes { logged: Vec::new(), next: after };
    while let Some(row) = rows.next()? {
        let step = unsigned(row.get(7)?);
        if let Some(last) = changes.logged.last().filter(|_| step == 0) {
            changes.next = LogPosition::after(last.event.revision);
        }
        if changes.logged.len() == max {
            return Ok(Ok(changes));
        }
        let event = Arc::new(event(row)?);
        changes.next = LogPosition { revision: event.revision, step };
        changes.logged.push(Logged { step, event });
    }
    if let Some(last) = changes.logged.last() {
        changes.next = LogPosition::after(last.event.revision);
    }
    Ok(Ok(changes))
}

/// The number of the last change at or before a position. Changes are numbered one by one, and each revision has
/// at least one. So the position is at least as many changes before the end as there are revisions in between,
/// and exactly as many if each has one.
fn seek(connection: &Connection, place: LogPosition) -> rusqlite::Result<i64> {
    let mut at_most = connection.prepare_cached(
        "SELECT sequence, revision, position FROM changes WHERE sequence <= ?1 ORDER BY sequence DESC LIMIT 1",
    )?;
    let mut find = |sequence: i64| {
        at_most
            .query_row([sequence], |row| {
                let found = LogPosition { revision: revision(row, 1)?, step: unsigned(row.get(2)?) };
                Ok((row.get::<_, i64>(0)?, found))
            })
            .optional()
    };
    let Some((last, end)) = find(i64::MAX)? else { return Ok(0) };
    if end <= place {
        return Ok(last);
    }
    let behind = end.revision.0.saturating_sub(place.revision.0);
    // Changes up to `low` are at or before the position; `high` and later ones are after it.
    let mut high = last.saturating_sub(signed(behind)).saturating_add(1).clamp(1, last);
    let (mut low, mut guess) = (0, high - 1);
    while high - low > 1 {
        match find(guess)? {
            Some((sequence, found)) if found <= place => low = sequence.max(guess),
            Some((sequence, _)) => high = sequence,
            None => low = guess,
        }
        guess = low + (high - low) / 2;
    }
    Ok(low)
}

/// How many changes the log has after a position.
pub(super) fn count_after(connection: &Connection, place: LogPosition) -> rusqlite::Result<u64> {
    let ends = connection
        .prepare_cached(
            "SELECT (SELECT sequence FROM changes ORDER BY sequence LIMIT 1),
                    (SELECT sequence FROM changes ORDER BY sequence DESC LIMIT 1)",
        )?
        .query_row([], |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)))?;
    let (Some(first), Some(last)) = ends else { return Ok(0) };
    Ok(unsigned(last - seek(connection, place)?.max(first - 1)))
}

/// The earliest position after which the log has every change. If its first row is in the middle of a revision,
/// that is just before the row, and a caller that asks by revision must start after the revision.
pub(super) fn oldest_start(connection: &Connection) -> rusqlite::Result<LogPosition> {
    let first = connection
        .prepare_cached("SELECT revision, position FROM changes ORDER BY sequence LIMIT 1")?
        .query_row([], |row| Ok((revision(row, 0)?, unsigned(row.get(1)?))))
        .optional()?;
    Ok(match first {
        Some((revision, 0)) => LogPosition::after(revision.previous()),
        Some((revision, step)) => LogPosition { revision, step: step - 1 },
        None => LogPosition::after(base_revision(connection)?),
    })
}

/// The oldest revision from which a watch can still start.
pub(super) fn oldest_revision(connection: &Connection) -> rusqlite::Result<Revision> {
    Ok(oldest_start(connection)?.revision)
}

/// How many changes the log holds, and how many bytes it counts for them.
pub(super) fn size(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let ends = connection
        .query_row(
            "SELECT first.sequence, first.logged_bytes,
                    octet_length(first.group_name) + coalesce(octet_length(first.entry_key), 0)
                    + coalesce(octet_length(first.entry_value), 0),
                    last.sequence, last.logged_bytes
             FROM (SELECT * FROM changes ORDER BY sequence LIMIT 1) AS first,
                  (SELECT * FROM changes ORDER BY sequence DESC LIMIT 1) AS last",
            [],
            |row| {
                let changes = unsigned(row.get(3)?).saturating_sub(unsigned(row.get(0)?)) + 1;
                let after_first = unsigned(row.get(4)?).saturating_sub(unsigned(row.get(1)?));
                Ok((changes, after_first.saturating_add(ROW_BYTES + unsigned(row.get(2)?))))
            },
        )
        .optional()?;
    Ok(ends.unwrap_or_default())
}

/// The changes of one key that the log has, oldest first.
pub(super) fn history(connection: &Connection, group: &str, key: &str) -> rusqlite::Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(
        "SELECT revision, kind, group_name, entry_key, entry_value, expires_at, at FROM changes
         WHERE group_name = ?1 AND (entry_key = ?2 OR entry_key IS NULL) ORDER BY sequence",
    )?;
    let events = statement.query_map([group, key], event)?;
    events.collect()
}

fn event(row: &Row<'_>) -> rusqlite::Result<Event> {
    let kind = row.get_ref(1)?.as_str()?;
    let Ok(kind) = kind.parse::<EventKind>() else {
        return Err(rusqlite::Error::InvalidColumnType(1, "kind".into(), rusqlite::types::Type::Text));
    };
    debug_assert!(kind != EventKind::Set || bytes(row, 4)?.is_some(), "a set has a value");
    Ok(Event {
        revision: revision(row, 0)?,
        kind,
        group: row.get(2)?,
        key: row.get(3)?,
        value: value(row, 4)?,
        expires_at: row.get::<_, Option<i64>>(5)?.map(clock::time),
        at: clock::time(row.get(6)?),
    })
}

fn base_revision(connection: &Connection) -> rusqlite::Result<Revision> {
    connection
        .prepare_cached("SELECT content FROM store WHERE name = 'base_revision'")?
        .query_row([], |row| revision(row, 0))
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn the_place_in_a_log_is_found_whatever_its_revisions_hold() {
        let connection = Connection::open_in_memory().unwrap();
        schema::create(&connection, 0).unwrap();
        let insert = "INSERT INTO changes VALUES (?1, ?2, ?3, 'delete', 'g', 'k', NULL, NULL, 0, 0)";
        // Revisions of one change and of many, and a log that was pruned in the middle of one.
        let places: Vec<LogPosition> = (1..60_u64)
            .flat_map(|number| (0..1 + (number * number) % 7).map(move |step| (Revision(number), step)))
            .map(|(revision, step)| LogPosition { revision, step })
            .skip(3)
            .collect();
        for (place, sequence) in places.iter().zip(4_i64..) {
            let (revision, step) = (signed(place.revision.0), signed(place.step));
            connection.execute(insert, [sequence, revision, step]).unwrap();
        }
        let everywhere = (0..62).flat_map(|number| [0, 1, 3, u64::MAX].map(|step| (Revision(number), step)));
        for (revision, step) in everywhere {
            let place = LogPosition { revision, step };
            let before = places.iter().filter(|other| **other <= place).count();
            let expected = if before == 0 { 0 } else { before as i64 + 3 };
            let found = seek(&connection, place).unwrap();
            assert_eq!(if found <= 3 { 0 } else { found }, expected, "{place:?}");
        }
    }
}
