//! Mutations of named cursors.

use super::Draft;
use super::step::Step;
use crate::data::LogPosition;
use crate::engine::etcd::layout::StoredCursor;
use crate::engine::{CursorMove, Outcome};
use crate::rules::{self, CursorChange};

impl Draft {
    /// The position of a cursor, if it exists.
    pub fn cursor(&mut self, name: &str) -> Step<Option<LogPosition>> {
        let path = self.layout().cursor(name);
        Ok(self.read_message(&path)?.map(|stored: StoredCursor| stored.position()))
    }

    pub(super) fn move_cursor(&mut self, name: &str, to: CursorMove) -> Step<Outcome> {
        let stored = self.cursor(name)?;
        let position = match rules::move_cursor(name, stored, to)? {
            CursorChange::Keep => return Ok(Outcome::Cursor { position: stored, changed: false }),
            CursorChange::Put(position) => Some(position),
            CursorChange::PutAtLatest => Some(LogPosition::after(self.latest_revision()?)),
            CursorChange::Delete => None,
        };
        let path = self.layout().cursor(name);
        match position {
            Some(position) => self.put_message(path, &StoredCursor::new(position, self.now_ms())),
            None => self.delete(path),
        }
        Ok(Outcome::Cursor { position, changed: true })
    }
}
