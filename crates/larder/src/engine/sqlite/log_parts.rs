//! The parts of the change log: one for each history of the store.
//!
//! All changes are in one table. The row of a change has the number of its history in the upper bits of its id, and
//! its own number in that history in the lower ones. So each history is a range of ids without gaps, which is
//! appended to at its end and pruned at its beginning. The table `histories` says up to where each was pruned.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::ascending::Ascending;
use super::schema::{self, signed, unsigned};
use crate::data::{History, LogPosition, Revision};
use crate::rules::{Kept, history_of};

/// About what a row of the log takes besides its names and value, so that many small changes count.
pub(super) const ROW_BYTES: u64 = 48;

/// How many bits of a row's id are the number of the change in its history.
const NUMBER_BITS: u32 = 48;

/// The highest number of a change in its history.
const NUMBER_MAX: u64 = (1 << NUMBER_BITS) - 1;

/// The highest number of a history.
pub(super) const HISTORY_NUMBER_MAX: i64 = (1 << (63 - NUMBER_BITS)) - 1;

/// A change as the log counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Its number in its history, from 1.
    pub number: u64,
    /// The bytes of all changes that its history ever had, up to this one.
    pub bytes: u64,
    pub place: LogPosition,
}

/// The changes of one history.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub prefix: String,
    /// The number of the history.
    pub history: i64,
    /// `None` for the store's own history where none was set: the options of each process decide.
    pub bounds: Option<History>,
    /// The last change that was pruned. Its place is after that of changes which are still there, if a history that
    /// had lost more than this one was removed and became part of it.
    pub pruned: Mark,
    /// The last change; the last pruned one where there is no other.
    pub last: Mark,
    /// How many changes the open transaction has added.
    pub added: u64,
    /// Cursors hold what would be pruned: not worth a look until the last change has this number.
    pub held_until: u64,
    /// Where the cursor is that holds them.
    pub holder: Option<LogPosition>,
    /// When the oldest change was made, in Unix milliseconds, if that was looked up.
    pub oldest_ms: Option<i64>,
    /// The number and the bytes of the last change when the shares of namespaces were last looked at.
    pub looked_at: (u64, u64),
}

/// The parts of the log, sorted by prefix. The first is that of the empty prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts(pub Vec<Part>);

impl Part {
    /// A part of which nothing is known but what the store keeps about it.
    fn as_stored(prefix: String, history: i64, bounds: Option<History>, pruned: Mark) -> Self {
        Self {
            prefix,
            history,
            bounds,
            last: pruned,
            pruned,
            added: 0,
            held_until: 0,
            holder: None,
            oldest_ms: None,
            looked_at: (0, 0),
        }
    }

    /// A history that has no change, and has lost all up to a position.
    pub fn without_changes(prefix: String, history: i64, bounds: Option<History>, lost: LogPosition) -> Self {
        Self::as_stored(prefix, history, bounds, Mark { number: 0, bytes: 0, place: lost })
    }

    /// The id of the change with this number.
    pub fn id(&self, number: u64) -> i64 {
        (self.history << NUMBER_BITS).saturating_add(signed(number))
    }

    /// The number of the change with this id.
    pub fn number(&self, id: i64) -> u64 {
        unsigned(id.saturating_sub(self.history << NUMBER_BITS))
    }

    /// Whether only names are logged, so that caches can follow.
    pub fn is_none(&self) -> bool {
        self.bounds.is_some_and(|bounds| bounds.is_none())
    }

    /// The last change that nobody can read any more.
    pub fn lost(&self) -> LogPosition {
        if self.is_none() { self.last.place } else { self.pruned.place }
    }

    /// How many changes can be read, and how many bytes they count.
    pub fn size(&self) -> (u64, u64) {
        if self.is_none() {
            return (0, 0);
        }
        (
            self.last.number.saturating_sub(self.pruned.number),
            self.last.bytes.saturating_sub(self.pruned.bytes),
        )
    }

    /// Where one change is.
    pub fn place_of(&self, connection: &Connection, number: u64) -> rusqlite::Result<Option<LogPosition>> {
        connection
            .prepare_cached("SELECT revision, position FROM changes WHERE rowid = ?1")?
            .query_row([self.id(number)], |row| place(row, 0))
            .optional()
    }

