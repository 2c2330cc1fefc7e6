//! Everything that a store in memory holds at one moment, apart from the log. A copy costs nothing.

use std::sync::Arc;

use super::rows::{Cursor, Due, Group, Namespace, Note, Row, order_of};
use super::tree::{Iter, Tree};
use crate::data::namespace::namespace_of;
use crate::data::{Found, History, Quota, Revision, Usage};
use crate::rules::{Growth, needs_tally};

/// What is stored at one moment. Entries, expiries and tallies change together.
#[derive(Clone, Default)]
pub(super) struct State {
    pub entries: Tree<Row>,
    /// The entries that expire.
    pub due: Tree<Due>,
    pub groups: Tree<Group>,
    pub namespaces: Tree<Namespace>,
    pub cursors: Tree<Cursor>,
    pub notes: Tree<Note>,
    /// The histories of the log, sorted by prefix. The first is that of the empty prefix.
    pub histories: Arc<Vec<Kept>>,
    /// The latest commit.
    pub revision: Revision,
    /// The bytes of all names and values, with the name of its group in each entry.
    pub stored_bytes: u64,
}

/// What a history keeps; `None` for the store's own where none was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub prefix: Arc<str>,
    pub bounds: Option<History>,
}

impl State {
    /// An empty store.
    pub fn new() -> Self {
        let own = Kept { prefix: "".into(), bounds: None };
        Self { histories: Arc::new(vec![own]), ..Self::default() }
    }

    /// What is stored under a key, expired or not.
    pub fn find(&self, group: &str, key: &str) -> Option<&Found> {
        self.entries.get(|row| order_of(&row.0, group, key)).map(|row| &row.0)
    }

    /// Stores an entry. Returns what it has replaced.
    pub fn put(&mut self, found: Found) -> Option<Found> {
        let (key, value) = (found.key_len(), found.value().len());
        if let Some(at_ms) = found.facts().expires_at_ms {
            self.due.insert(Due { at_ms, found: found.clone() });
        }
        self.stored_bytes += found.len() as u64;
        let old = self.entries.insert(Row(found.clone())).map(|row| row.0);
        if let Some(old) = &old {
            self.stored_bytes -= old.len() as u64;
            let is_due_anew = old.facts().expires_at_ms == found.facts().expires_at_ms;
            if !is_due_anew {
                self.forget_due(old);
            }
        }
        let old_bytes = old.as_ref().map(|old| old.value().len());
        let (keys, bytes) = crate::rules::growth_of_set(key, value, old_bytes);
        self.count(found.group(), keys, bytes);
        old
    }

    /// Removes an entry, expired or not.
    pub fn remove(&mut self, group: &str, key: &str) -> Option<Found> {
        let removed = self.entries.remove(|row| order_of(&row.0, group, key))?.0;
        self.stored_bytes -= removed.len() as u64;
        self.forget_due(&removed);
        // The opposite of what setting it anew would add.
        let (keys, bytes) = crate::rules::growth_of_set(removed.key_len(), removed.value().len(), None);
        self.count(group, -keys, -bytes);
        Some(removed)
    }

    fn forget_due(&mut self, found: &Found) {
        if let Some(at_ms) = found.facts().expires_at_ms {
            self.due.remove(|due| due.at_ms.cmp(&at_ms).then_with(|| due.found.order(found)));
        }
    }

    /// Counts what a group has gained or lost.
    fn count(&mut self, group: &str, keys: i64, bytes: i64) {
        if keys == 0 && bytes == 0 {
            return;
        }
        let before = self.group(group).map_or(0, |group| group.keys);
        let after = before.saturating_add_signed(keys);
        if before == 0 {
            let bytes = bytes.max(0).unsigned_abs();
            self.groups.insert(Group { name: group.into(), keys: after, bytes });
        } else if after == 0 {
            self.groups.remove(|tally| (*tally.name).cmp(group));
        } else {
            self.groups.change(
                |tally| (*tally.name).cmp(group),
                |tally| {
                    tally.keys = after;
                    tally.bytes = tally.bytes.saturating_add_signed(bytes);
                },
            );
        }
        if let Some(name) = namespace_of(group) {
            let growth = Growth::of_group(before, keys, bytes);
            self.change_namespace(name, |namespace| namespace.usage = growth.applied_to(&namespace.usage));
        }
    }

