//! What is read of a state, at one time of the clock.

use std::collections::BTreeMap;

use super::rows::{Namespace, counted_bytes, order_of};
use super::state::State;
use crate::data::clock::now_ms;
use crate::data::namespace::{namespace_of, namespace_with_prefix, prefix_of};
use crate::data::{Clock, Entries, EntriesBuilder, Facts, Found, GroupInfo, NamespaceInfo, Revision, Usage};
use crate::engine::{Columns, Extent, Scan};
use crate::rules::is_live;

/// So many expired entries are looked at without a second thought.
const BACKLOG_MIN: usize = 500;

/// A state as it is read at one time, in Unix milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub state: &'a State,
    pub now_ms: i64,
}

/// What has expired of a group and is still stored.
type Gone<'a> = BTreeMap<&'a str, (u64, u64)>;

impl<'a> Reading<'a> {
    pub fn new(state: &'a State, clock: &dyn Clock) -> Self {
        Self { state, now_ms: now_ms(clock) }
    }

    fn is_live(&self, found: &Found) -> bool {
        is_live(found.facts().expires_at_ms, self.now_ms)
    }

    pub fn get(&self, group: &str, key: &str) -> Option<Found> {
        self.state.find(group, key).filter(|found| self.is_live(found)).cloned()
    }

    pub fn scan(&self, scan: &Scan<'_>) -> Entries {
        let tally = self.state.group(scan.group);
        let room = |count: u64| usize::try_from(count).unwrap_or_default();
        let keys = tally.map_or(0, |tally| room(tally.keys)).min(scan.limit);
        let bytes = match (scan.columns, scan.after, tally) {
            // A whole group, in one allocation.
            (Columns::Values | Columns::All, None, Some(tally)) if room(tally.keys) <= scan.limit => {
                room(tally.bytes).min(scan.bytes_max)
            }
            _ => 0,
        };
        let mut found = EntriesBuilder::with_capacity(keys, bytes);
        let entries = &self.state.entries;
        let after = scan.after.unwrap_or_default();
        let mut place = entries.rank(|row| order_of(&row.0, scan.group, after));
        let mut skip = usize::try_from(scan.offset).unwrap_or(usize::MAX);
        let may_have_expired = self.state.expired_count(self.now_ms) > 0;
        if scan.after.is_some() && self.state.find(scan.group, after).is_some() {
            place += 1;
        }
        if !may_have_expired {
            place = place.saturating_add(std::mem::take(&mut skip));
        }
        for row in entries.iter_at(place) {
            if found.len() >= scan.limit || !row.0.is_of_group(scan.group) {
                break;
            }
            if may_have_expired && !self.is_live(&row.0) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let facts: Option<Facts> = (scan.columns == Columns::All).then(|| row.0.facts());
            let value = if scan.columns == Columns::Keys { &[] } else { row.0.value() };
            found.push(row.0.key(), value, facts);
            if found.bytes() >= scan.bytes_max {
                break;
            }
        }
        found.finish()
    }

    /// What has expired of each group of `extent` and is still stored: found through the expiries or the entries,
    /// whichever are fewer.
    fn gone(&self, extent: Extent<'_>) -> Gone<'a> {
        let mut gone = Gone::new();
        let backlog = self.state.expired_count(self.now_ms);
        if backlog == 0 {
            return gone;
        }
        let mut add = |found: &'a Found| {
            let (keys, bytes) = gone.entry(found.group()).or_default();
            (*keys, *bytes) = (*keys + 1, *bytes + counted_bytes(found));
        };
        let is_short = backlog <= BACKLOG_MIN || backlog as u64 <= self.stored_keys(extent);
        let is_due = |found: &&Found| !self.is_live(found);
        match extent {
            _ if is_short => {
                let expired = self.state.expired(self.now_ms).map(|due| &due.found);
                expired.filter(|found| is_in(extent, found.group())).for_each(&mut add);
            }
            Extent::Group(group) => self.state.entries_of(group).filter(is_due).for_each(&mut add),
            Extent::Prefix(prefix) => self.state.entries_below(prefix).filter(is_due).for_each(&mut add),
        }
        gone
    }

