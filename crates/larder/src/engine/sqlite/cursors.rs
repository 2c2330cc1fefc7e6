//! Moving named cursors.

use rusqlite::params;

use super::cursor_rows;
use super::log_parts::stored_place;
use super::timeline;
use super::writer::{Done, Writer};
use crate::data::namespace::{namespace_of, prefix_of};
use crate::data::{LogPosition, Pattern};
use crate::engine::{CursorMove, Outcome};
use crate::rules::{self, CursorChange, cursor_bytes};

impl Writer {
    /// Moves a cursor.
    pub(super) fn move_cursor(
        &mut self,
        name: &str,
        to: CursorMove,
        pattern: Option<Pattern>,
    ) -> Done<Outcome> {
        let stored = cursor_rows::find(&self.connection, name)?;
        let at = stored.as_ref().map(|stored| stored.position);
        let is_new_pattern =
            pattern.is_some() && pattern.as_ref() != stored.as_ref().map(|stored| &stored.pattern);
        let position = match rules::move_cursor(name, at, to, is_new_pattern)? {
            CursorChange::Keep => return Ok(Outcome::Cursor { position: at, changed: false }),
            CursorChange::Put(position) => Some(position),
            CursorChange::PutAtLatest => Some(LogPosition::after(self.last_revision())),
            CursorChange::Delete => None,
        };
        let is_larger = at.is_none() || is_new_pattern;
        let pattern =
            pattern.or_else(|| stored.map(|stored| stored.pattern)).map(|pattern| pattern.to_string());
        if position.is_some() && is_larger {
            self.admit_cursor(name, pattern.as_deref())?;
        }
        match position {
            Some(position) => self.put_cursor(name, position, pattern)?,
            None => drop(self.prepare("DELETE FROM cursors WHERE cursor_name = ?1")?.execute([name])?),
        }
        // Another pattern alone does not move a cursor. Its reader must still be told of a restore.
        let stays = matches!(to, CursorMove::Begin(_)) && at.is_some();
        if !stays {
            timeline::tell(&self.connection, name)?;
        }
        if let Some(at) = at {
            self.known.log.release(at);
        }
        self.transaction.is_unlogged = true;
        self.transaction.frees_log = true;
        Ok(Outcome::Cursor { position, changed: true })
    }

    /// Refuses a cursor that a namespace has no room for.
    fn admit_cursor(&self, name: &str, pattern: Option<&str>) -> Done<()> {
        let Some(namespace) = namespace_of(name) else { return Ok(()) };
        let (mut before, mut old) = (0, 0);
        for (other, bytes) in cursor_rows::sizes(&self.connection, &prefix_of(namespace))? {
            before += bytes;
            if other == name {
                old = bytes;
            }
        }
        let new = cursor_bytes(name.len(), pattern.map_or(0, str::len));
        Ok(rules::admit_cursor(namespace, before, old, new)?)
    }

    fn put_cursor(&self, name: &str, position: LogPosition, pattern: Option<String>) -> rusqlite::Result<()> {
        let (revision, step) = stored_place(position);
        self.prepare(
            "INSERT INTO cursors VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (cursor_name) DO UPDATE
             SET revision = excluded.revision, position = excluded.position, moved_at = excluded.moved_at,
                 pattern = excluded.pattern",
        )?
        .execute(params![name, revision, step, self.now.0, pattern])
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rusqlite::Connection;

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
        let read = |key| engine.get("g", key).unwrap().is_some();
        assert!(read("kept") && has("kept"));
        commit(&other, Mutation::MoveCursor { name: "c".into(), to: CursorMove::Begin(None), pattern: None });
        assert!(read("else") && has("kept"));
        let place = LogPosition::after(Revision(1));
        commit(&other, Mutation::MoveCursor { name: "c".into(), to: CursorMove::Seek(place), pattern: None });
        commit(&other, Mutation::SetQuota { namespace: "t".into(), quota: Quota::default() });
        assert!(!read("none") && has("kept") && has("else"));
        // A write of another program does empty it.
        Connection::open(&path).unwrap().execute_batch("DELETE FROM cursors").unwrap();
        assert!(read("else") && !has("kept"));
    }
}