    pub fn set_quota(&mut self, name: &str, quota: Quota) {
        self.change_namespace(name, |namespace| namespace.quota = quota);
    }

    /// Changes the tally of a namespace. It has one as long as it needs one.
    fn change_namespace(&mut self, name: &str, change: impl FnOnce(&mut Namespace)) {
        let order = |namespace: &Namespace| (*namespace.name).cmp(name);
        let mut needed = true;
        let mut change = Some(change);
        self.namespaces.change(order, |namespace| {
            if let Some(change) = change.take() {
                change(namespace);
            }
            needed = needs_tally(namespace.usage.keys, &namespace.quota);
        });
        if !needed {
            self.namespaces.remove(order);
        } else if let Some(change) = change {
            let (usage, quota) = (Usage::default(), Quota::default());
            let mut namespace = Namespace { name: name.into(), usage, quota };
            change(&mut namespace);
            if needs_tally(namespace.usage.keys, &namespace.quota) {
                self.namespaces.insert(namespace);
            }
        }
    }

    /// What a group has stored; `None` where that is nothing.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(|group| (*group.name).cmp(name))
    }

    /// The tally of a namespace; `None` where it has none.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(|namespace| (*namespace.name).cmp(name))
    }

    /// The entries of a group, expired or not.
    pub fn entries_of<'a, 'b>(&'a self, group: &'b str) -> impl Iterator<Item = &'a Found> + use<'a, 'b> {
        let entries = self.entries.iter_from(|row| order_of(&row.0, group, ""));
        entries.map(|row| &row.0).take_while(move |found| found.is_of_group(group))
    }

    /// The entries of the groups whose names start with `prefix`, expired or not.
    pub fn entries_below<'a, 'b>(&'a self, prefix: &'b str) -> impl Iterator<Item = &'a Found> + use<'a, 'b> {
        let entries = self.entries.iter_from(|row| order_of(&row.0, prefix, ""));
        entries.map(|row| &row.0).take_while(move |found| found.group().starts_with(prefix))
    }

    /// The groups whose names start with `prefix`.
    pub fn groups_below<'a, 'b>(&'a self, prefix: &'b str) -> impl Iterator<Item = &'a Group> + use<'a, 'b> {
        let groups = self.groups.iter_from(|group| (*group.name).cmp(prefix));
        groups.take_while(move |group| group.name.starts_with(prefix))
    }

    /// The entries that have expired by `now_ms` and are still stored, the longest expired first.
    pub fn expired(&self, now_ms: i64) -> std::iter::Take<Iter<'_, Due>> {
        self.due.iter().take(self.expired_count(now_ms))
    }

    /// How many entries have expired by `now_ms` and are still stored.
    pub fn expired_count(&self, now_ms: i64) -> usize {
        if self.due.len() == 0 {
            return 0;
        }
        let has_expired = |due: &Due| !crate::rules::is_live(Some(due.at_ms), now_ms);
        self.due
            .rank(|due| if has_expired(due) { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater })
    }

    /// The tallies of everything, added up anew.
    pub fn recounted(&self) -> Self {
        let mut anew = Self { revision: self.revision, ..Self::new() };
        for row in self.entries.iter() {
            anew.put(row.0.clone());
        }
        for namespace in self.namespaces.iter().filter(|namespace| !namespace.quota.is_unlimited()) {
            anew.set_quota(&namespace.name, namespace.quota);
        }
        Self {
            cursors: self.cursors.clone(),
            notes: self.notes.clone(),
            histories: Arc::clone(&self.histories),
            ..anew
        }
    }
}

/// The memory that an entry takes besides its names and value: in the tree of entries, in the index, and its head.
pub(super) const ENTRY_MEMORY: u64 = 2 * size_of::<Row>() as u64 + Found::memory(0) as u64;