    /// How many keys are stored, expired or not.
    fn stored_keys(&self, extent: Extent<'_>) -> u64 {
        match extent {
            Extent::Group(group) => self.state.group(group).map_or(0, |group| group.keys),
            Extent::Prefix(prefix) => match namespace_with_prefix(prefix) {
                Some(name) => self.state.namespace(name).map_or(0, |namespace| namespace.usage.keys),
                None => self.state.groups_below(prefix).map(|group| group.keys).sum(),
            },
        }
    }

    pub fn usage(&self, extent: Extent<'_>) -> Usage {
        let gone = self.gone(extent);
        let stored = match extent {
            Extent::Group(name) => self.state.group(name).map_or_else(Usage::default, |group| Usage {
                keys: group.keys,
                groups: 1,
                bytes: group.bytes,
            }),
            Extent::Prefix(prefix) => match namespace_with_prefix(prefix) {
                Some(name) => self.state.namespace(name).map(|namespace| namespace.usage).unwrap_or_default(),
                None => self.state.groups_below(prefix).fold(Usage::default(), |sum, group| Usage {
                    keys: sum.keys + group.keys,
                    groups: sum.groups + 1,
                    bytes: sum.bytes + group.bytes,
                }),
            },
        };
        self.without(stored, &gone)
    }

    /// What is left of a usage without what is gone.
    fn without(&self, stored: Usage, gone: &Gone<'_>) -> Usage {
        gone.iter().fold(stored, |left, (name, (keys, bytes))| {
            let is_whole = self.state.group(name).is_some_and(|group| group.keys == *keys);
            Usage {
                keys: left.keys.saturating_sub(*keys),
                groups: left.groups.saturating_sub(u64::from(is_whole)),
                bytes: left.bytes.saturating_sub(*bytes),
            }
        })
    }

    pub fn groups(&self, prefix: &str) -> Vec<GroupInfo> {
        let gone = self.gone(Extent::Prefix(prefix));
        let live = self.state.groups_below(prefix).map(|group| {
            let (keys, bytes) = gone.get(&*group.name).copied().unwrap_or_default();
            GroupInfo {
                name: group.name.to_string(),
                keys: group.keys.saturating_sub(keys),
                bytes: group.bytes.saturating_sub(bytes),
            }
        });
        live.filter(|group| group.keys > 0).collect()
    }

    pub fn namespaces(&self, only: Option<&str>) -> Vec<NamespaceInfo> {
        let prefix = only.map(prefix_of).unwrap_or_default();
        let mut gone: BTreeMap<&str, Gone<'_>> = BTreeMap::new();
        for (group, expired) in self.gone(Extent::Prefix(&prefix)) {
            if let Some(name) = namespace_of(group) {
                gone.entry(name).or_default().insert(group, expired);
            }
        }
        let info = |namespace: &Namespace| {
            let Namespace { name, usage, quota } = namespace;
            let usage = gone.get(&**name).map_or(*usage, |gone| self.without(*usage, gone));
            NamespaceInfo { name: name.to_string(), usage, quota: *quota }
        };
        let all: Vec<NamespaceInfo> = match only {
            Some(name) => self.state.namespace(name).map(info).into_iter().collect(),
            None => self.state.namespaces.iter().map(info).collect(),
        };
        let has_something = |info: &NamespaceInfo| info.usage.keys > 0 || !info.quota.is_unlimited();
        all.into_iter().filter(has_something).collect()
    }

    pub fn revision(&self) -> Revision {
        self.state.revision
    }
}

/// Whether a group is in a part of the store.
fn is_in(extent: Extent<'_>, group: &str) -> bool {
    match extent {
        Extent::Group(name) => group == name,
        Extent::Prefix(prefix) => group.starts_with(prefix),
    }
}
