//! The model of the log: every change that ever was, and which of them the store must still have.

use std::collections::BTreeMap;

use larder::{Event, History, Value};

use crate::operation::Wanted;

/// What a row of the log counts besides its names and value: `docs/file-format.md`.
const ROW_BYTES: u64 = 48;

/// Revision and step.
pub type Place = (u64, u64);

/// A change, and what became of it.
#[derive(Clone, Debug)]
pub struct Change {
    pub place: Place,
    pub event: Event,
    bytes: u64,
    at_ms: u64,
    /// The prefix of the history that it is in.
    history: &'static str,
    /// The store must still have it.
    pub is_required: bool,
    /// The store cannot have it any more.
    pub is_gone: bool,
}

#[derive(Clone, Debug)]
struct Kept {
    /// `None` where the options decide.
    bounds: Option<History>,
    /// The last revision that a history, of which this one took over changes, may have lost.
    inherited: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct PlainCursor {
    pub position: Place,
    pub wanted: Wanted,
}

#[derive(Debug)]
pub struct Plain {
    pub entries: BTreeMap<(String, String), Value>,
    pub log: Vec<Change>,
    histories: BTreeMap<&'static str, Kept>,
    pub cursors: BTreeMap<&'static str, PlainCursor>,
    pub revision: u64,
    pub now: u64,
    pub default: History,
    pub cursor_bytes_max: u64,
}

impl Plain {
    pub fn new(default: History, cursor_bytes_max: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            log: Vec::new(),
            histories: BTreeMap::from([("", Kept { bounds: None, inherited: 0 })]),
            cursors: BTreeMap::new(),
            revision: 0,
            now: 0,
            default,
            cursor_bytes_max,
        }
    }

    /// Notes what a commit has changed.
    pub fn commit(&mut self, events: impl IntoIterator<Item = Event>) {
        self.revision += 1;
        for (event, step) in events.into_iter().zip(0..) {
            let (key, value) = (event.key.clone(), event.value.clone());
            let value_bytes = value.as_ref().map_or(0, Value::len);
            let names = event.group.len() + key.as_ref().map_or(0, String::len);
            match (key, value) {
                (Some(key), Some(value)) => drop(self.entries.insert((event.group.clone(), key), value)),
                (Some(key), None) => drop(self.entries.remove(&(event.group.clone(), key))),
                (None, _) => self.entries.retain(|(group, _), _| *group != event.group),
            }
            self.log.push(Change {
                place: (self.revision, step),
                bytes: ROW_BYTES + (names + value_bytes) as u64,
                at_ms: self.now,
                history: self.history_of(&event.group),
                event,
                is_required: true,
                is_gone: false,
            });
        }
        self.settle();
    }

