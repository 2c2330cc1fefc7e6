//! Setting the histories of a store, and moving the changes that the log has already to where they belong then.

use std::sync::Arc;

use super::log::{Change, Log, Mark, Part};
use super::state::{Kept, State};
use crate::data::{Error, History, LogPosition, Result};

/// How many histories a store may have: as many as a file may.
const HISTORIES_MAX: usize = 256;

impl State {
    /// Gives the groups of a prefix a history of their own, or takes it away. Returns whether that changes anything.
    pub fn set_history(&mut self, prefix: &str, history: Option<History>) -> Result<bool> {
        let found = self.histories.binary_search_by(|kept| (*kept.prefix).cmp(prefix));
        match (found, history) {
            (Err(_), None) => return Ok(false),
            (Ok(index), history) if self.histories[index].bounds == history => return Ok(false),
            (Ok(index), None) if index > 0 => drop(Arc::make_mut(&mut self.histories).remove(index)),
            (Ok(index), history) => Arc::make_mut(&mut self.histories)[index].bounds = history,
            (Err(_), Some(_)) if self.histories.len() >= HISTORIES_MAX => {
                return Err(Error::TooManyHistories { limit: HISTORIES_MAX as u64 });
            }
            (Err(index), Some(_)) => {
                let kept = Kept { prefix: prefix.into(), bounds: history };
                Arc::make_mut(&mut self.histories).insert(index, kept);
            }
        }
        Ok(true)
    }
}

impl Log {
    /// Does to the log what [`State::set_history`] has admitted. Returns the changes that are lost by it.
    pub fn set_history(&mut self, prefix: &str, history: Option<History>) -> Vec<Change> {
        match (self.parts.binary_search_by(|part| (*part.prefix).cmp(prefix)), history) {
            (Err(_), None) => Vec::new(),
            (Ok(index), None) if index > 0 => self.merge(index),
            (Ok(index), history) => {
                let part = &mut self.parts[index];
                let was_none = part.is_none();
                (part.bounds, part.held_until) = (history, 0);
                if part.is_none() == was_none { Vec::new() } else { part.empty() }
            }
            (Err(index), history) => {
                self.split(index, &Kept { prefix: prefix.into(), bounds: history });
                Vec::new()
            }
        }
    }

    /// Begins a history, with the changes of its groups that the log has.
    fn split(&mut self, index: usize, kept: &Kept) {
        let from = self.of(&kept.prefix);
        let parent = &mut self.parts[from];
        let mut child = Part::new(kept, parent.pruned.place);
        if !parent.is_none() {
            let mut rest = parent.begin_again();
            for change in std::mem::take(&mut parent.changes) {
                let moves = change.event.group.starts_with(&*kept.prefix);
                if moves { &mut child } else { &mut rest }.take(&change);
            }
            *parent = rest;
        }
        self.parts.insert(index, child);
    }

    /// Ends a history. Its changes go to the one that its groups belong to without it.
    fn merge(&mut self, index: usize) -> Vec<Change> {
        let mut child = self.parts.remove(index);
        let into = self.of(&child.prefix);
        let parent = &mut self.parts[into];
        if parent.is_none() || child.is_none() {
            let lost = child.empty();
            parent.lose_up_to(child.last.place);
            return lost;
        }
        let mut merged = parent.begin_again();
        merged.lose_up_to(child.pruned.place);
        let mut all: Vec<Change> = std::mem::take(&mut parent.changes).into();
        all.extend(child.changes);
        all.sort_by_key(Change::place);
        all.iter().for_each(|change| merged.take(change));
        *parent = merged;
        Vec::new()
    }
}

impl Part {
    /// The same history without changes.
    fn begin_again(&self) -> Self {
        let kept = Kept { prefix: Arc::clone(&self.prefix), bounds: self.bounds };
        Self { added: self.added, ..Self::new(&kept, self.pruned.place) }
    }

    /// Loses all its changes.
    fn empty(&mut self) -> Vec<Change> {
        self.pruned = self.last;
        std::mem::take(&mut self.changes).into()
    }

    /// Takes a change from elsewhere; loses it, if it keeps none.
    fn take(&mut self, change: &Change) {
        if self.is_none() {
            return self.lose_up_to(change.place());
        }
        let Mark { number, bytes, place } = self.last;
        let bytes = bytes + super::log::bytes_of(&change.event);
        let place: LogPosition = place.max(change.place());
        self.last = Mark { number: number + 1, bytes, place };
        self.changes.push_back(Change { step: change.step, bytes, event: Arc::clone(&change.event) });
    }
}