    /// The number of the last change at or before a position.
    pub fn seek(&self, connection: &Connection, to: LogPosition) -> rusqlite::Result<u64> {
        if self.last.place <= to {
            return Ok(self.last.number);
        }
        // Changes up to `low` are at or before the position; `high` and later ones are after it. The last change may be
        // before it, although the history has lost later ones.
        let (mut low, mut high) = (self.pruned.number, self.last.number + 1);
        // The place if each revision has one change in this history.
        let mut guess =
            self.last.number.saturating_sub(self.last.place.revision.0.saturating_sub(to.revision.0));
        let mut is_first = true;
        while high - low > 1 {
            guess = guess.clamp(low + 1, high - 1);
            if self.place_of(connection, guess)?.is_none_or(|found| found <= to) {
                low = guess;
            } else {
                high = guess;
            }
            guess =
                if std::mem::take(&mut is_first) && low == guess { low + 1 } else { low + (high - low) / 2 };
        }
        Ok(low)
    }

    /// Reads the last change from the log.
    fn with_last(mut self, connection: &Connection) -> rusqlite::Result<Self> {
        let last = connection
            .prepare_cached(
                "SELECT rowid, logged_bytes, revision, position FROM changes
                 WHERE rowid > ?1 AND rowid < ?2 ORDER BY rowid DESC LIMIT 1",
            )?
            .query_row([self.id(self.pruned.number), (self.history + 1) << NUMBER_BITS], |row| {
                Ok(Mark {
                    number: self.number(row.get(0)?),
                    bytes: unsigned(row.get(1)?),
                    place: place(row, 2)?,
                })
            })
            .optional()?;
        self.last = last.unwrap_or(self.pruned);
        // It may have lost later changes than it has, from a history that was removed.
        self.last.place = self.last.place.max(self.pruned.place);
        Ok(self)
    }

    /// Stores up to where it was pruned.
    pub fn store_pruned(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (revision, step) = stored_place(self.pruned.place);
        connection
            .prepare_cached(
                "UPDATE histories SET pruned_changes = ?2, pruned_bytes = ?3, pruned_revision = ?4, pruned_step = ?5
                 WHERE prefix = ?1",
            )?
            .execute(params![self.prefix, signed(self.pruned.number), signed(self.pruned.bytes), revision, step])
            .map(drop)
    }

    /// Stores it as a new history, or a changed one.
    pub fn store(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (revision, step) = stored_place(self.pruned.place);
        let bounds = self.bounds;
        let age = bounds.and_then(|bounds| bounds.age);
        connection
            .prepare_cached(
                "INSERT INTO histories VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (prefix) DO UPDATE
                 SET history = excluded.history, max_changes = excluded.max_changes, max_bytes = excluded.max_bytes,
                     max_age = excluded.max_age, pruned_changes = excluded.pruned_changes,
                     pruned_bytes = excluded.pruned_bytes, pruned_revision = excluded.pruned_revision,
                     pruned_step = excluded.pruned_step",
            )?
            .execute(params![
                self.prefix,
                self.history,
                bounds.map(|bounds| signed(bounds.changes)),
                bounds.map(|bounds| signed(bounds.bytes)),
                age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
                signed(self.pruned.number),
                signed(self.pruned.bytes),
                revision,
                step
            ])
            .map(drop)
    }
}

