//! Named cursors: how far the change log was dealt with, by whom.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::change_log;
use super::reading::{End, revision};
use super::schema::{self, signed, unsigned};
use super::writer::{Done, Writer};
use crate::data::{CursorInfo, Error, LogPosition, clock};
use crate::engine::CursorMove;

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
        let place = place_in(row, 1)?;
        let whole = place == LogPosition::after(place.revision);
        Ok(CursorInfo {
            name: row.get(0)?,
            revision: if whole { place.revision } else { place.revision.previous() },
            behind: change_log::count_after(connection, place)?,
            compacted: place < oldest,
            moved_at: clock::time(row.get(3)?),
            place,
        })
    })?;
    cursors.collect()
}

/// The place in a column for the revision and the next one for the step in it, if it is in one.
fn place_in(row: &Row<'_>, first: usize) -> rusqlite::Result<LogPosition> {
    let step = row.get::<_, Option<i64>>(first + 1)?.map_or(u64::MAX, unsigned);
    Ok(LogPosition { revision: revision(row, first)?, step })
}

const REPLACE: &str = "INSERT OR REPLACE INTO cursors VALUES (?1, ?2, ?3, ?4)";

impl Writer {
    /// Moves a cursor; whether it has moved.
    pub(super) fn move_cursor(&mut self, name: String, to: CursorMove) -> Done<i64> {
        let moved = match to {
            CursorMove::Begin(place) => {
                let place = place.unwrap_or_else(|| LogPosition::after(self.tail.revision));
                self.put_cursor("INSERT OR IGNORE INTO cursors VALUES (?1, ?2, ?3, ?4)", &name, place)?
            }
            CursorMove::Acknowledge(place) => {
                if self.is_done(&name, place)? {
                    return Ok(0);
                }
                self.put_cursor(REPLACE, &name, place)?
            }
            CursorMove::Seek(place) => self.put_cursor(REPLACE, &name, place)?,
            CursorMove::Forget => {
                self.prepare("DELETE FROM cursors WHERE cursor_name = ?1")?.execute([name])?
            }
        };
        self.writes_unlogged |= moved > 0;
        Ok(i64::from(moved > 0))
    }

    fn put_cursor(&self, sql: &'static str, name: &str, place: LogPosition) -> rusqlite::Result<usize> {
        let step = (place.step != u64::MAX).then(|| signed(place.step));
        self.prepare(sql)?.execute(params![name, signed(place.revision.0), step, self.moment.0])
    }

    /// Whether all up to a place was acknowledged before.
    fn is_done(&self, name: &str, place: LogPosition) -> Done<bool> {
        let stored = self
            .prepare("SELECT revision, position FROM cursors WHERE cursor_name = ?1")?
            .query_row([name], |row| place_in(row, 0))
            .optional()?;
        match stored {
            Some(stored) => Ok(stored >= place),
            None => Err(Error::NoCursor { name: name.to_owned() }.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{Quota, Revision};
    use crate::engine::sqlite::SqliteEngine;
    use crate::engine::{Commit, Engine, Mutation, Read, Settings, Unheard};

    fn open(path: &std::path::Path) -> SqliteEngine {
        SqliteEngine::open(path, &Settings::default(), Arc::new(Unheard)).unwrap()
    }

    fn commit(engine: &SqliteEngine, mutation: Mutation) {
        engine.commit(Commit::from(mutation)).wait().unwrap();
    }

    #[test]
    fn what_the_log_does_not_tell_of_empties_no_cache() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let (engine, other) = (open(&path), open(&path));
        let set = |key: &str| Mutation::Set {
            group: "g".into(),
            key: key.into(),
            value: "v".into(),
            expires_at_ms: None,
        };
        commit(&other, set("kept"));
        commit(&other, set("else"));
        let has = |key| engine.cache.peek(engine.cache.hash("g", key), "g", key).is_some();
        let read = |key| engine.get("g", key).unwrap().is_some();
        assert!(read("kept") && has("kept"));
        commit(&other, Mutation::MoveCursor { name: "c".into(), to: CursorMove::Begin(None) });
        assert!(read("else") && has("kept"));
        let place = LogPosition::after(Revision(1));
        commit(&other, Mutation::MoveCursor { name: "c".into(), to: CursorMove::Seek(place) });
        commit(&other, Mutation::SetQuota { namespace: "t".into(), quota: Quota::default() });
        assert!(!read("none") && has("kept") && has("else"));
        // But what another program writes does.
        Connection::open(&path).unwrap().execute_batch("DELETE FROM cursors").unwrap();
        assert!(read("else") && !has("kept"));
    }
}
