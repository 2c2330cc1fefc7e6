//! Mutations of named cursors.

use prost::Message;

use super::Draft;
use super::step::Step;
use crate::data::namespace::{namespace_of, prefix_of};
use crate::data::{LogPosition, Pattern};
use crate::engine::etcd::layout::StoredCursor;
use crate::engine::{self, CursorMove, Outcome};
use crate::rules::{self, CursorChange, cursor_bytes};

impl Draft {
    /// What is remembered of a cursor, if it exists.
    pub fn cursor(&mut self, name: &str) -> Step<Option<engine::StoredCursor>> {
        let path = self.layout().cursor(name);
        let stored: Option<StoredCursor> = self.read_message(&path)?;
        Ok(stored
            .map(|stored| engine::StoredCursor { position: stored.position(), pattern: stored.wanted(name) }))
    }

    pub(super) fn move_cursor(
        &mut self,
        name: &str,
        to: CursorMove,
        pattern: Option<&Pattern>,
    ) -> Step<Outcome> {
        let stored = self.cursor(name)?;
        if let CursorMove::Acknowledge(position) = to {
            // It is the position of an event that was received.
            self.log_reached = self.log_reached.max(Some(position.revision));
        }
        let at = stored.as_ref().map(|stored| stored.position);
        let is_new_pattern = pattern.is_some() && pattern != stored.as_ref().map(|stored| &stored.pattern);
        let position = match rules::move_cursor(name, at, to, is_new_pattern)? {
            CursorChange::Keep => return Ok(Outcome::Cursor { position: at, changed: false }),
            CursorChange::Put(position) => Some(position),
            CursorChange::PutAtLatest => Some(LogPosition::after(self.latest_revision()?)),
            CursorChange::Delete => None,
        };
        let pattern = pattern.or(stored.as_ref().map(|stored| &stored.pattern));
        if position.is_some() && (at.is_none() || is_new_pattern) {
            self.admit_cursor(name, pattern)?;
        }
        let path = self.layout().cursor(name);
        match position {
            Some(position) => self.put_message(path, &StoredCursor::new(position, pattern, self.now_ms())),
            None => self.delete(path),
        }
        Ok(Outcome::Cursor { position, changed: true })
    }

    /// Refuses a cursor that a namespace has no room for.
    fn admit_cursor(&mut self, name: &str, pattern: Option<&Pattern>) -> Step<()> {
        let Some(namespace) = namespace_of(name) else { return Ok(()) };
        let span = self.layout().cursors(&prefix_of(namespace));
        let (mut before, mut old) = (0, 0);
        for (path, value) in self.read_whole_span(&span)? {
            // What another program has written there is no cursor.
            let (Some(other), Ok(stored)) = (self.layout().cursor_name(&path), StoredCursor::decode(value))
            else {
                continue;
            };
            let bytes = cursor_bytes(other.len(), stored.pattern.map_or(0, |pattern| pattern.len()));
            before += bytes;
            if other == name {
                old = bytes;
            }
        }
        let new = cursor_bytes(name.len(), pattern.map_or(0, |pattern| pattern.to_string().len()));
        Ok(rules::admit_cursor(namespace, before, old, new)?)
    }
}
