use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::mailbox::Mailbox;
use crate::Event;
use crate::event::GroupPattern;

type Mailboxes = Vec<Arc<Mailbox>>;

/// Finds the watchers of a change, so that those of other groups and keys cost it nothing.
#[derive(Default)]
pub(super) struct Index {
    groups: HashMap<String, OfGroup>,
    /// By the length of the prefix, then by the prefix: a change looks up one prefix for each length
    /// that is watched. All watchers of everything are under the empty one.
    prefixes: BTreeMap<usize, HashMap<String, Mailboxes>>,
}

#[derive(Default)]
struct OfGroup {
    whole: Mailboxes,
    keys: HashMap<String, Mailboxes>,
}

impl Index {
    pub fn insert(&mut self, mailbox: Arc<Mailbox>) {
        let pattern = &mailbox.pattern;
        let list = match (&pattern.group, &pattern.key) {
            (GroupPattern::Prefix(prefix), _) => {
                self.prefixes.entry(prefix.len()).or_default().entry(prefix.clone()).or_default()
            }
            (GroupPattern::Exact(group), None) => &mut self.groups.entry(group.clone()).or_default().whole,
            (GroupPattern::Exact(group), Some(key)) => {
                self.groups.entry(group.clone()).or_default().keys.entry(key.clone()).or_default()
            }
        };
        list.push(mailbox);
    }

    pub fn remove(&mut self, mailbox: &Arc<Mailbox>) {
        let pattern = &mailbox.pattern;
        let forget = |list: &mut Mailboxes| list.retain(|other| !Arc::ptr_eq(other, mailbox));
        match &pattern.group {
            GroupPattern::Prefix(prefix) => {
                let Some(of_length) = self.prefixes.get_mut(&prefix.len()) else { return };
                of_length.get_mut(prefix).map(forget);
                of_length.retain(|_, list| !list.is_empty());
                self.prefixes.retain(|_, of_length| !of_length.is_empty());
            }
            GroupPattern::Exact(group) => {
                let Some(of_group) = self.groups.get_mut(group) else { return };
                match &pattern.key {
                    None => forget(&mut of_group.whole),
                    Some(key) => {
                        of_group.keys.get_mut(key).map(forget);
                        if of_group.keys.get(key).is_some_and(Vec::is_empty) {
                            of_group.keys.remove(key);
                        }
                    }
                }
                if of_group.whole.is_empty() && of_group.keys.is_empty() {
                    self.groups.remove(group);
                }
            }
        }
    }

    /// Every mailbox.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Mailbox>> {
        let of_groups =
            self.groups.values().flat_map(|group| group.whole.iter().chain(group.keys.values().flatten()));
        of_groups.chain(self.prefixes.values().flat_map(|of_length| of_length.values().flatten()))
    }

    /// Calls `found` with each mailbox that wants the event.
    pub fn find<'a>(&'a self, event: &Event, mut found: impl FnMut(&'a Arc<Mailbox>)) {
        for (length, of_length) in &self.prefixes {
            let Some(prefix) = event.group.get(..*length) else { continue };
            let list = of_length.get(prefix).into_iter().flatten();
            list.filter(|mailbox| mailbox.pattern.matches(event)).for_each(&mut found);
        }
        let Some(group) = self.groups.get(&event.group) else { return };
        group.whole.iter().for_each(&mut found);
        match &event.key {
            Some(key) => group.keys.get(key).into_iter().flatten().for_each(found),
            // The whole group is gone, and every key of it.
            None => group.keys.values().flatten().for_each(found),
        }
    }
}
