//! Named cursors: how far the change log was dealt with, by whom.

use rusqlite::{Connection, OptionalExtension, params};

use super::change_log;
use super::reading::{End, revision};
use super::schema::{self, signed, unsigned};
use super::writer::{Done, Writer};
use crate::engine::{CursorMove, LogPosition};
use crate::{CursorInfo, Error, clock};

/// The cursors whose names start with `prefix`, sorted by name.
pub(super) fn list(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<CursorInfo>> {
    // One moment for all queries.
    let _moment = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
    if !schema::has_cursors(connection)? {
        return Ok(Vec::new());
    }
    let oldest = change_log::oldest_start(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT cursor_name, revision, position, moved_at FROM cursors
         WHERE cursor_name >= ?1 AND cursor_name < ?2 ORDER BY cursor_name",
    )?;
    let cursors = statement.query_map(params![prefix, End::of(prefix)], |row| {
        let step = row.get::<_, Option<i64>>(2)?.map_or(u64::MAX, unsigned);
        let place = LogPosition { revision: revision(row, 1)?, step };
        Ok(CursorInfo {
            name: row.get(0)?,
            revision: if step == u64::MAX { place.revision } else { place.revision.previous() },
            behind: change_log::count_after(connection, place)?,
            compacted: place < oldest,
            moved_at: clock::time(row.get(3)?),
            place,
        })
    })?;
    cursors.collect()
}

impl Writer {
    /// Moves a cursor; whether it has moved.
    pub(super) fn move_cursor(&mut self, name: String, to: CursorMove) -> Done<i64> {
        let now_ms = self.moment.0;
        let moved = match to {
            CursorMove::Begin => self
                .prepare("INSERT OR IGNORE INTO cursors VALUES (?1, ?2, NULL, ?3)")?
                .execute(params![name, signed(self.tail.revision.0), now_ms])?,
            CursorMove::Acknowledge(place) => {
                if self.is_done(&name, place)? {
                    return Ok(0);
                }
                self.put_cursor(&name, place)?
            }
            CursorMove::Seek(place) => self.put_cursor(&name, place)?,
            CursorMove::Forget => {
                self.prepare("DELETE FROM cursors WHERE cursor_name = ?1")?.execute([name])?
            }
        };
        self.writes_unlogged |= moved > 0;
        Ok(i64::from(moved > 0))
    }

    fn put_cursor(&self, name: &str, place: LogPosition) -> rusqlite::Result<usize> {
        let step = (place.step != u64::MAX).then(|| signed(place.step));
        self.prepare("INSERT OR REPLACE INTO cursors VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            name,
            signed(place.revision.0),
            step,
            self.moment.0
        ])
    }

    /// Whether all up to a place was acknowledged before.
    fn is_done(&self, name: &str, place: LogPosition) -> Done<bool> {
        let stored = self
            .prepare("SELECT revision, position FROM cursors WHERE cursor_name = ?1")?
            .query_row([name], |row| {
                let step = row.get::<_, Option<i64>>(1)?.map_or(u64::MAX, unsigned);
                Ok(LogPosition { revision: revision(row, 0)?, step })
            })
            .optional()?;
        match stored {
            Some(stored) => Ok(stored >= place),
            None => Err(Error::NoCursor { name: name.to_owned() }.into()),
        }
    }
}
