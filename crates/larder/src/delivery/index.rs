//! Finds the watchers that want an event.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::account::NAMESPACE_BYTES_MAX;
use super::mailbox::Mailbox;
use super::pile::EVENT_BYTES;
use crate::data::namespace::namespace_of;
use crate::data::{Event, NamePattern};
use crate::engine::Logged;

/// To how many watchers of a namespace the events of one commit are offered, all together: as many as have room in memory.
/// Beyond that, the watchers read the log, each on its own time. All writers would wait for offers in vain.
pub(super) const OFFERS_MAX: u64 = (NAMESPACE_BYTES_MAX / EVENT_BYTES) as u64;

/// Finds the watchers of a change, so that those of other namespaces, groups and keys cost it nothing.
#[derive(Default)]
pub(super) struct Index {
    /// By what the groups of their handles start with.
    parts: HashMap<String, Part>,
}

/// The watchers of the handles to one namespace, or of those to the whole store.
#[derive(Default)]
pub(super) struct Part {
    is_of_namespace: bool,
    watchers: u64,
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
        let part = self.parts.entry(mailbox.prefix.clone()).or_default();
        part.is_of_namespace = !mailbox.prefix.is_empty();
        part.insert(mailbox);
    }

    pub fn remove(&mut self, mailbox: &Arc<Mailbox>) {
        let Some(part) = self.parts.get_mut(&mailbox.prefix) else { return };
        part.remove(mailbox);
        if part.watchers == 0 {
            self.parts.remove(&mailbox.prefix);
        }
    }

    /// Every mailbox.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.parts.values().flat_map(Part::all)
    }

    /// The watchers that may want what happens in a group.
    pub fn of(&self, group: &str) -> impl Iterator<Item = &Part> {
        let namespace = namespace_of(group).and_then(|namespace| group.get(..=namespace.len()));
        [Some(""), namespace].into_iter().flatten().filter_map(|prefix| self.parts.get(prefix))
    }

    /// How many watchers of the events' own namespaces they are offered to, all together.
    pub fn offers(&self, events: &[Arc<Event>]) -> u64 {
        let of_event = |event: &Arc<Event>| {
            let parts = self.of(&event.group).filter(|part| part.is_of_namespace);
            parts.map(|part| part.count(event)).sum::<u64>()
        };
        events.iter().map(of_event).sum()
    }
}

impl Part {
    fn insert(&mut self, mailbox: Arc<Mailbox>) {
        self.watchers += 1;
        let of_groups = self.groups.entry(&mailbox.pattern.group);
        of_groups.entry(&mailbox.pattern.key).push(mailbox);
    }

    fn remove(&mut self, mailbox: &Arc<Mailbox>) {
        self.watchers = self.watchers.saturating_sub(1);
        let pattern = &mailbox.pattern;
        self.groups.prune(&pattern.group, |of_groups| {
            of_groups.prune(&pattern.key, |list| {
                list.retain(|other| !Arc::ptr_eq(other, mailbox));
                list.is_empty()
            });
            of_groups.is_empty()
        });
    }

    /// Every mailbox of the part.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        self.groups.values().flat_map(ByName::values).flatten()
    }

    /// Calls `found` with each mailbox that wants the event.
    pub fn find<'a>(&'a self, event: &Event, mut found: impl FnMut(&'a Arc<Mailbox>)) {
        self.find_lists(event, |list| list.iter().for_each(&mut found));
    }

    /// How many mailboxes want the event.
    fn count(&self, event: &Event) -> u64 {
        let mut count = 0;
        self.find_lists(event, |list| count += list.len() as u64);
        count
    }

    /// Whether its namespace has so many watchers for the events of a commit that they should read them from the log.
    pub fn wants_too_much(&self, events: &[Logged]) -> bool {
        self.is_of_namespace
            // They are counted only if there may be too many.
            && self.watchers.saturating_mul(events.len() as u64) > OFFERS_MAX
            && events.iter().map(|logged| self.count(&logged.event)).sum::<u64>() > OFFERS_MAX
    }

    fn find_lists<'a>(&'a self, event: &Event, mut found: impl FnMut(&'a Vec<Arc<Mailbox>>)) {
        self.groups.find(&event.group, |of_groups| match &event.key {
            Some(key) => of_groups.find(key, &mut found),
            // The whole group is gone, and every key of it.
            None => of_groups.values().for_each(&mut found),
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
        for (length, of_length) in self.prefixes.range(..=name.len()) {
            let Some(prefix) = name.get(..*length) else { continue };
            of_length.get(prefix).into_iter().for_each(&mut found);
        }
        self.exact.get(name).into_iter().for_each(found);
    }
}
