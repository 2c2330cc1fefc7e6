//! Moving named cursors.

use std::sync::Arc;

use super::draft::Draft;
use super::rows::Cursor;
use crate::data::namespace::{namespace_of, prefix_of};
use crate::data::{LogPosition, Pattern, Result};
use crate::engine::{CursorMove, Outcome};
use crate::rules::{self, CursorChange, cursor_bytes};

impl Draft {
    /// Moves a cursor.
    pub fn move_cursor(&mut self, name: &str, to: CursorMove, pattern: Option<Pattern>) -> Result<Outcome> {
        let stored = self.state.cursors.get(|cursor| (*cursor.name).cmp(name)).cloned();
        let at = stored.as_ref().map(|stored| stored.position);
        let is_new_pattern =
            pattern.is_some() && pattern.as_ref() != stored.as_ref().map(|stored| &*stored.pattern);
        let position = match rules::move_cursor(name, at, to, is_new_pattern)? {
            CursorChange::Keep => return Ok(Outcome::Cursor { position: at, changed: false }),
            CursorChange::Put(position) => Some(position),
            // Not after what the open commit has changed: that is not committed yet.
            CursorChange::PutAtLatest => Some(LogPosition::after(self.state.revision)),
            CursorChange::Delete => None,
        };
        let is_larger = at.is_none() || is_new_pattern;
        let pattern = pattern.map(Arc::new).or_else(|| stored.map(|stored| stored.pattern));
        let pattern = pattern.unwrap_or_else(|| Arc::new(Pattern::of_namespace(namespace_of(name))));
        match position {
            Some(position) => {
                if is_larger {
                    self.admit_cursor(name, &pattern)?;
                }
                let moved_at_ms = self.now_ms;
                self.state.cursors.insert(Cursor { name: name.into(), position, pattern, moved_at_ms });
            }
            None => drop(self.state.cursors.remove(|cursor| (*cursor.name).cmp(name))),
        }
        self.done.released.extend(at);
        self.done.frees_log = true;
        Ok(Outcome::Cursor { position, changed: true })
    }

    /// Refuses a cursor that a namespace has no room for.
    fn admit_cursor(&self, name: &str, pattern: &Pattern) -> Result<()> {
        let Some(namespace) = namespace_of(name) else { return Ok(()) };
        let bytes = |name: &str, pattern: &Pattern| cursor_bytes(name.len(), pattern.to_string().len());
        let prefix = prefix_of(namespace);
        let cursors = self.state.cursors.iter_from(|cursor| (*cursor.name).cmp(&prefix));
        let own = cursors.take_while(|cursor| cursor.name.starts_with(&prefix));
        let (before, old) = own.fold((0, 0), |(sum, old), cursor| {
            let size = bytes(&cursor.name, &cursor.pattern);
            (sum + size, if &*cursor.name == name { size } else { old })
        });
        rules::admit_cursor(namespace, before, old, bytes(name, pattern))
    }
}
