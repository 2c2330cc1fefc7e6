//! Named cursors: how far each consumer has acknowledged the change log.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::change_log;
use super::queries::{End, revision};
use super::schema::{self, signed, unsigned};
use super::writer::{Done, Writer};
use crate::data::{CursorInfo, LogPosition, clock};
use crate::engine::{CursorMove, Outcome};
use crate::rules::{self, CursorChange};

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
        })
    })?;
    cursors.collect()
}

/// Reads a position: the revision, and in the next column the step, which is NULL after a whole revision.
fn place_in(row: &Row<'_>, first: usize) -> rusqlite::Result<LogPosition> {
    let step = row.get::<_, Option<i64>>(first + 1)?.map_or(u64::MAX, unsigned);
    Ok(LogPosition { revision: revision(row, first)?, step })
}

/// Where the cursor of this name is, if there is one.
pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<LogPosition>> {
    if !schema::has_cursors(connection)? {
        return Ok(None);
    }
    connection
        .prepare_cached("SELECT revision, position FROM cursors WHERE cursor_name = ?1")?
        .query_row([name], |row| place_in(row, 0))
        .optional()
}

impl Writer {
    /// Moves a cursor.
    pub(super) fn move_cursor(&mut self, name: &str, to: CursorMove) -> Done<Outcome> {
        let stored = find(&self.connection, name)?;
        let position = match rules::move_cursor(name, stored, to)? {
            CursorChange::Keep => return Ok(Outcome::Cursor { position: stored, changed: false }),
            CursorChange::Put(position) => Some(position),
            CursorChange::PutAtLatest => Some(LogPosition::after(self.last_revision())),
            CursorChange::Delete => None,
        };
        match position {
            Some(position) => self.put_cursor(name, position)?,
            None => drop(self.prepare("DELETE FROM cursors WHERE cursor_name = ?1")?.execute([name])?),
        }
        self.transaction.is_unlogged = true;
        Ok(Outcome::Cursor { position, changed: true })
    }

    fn put_cursor(&self, name: &str, position: LogPosition) -> rusqlite::Result<()> {
        let step = (position.step != u64::MAX).then(|| signed(position.step));
        self.prepare("INSERT OR REPLACE INTO cursors VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![name, signed(position.revision.0), step, self.now.0])
            .map(drop)
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
        SqliteEngine::open(path, &Settings::default(), Arc::new(Unheard)).unwrap().engine
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
        let read = |key| engine.get("g", key).wait().unwrap().is_some();
        assert!(read("kept") && has("kept"));
        commit(&other, Mutation::MoveCursor { name: "c".into(), to: CursorMove::Begin(None) });
        assert!(read("else") && has("kept"));
        let place = LogPosition::after(Revision(1));
        commit(&other, Mutation::MoveCursor { name: "c".into(), to: CursorMove::Seek(place) });
        commit(&other, Mutation::SetQuota { namespace: "t".into(), quota: Quota::default() });
        assert!(!read("none") && has("kept") && has("else"));
        // A write of another program does empty it.
        Connection::open(&path).unwrap().execute_batch("DELETE FROM cursors").unwrap();
        assert!(read("else") && !has("kept"));
    }
}