    /// The prefix of the history that a group is in.
    pub fn history_of(&self, group: &str) -> &'static str {
        let prefixes = self.histories.keys().filter(|prefix| group.starts_with(**prefix));
        prefixes.max_by_key(|prefix| prefix.len()).unwrap()
    }

    pub fn prefixes(&self) -> Vec<&'static str> {
        self.histories.keys().copied().collect()
    }

    pub fn bounds(&self, prefix: &str) -> History {
        let bounds = self.histories[prefix].bounds.unwrap_or(self.default);
        if bounds.is_none() { History::NONE } else { bounds }
    }

    /// The places in the log of what is in a history.
    fn own(&self, prefix: &str) -> Vec<usize> {
        (0..self.log.len()).filter(|index| self.log[*index].history == prefix).collect()
    }

    /// The changes of a history that the store must still have, and their bytes.
    pub fn required(&self, prefix: &str) -> (u64, u64) {
        let own = self.own(prefix).into_iter().map(|index| &self.log[index]);
        own.filter(|change| change.is_required).fold((0, 0), |sum, one| (sum.0 + 1, sum.1 + one.bytes))
    }

    /// How many changes of the latest commit are in a history, and how many a cursor may hold.
    pub fn may_exceed(&self, prefix: &str) -> (u64, u64) {
        let own = self.own(prefix);
        let latest = own.iter().filter(|index| self.log[**index].place.0 == self.revision).count();
        let holding = self.cursors.values().filter(|cursor| self.may_be_in(cursor.wanted, prefix));
        let first = holding.map(|cursor| cursor.position).min();
        let held =
            first.map_or(0, |first| own.iter().filter(|index| self.log[**index].place > first).count());
        (latest as u64, held as u64)
    }

    /// Whether a history may hold a group of a pattern.
    pub fn may_be_in(&self, wanted: Wanted, prefix: &str) -> bool {
        wanted.examples().iter().any(|group| self.history_of(group) == prefix)
    }

    /// The last revision that a history may have lost.
    pub fn lost_max(&self, prefix: &str) -> u64 {
        let lost = self.own(prefix).into_iter().map(|index| &self.log[index]);
        let lost = lost.filter(|change| !change.is_required).map(|change| change.place.0).max();
        lost.unwrap_or(0).max(self.histories[prefix].inherited)
    }

    /// The last revision that a history may have lost of those that may hold a group of a pattern.
    pub fn lost_for(&self, wanted: Wanted) -> u64 {
        let prefixes = self.histories.keys().filter(|prefix| self.may_be_in(wanted, prefix));
        prefixes.map(|prefix| self.lost_max(prefix)).max().unwrap_or(0)
    }

    pub fn set_history(&mut self, prefix: &'static str, bounds: History) {
        let bounds = if bounds.is_none() { History::NONE } else { bounds };
        let was_none = self.bounds(self.history_of(prefix)).is_none();
        if let Some(kept) = self.histories.get_mut(prefix) {
            let is_other = kept.bounds.is_some_and(|bounds| bounds.is_none()) != bounds.is_none();
            kept.bounds = Some(bounds);
            if is_other {
                self.forget(prefix);
            }
        } else {
            let parent = self.history_of(prefix);
            let inherited = self.lost_max(parent);
            // What the parent has lost may have been of the groups that leave it.
            self.histories.get_mut(parent).unwrap().inherited = inherited;
            self.histories.insert(prefix, Kept { bounds: Some(bounds), inherited });
            self.distribute();
            if was_none {
                self.forget(prefix);
            }
        }
        self.settle();
    }

    pub fn remove_history(&mut self, prefix: &'static str) -> bool {
        if prefix.is_empty() {
            let kept = self.histories.get_mut("").unwrap();
            let before = kept.bounds.take();
            if before.is_some_and(|bounds| bounds.is_none()) {
                self.forget("");
            }
            self.settle();
            return before.is_some();
        }
        if !self.histories.contains_key(prefix) {
            return false;
        }
        let child_is_none = self.bounds(prefix).is_none();
        let lost = self.lost_max(prefix);
        let own = self.own(prefix);
        self.histories.remove(prefix);
        self.distribute();
        let parent = self.history_of(prefix);
        if child_is_none || self.bounds(parent).is_none() {
            own.into_iter().for_each(|index| self.log[index].forget());
        }
        let kept = self.histories.get_mut(parent).unwrap();
        kept.inherited = kept.inherited.max(lost);
        self.settle();
        true
    }

    fn forget(&mut self, prefix: &str) {
        self.own(prefix).into_iter().for_each(|index| self.log[index].forget());
    }

    /// Puts each change into the history that it belongs to now.
    fn distribute(&mut self) {
        for index in 0..self.log.len() {
            self.log[index].history = self.history_of(&self.log[index].event.group);
        }
    }

    /// Finds out what the store need not have any more.
    pub fn settle(&mut self) {
        for prefix in self.prefixes() {
            let bounds = self.bounds(prefix);
            if bounds.is_none() {
                self.forget(prefix);
                continue;
            }
            let (mut changes, mut bytes) = (0, 0);
            for index in self.own(prefix).into_iter().rev() {
                let change = &self.log[index];
                if change.is_gone {
                    continue;
                }
                changes += 1;
                bytes += change.bytes;
                let age = bounds.age.map_or(u64::MAX, |age| age.as_millis() as u64);
                let is_young = self.now - change.at_ms < age;
                let fits = changes <= bounds.changes && bytes <= bounds.bytes && is_young;
                let is_latest = change.place.0 == self.revision && is_young;
                let is_held = bytes <= self.cursor_bytes_max
                    && self.cursors.values().any(|cursor| {
                        cursor.position < change.place
                            && cursor.wanted.matches(&change.event.group, change.event.key.as_deref())
                    });
                self.log[index].is_required &= fits || is_latest || is_held;
            }
        }
    }

    /// Where a change is that may have lost others of its commit.
    pub fn is_half_lost(&self, change: &Change) -> bool {
        self.log.iter().any(|other| other.place.0 == change.place.0 && !other.is_required)
    }
}

impl Change {
    fn forget(&mut self) {
        (self.is_required, self.is_gone) = (false, true);
    }
}