impl Parts {
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        // One moment for all queries. The writer is in a transaction already.
        let _moment = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
        // Not by the names of its columns: version 3 has given one another name.
        let statement = connection.prepare_cached("SELECT * FROM histories ORDER BY prefix");
        let mut statement = match statement {
            Err(_) if schema::version(connection)? < schema::WITH_HISTORIES => {
                return Ok(Self(vec![of_version_1(connection)?.with_last(connection)?]));
            }
            statement => statement?,
        };
        let mut order = Ascending::default();
        let parts = statement.query_map([], |row| order.next(row).and_then(|()| stored_part(row)))?;
        parts.map(|part| part?.with_last(connection)).collect::<rusqlite::Result<_>>().map(Self)
    }

    /// Which part the changes of a group go to.
    pub fn of(&self, group: &str) -> usize {
        if self.0.len() <= 1 {
            return 0;
        }
        history_of(group, self.0.iter().map(|part| part.prefix.as_str())).unwrap_or_default()
    }

    /// The store's latest commit.
    pub fn revision(&self) -> Revision {
        self.0.iter().map(|part| part.last.place.revision).max().unwrap_or_default()
    }

    /// What the rules ask for.
    pub fn kept(&self) -> Vec<Kept<'_>> {
        self.0.iter().map(|part| Kept { prefix: &part.prefix, lost: part.lost() }).collect()
    }

    /// Takes over what an earlier reading had found out about cursors.
    pub fn remember_holds(&mut self, earlier: &Self) {
        let earlier: BTreeMap<_, _> = earlier.0.iter().map(|part| (part.history, part)).collect();
        for part in &mut self.0 {
            // A number may meanwhile be that of another history, which counts its changes from 1.
            if let Some(earlier) = earlier.get(&part.history)
                && earlier.prefix == part.prefix
                && earlier.last.number <= part.last.number
            {
                (part.held_until, part.holder) = (earlier.held_until, earlier.holder);
                part.looked_at = earlier.looked_at;
            }
        }
    }
}

/// The only history of a file from before there were several: its log begins where its first row is.
pub(super) fn of_version_1(connection: &Connection) -> rusqlite::Result<Part> {
    let pruned = connection
        .query_row(
            "SELECT rowid, revision, position, logged_bytes, octet_length(group_name)
                    + coalesce(octet_length(entry_key), 0) + coalesce(octet_length(entry_value), 0)
             FROM changes ORDER BY rowid LIMIT 1",
            [],
            |row| {
                let first = place(row, 1)?;
                let size = ROW_BYTES + unsigned(row.get(4)?);
                Ok(Mark {
                    number: unsigned(row.get(0)?).min(NUMBER_MAX).saturating_sub(1),
                    bytes: unsigned(row.get(3)?).saturating_sub(size),
                    place: match first.step.checked_sub(1) {
                        Some(step) => LogPosition { step, ..first },
                        None => LogPosition::after(first.revision.previous()),
                    },
                })
            },
        )
        .optional()?;
    let pruned = match pruned {
        Some(pruned) => pruned,
        None => Mark { number: 0, bytes: 0, place: LogPosition::after(base_revision(connection)?) },
    };
    Ok(Part::as_stored(String::new(), 0, None, pruned))
}

fn stored_part(row: &Row<'_>) -> rusqlite::Result<Part> {
    let count = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(unsigned));
    let age = count(4)?.map(std::time::Duration::from_millis);
    let bounds = count(2)?.zip(count(3)?).map(|(changes, bytes)| History { changes, bytes, age });
    let number = unsigned(row.get(5)?).min(NUMBER_MAX);
    let pruned = Mark { number, bytes: unsigned(row.get(6)?), place: stored_position(row, 7)? };
    let history = row.get::<_, i64>(1)?.clamp(0, HISTORY_NUMBER_MAX);
    Ok(Part::as_stored(row.get(0)?, history, bounds, pruned))
}

/// Reads the position of a change: revision and step in adjacent columns.
pub(super) fn place(row: &Row<'_>, first: usize) -> rusqlite::Result<LogPosition> {
    Ok(LogPosition { revision: Revision(unsigned(row.get(first)?)), step: unsigned(row.get(first + 1)?) })
}

/// Reads a stored position: the revision, and in the next column the step, which is NULL after a whole revision.
pub(super) fn stored_position(row: &Row<'_>, first: usize) -> rusqlite::Result<LogPosition> {
    let step = row.get::<_, Option<i64>>(first + 1)?.map_or(u64::MAX, unsigned);
    Ok(LogPosition { revision: Revision(unsigned(row.get(first)?)), step })
}

/// A position as it is stored.
pub(super) fn stored_place(place: LogPosition) -> (i64, Option<i64>) {
    (signed(place.revision.0), (place.step != u64::MAX).then(|| signed(place.step)))
}

fn base_revision(connection: &Connection) -> rusqlite::Result<Revision> {
    connection
        .prepare_cached("SELECT content FROM store WHERE name = 'base_revision'")?
        .query_row([], |row| Ok(Revision(unsigned(row.get(0)?))))
}
