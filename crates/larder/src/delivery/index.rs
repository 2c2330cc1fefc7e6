//! Finds the watchers that want an event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::mailbox::Mailbox;
use crate::data::{Event, NamePattern};

/// Finds the watchers of a change, so that those of other groups and keys cost it nothing.
#[derive(Default)]
pub(super) struct Index {
    groups: ByName<OfGroups>,
}

/// The watchers of some groups.
type OfGroups = ByName<Vec<Arc<Mailbox>>>;

/// What belongs to names, and to all names that start alike.
struct ByName<T> {
    exact: HashMap<String, T>,
    /// By the length of the prefix, then by the prefix: a name is looked up once for each length that
    /// there is. What belongs to all names is under the empty one.
    prefixes: BTreeMap<usize, HashMap<String, T>>,
}

impl Index {
    pub fn insert(&mut self, mailbox: Arc<Mailbox>) {
        let of_groups = self.groups.entry(&mailbox.pattern.group);
        of_groups.entry(&mailbox.pattern.key).push(mailbox);
    }

    pub fn remove(&mut self, mailbox: &Arc<Mailbox>) {
        let pattern = &mailbox.pattern;
        self.groups.prune(&pattern.group, |of_groups| {
            of_groups.prune(&pattern.key, |list| {
                list.retain(|other| !Arc::ptr_eq(other, mailbox));
                list.is_empty()
            });
            of_groups.is_empty()
        });
    }

    /// Every mailbox.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.groups.values().flat_map(ByName::values).flatten()
    }

    /// Calls `found` with each mailbox that wants the event.
    pub fn find<'a>(&'a self, event: &Event, mut found: impl FnMut(&'a Arc<Mailbox>)) {
        self.groups.find(&event.group, |of_groups| match &event.key {
            Some(key) => of_groups.find(key, |list| list.iter().for_each(&mut found)),
            // The whole group is gone, and every key of it.
            None => of_groups.values().flatten().for_each(&mut found),
        });
    }
}

impl<T> Default for ByName<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), prefixes: BTreeMap::new() }
    }
}

impl<T: Default> ByName<T> {
    fn entry(&mut self, pattern: &NamePattern) -> &mut T {
        match pattern {
            NamePattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            NamePattern::Prefix(prefix) => {
                self.prefixes.entry(prefix.len()).or_default().entry(prefix.clone()).or_default()
            }
        }
    }
}

impl<T> ByName<T> {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Changes what belongs to a pattern, and takes it out where it says that nothing is left.
    fn prune(&mut self, pattern: &NamePattern, change: impl FnOnce(&mut T) -> bool) {
        match pattern {
            NamePattern::Exact(name) => {
                if self.exact.get_mut(name).is_some_and(change) {
                    self.exact.remove(name);
                }
            }
            NamePattern::Prefix(prefix) => {
                let Some(of_length) = self.prefixes.get_mut(&prefix.len()) else { return };
                if of_length.get_mut(prefix).is_some_and(change) {
                    of_length.remove(prefix);
                }
                if of_length.is_empty() {
                    self.prefixes.remove(&prefix.len());
                }
            }
        }
    }

    fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.prefixes.values().flat_map(HashMap::values))
    }

    /// Calls `found` with what belongs to the name.
    fn find<'a>(&'a self, name: &str, mut found: impl FnMut(&'a T)) {
        for (length, of_length) in &self.prefixes {
            let Some(prefix) = name.get(..*length) else { continue };
            of_length.get(prefix).into_iter().for_each(&mut found);
        }
        self.exact.get(name).into_iter().for_each(found);
    }
}
