//! What a rendering has read.

use std::collections::{HashMap, HashSet};

use crate::data::Event;

/// What renderings have read, so that one can tell which changes would make a difference: see
/// [`View::render_recording`](crate::View::render_recording).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    groups: HashMap<String, Keys>,
}

/// What was read of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Keys {
    All,
    These(HashSet<String>),
}

impl Reads {
    /// Returns whether an event changes something that was read, or was sought and not found.
    pub fn matches(&self, event: &Event) -> bool {
        match (self.groups.get(&event.group), &event.key) {
            (Some(Keys::These(keys)), Some(key)) => keys.contains(key),
            (found, _) => found.is_some(),
        }
    }

    /// Adds what others have read.
    pub fn extend(&mut self, others: Self) {
        for (group, keys) in others.groups {
            match keys {
                Keys::All => self.add_group(&group),
                Keys::These(keys) => keys.iter().for_each(|key| self.add_key(&group, key)),
            }
        }
    }

    pub(crate) fn add_group(&mut self, group: &str) {
        self.groups.insert(group.to_owned(), Keys::All);
    }

    pub(crate) fn add_key(&mut self, group: &str, key: &str) {
        match self.groups.get_mut(group) {
            Some(Keys::All) => {}
            Some(Keys::These(keys)) => {
                if !keys.contains(key) {
                    keys.insert(key.to_owned());
                }
            }
            None => {
                self.groups.insert(group.to_owned(), Keys::These(HashSet::from([key.to_owned()])));
            }
        }
    }
}
