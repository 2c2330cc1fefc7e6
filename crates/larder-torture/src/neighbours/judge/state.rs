//! The entries of a store at one revision, as the log leads to them.

use std::collections::{BTreeMap, BTreeSet};

use super::held::{Change, Row};
use super::quotas::Usage;
use crate::neighbours::history::{Effect, Look};

/// What a key has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub revision: u64,
    pub value: String,
    pub expires_at: Option<i64>,
}

/// All entries that are stored, also those that have expired and are not purged yet.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub entries: BTreeMap<(String, String), Version>,
}

/// A change that a write makes, and between which moments the entry expires then.
pub type Expected = (Change, Option<(i64, i64)>);

/// Whether a group belongs to a namespace.
pub fn is_of(group: &str, namespace: &str) -> bool {
    group.strip_prefix(namespace).is_some_and(|rest| rest.starts_with(':'))
}

/// Whether an entry shows between two moments.
enum Shows {
    Always,
    Perhaps,
    Never,
}

impl Version {
    fn between(&self, (from, to): (i64, i64)) -> Shows {
        match self.expires_at {
            Some(at) if at <= from => Shows::Never,
            Some(at) if at <= to => Shows::Perhaps,
            _ => Shows::Always,
        }
    }
}

fn change(kind: &str, group: &str, key: Option<&str>, value: Option<&str>) -> Change {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Change { kind: kind.to_owned(), group: group.to_owned(), key: owned(key), value: owned(value) }
}

impl State {
    fn get(&self, group: &str, key: &str) -> Option<&Version> {
        self.entries.get(&(group.to_owned(), key.to_owned()))
    }

    /// The entries of one group, or of all groups from `group` on if it is a prefix of them.
    fn from<'a>(
        &'a self,
        group: &'a str,
        whole: bool,
    ) -> impl Iterator<Item = (&'a (String, String), &'a Version)> {
        let entries = self.entries.range((group.to_owned(), String::new())..);
        entries.take_while(move |((of, _), _)| if whole { of == group } else { of.starts_with(group) })
    }

    /// The rows of the log that a write makes, each with the bounds of its expiry.
    pub fn after(&self, revision: u64, effects: &[Effect]) -> Vec<Expected> {
        // One effect is by far the most frequent, and needs no copy of the state.
        if let [effect] = effects {
            return self.rows(effect);
        }
        let mut state = Self::default();
        for effect in effects {
            let (group, whole) = match effect {
                Effect::Set { group, .. }
                | Effect::Delete { group, .. }
                | Effect::DeleteGroup { group }
                | Effect::Increment { group, .. } => (group, true),
                Effect::DeletePrefix { prefix } => (prefix, false),
            };
            let entries = self.from(group, whole).map(|(key, version)| (key.clone(), version.clone()));
            state.entries.extend(entries);
        }
        let mut rows = Vec::new();
        for effect in effects {
            for (change, expires) in state.rows(effect) {
                let row = Row { change, expires_at: expires.map(|(_, to)| to), at: 0 };
                state.replay(revision, &row);
                rows.push((row.change, expires));
            }
        }
        rows
    }

    fn rows(&self, effect: &Effect) -> Vec<Expected> {
        match effect {
            Effect::Set { group, key, value, expires } => {
                vec![(change("set", group, Some(key), Some(value)), *expires)]
            }
            Effect::Increment { group, key, by, .. } => {
                let number = self.get(group, key).map_or(0, |version| version.value.parse().unwrap_or(0));
                vec![(change("set", group, Some(key), Some(&(number + by).to_string())), None)]
            }
            Effect::Delete { group, key } => {
                let there = self.get(group, key);
                there.map(|_| (change("delete", group, Some(key), None), None)).into_iter().collect()
            }
            Effect::DeleteGroup { group } => {
                let there = self.from(group, true).next();
                there.map(|_| (change("delete_group", group, None, None), None)).into_iter().collect()
            }
            Effect::DeletePrefix { prefix } => {
                let mut groups: Vec<&String> =
                    self.from(prefix, false).map(|((group, _), _)| group).collect();
                groups.dedup();
                groups.into_iter().map(|group| (change("delete_group", group, None, None), None)).collect()
            }
        }
    }

    /// Applies a row of the log.
    pub fn replay(&mut self, revision: u64, row: &Row) {
        let Change { kind, group, key, value } = &row.change;
        match (kind.as_str(), key) {
            ("set", Some(key)) => {
                let value = value.clone().unwrap_or_default();
                let version = Version { revision, value, expires_at: row.expires_at };
                self.entries.insert((group.clone(), key.clone()), version);
            }
            (_, Some(key)) => drop(self.entries.remove(&(group.clone(), key.clone()))),
            (_, None) => {
                let keys: Vec<_> = self.from(group, true).map(|(key, _)| key.clone()).collect();
                for key in keys {
                    self.entries.remove(&key);
                }
            }
        }
    }

    /// Lets an entry expire. Complains if it was not there, or if its time had not come.
    pub fn expire(&mut self, row: &Row) -> Option<String> {
        let key = row.change.key.clone().unwrap_or_default();
        match self.entries.remove(&(row.change.group.clone(), key)) {
            Some(Version { expires_at: Some(expires_at), .. }) if expires_at <= row.at => None,
            other => Some(format!("{row:?} is in the log, and there was {other:?}")),
        }
    }

    /// Whether somebody who looked between two moments of the wall clock could see this.
    pub fn shows(&self, look: &Look, wall: (i64, i64)) -> bool {
        match look {
            Look::Entry { group, key, found } => match (self.get(group, key), found) {
                (None, found) => found.is_none(),
                (Some(version), None) => !matches!(version.between(wall), Shows::Always),
                (Some(version), Some((revision, value))) => {
                    !matches!(version.between(wall), Shows::Never)
                        && version.revision == *revision
                        && version.value == *value
                }
            },
            Look::Value { group, key, found } => match (self.get(group, key), found) {
                (None, found) => found.is_none(),
                (Some(version), None) => !matches!(version.between(wall), Shows::Always),
                (Some(version), Some(value)) => {
                    !matches!(version.between(wall), Shows::Never) && version.value == *value
                }
            },
            Look::Differs { group, key, from } => match (self.get(group, key), from) {
                (None, from) => from.is_some(),
                (Some(version), None) => !matches!(version.between(wall), Shows::Never),
                (Some(version), Some(revision)) => {
                    version.revision != *revision || !matches!(version.between(wall), Shows::Always)
                }
            },
            Look::Count { group, whole, found } => {
                let (mut least, mut most) = (0, 0);
                for (_, version) in self.from(group, *whole) {
                    least += u64::from(matches!(version.between(wall), Shows::Always));
                    most += u64::from(!matches!(version.between(wall), Shows::Never));
                }
                (least..=most).contains(found)
            }
            Look::Group { group, after, limit, found } => {
                let mut rest = found.iter().peekable();
                for ((_, key), version) in self.from(group, true) {
                    if after.as_ref().is_some_and(|after| key <= after) {
                        continue;
                    }
                    let is_found =
                        rest.peek().is_some_and(|(of, value)| of == key && *value == version.value);
                    match version.between(wall) {
                        Shows::Never => {}
                        _ if is_found => drop(rest.next()),
                        Shows::Perhaps => {}
                        // A full page ends before it.
                        Shows::Always => return rest.next().is_none() && Some(found.len()) == *limit,
                    }
                }
                rest.next().is_none()
            }
        }
    }

    /// What somebody saw of a whole group and what is there, for people.
    pub fn difference(&self, look: &Look) -> String {
        let Look::Group { group, found, .. } = look else { return String::new() };
        let found: BTreeMap<&String, &String> = found.iter().map(|(key, value)| (key, value)).collect();
        let there: BTreeMap<&String, &Version> =
            self.from(group, true).map(|((_, key), version)| (key, version)).collect();
        let keys: BTreeSet<&String> = found.keys().chain(there.keys()).copied().collect();
        let text = |key| format!("{group:?} {key:?}: found {:?}, was {:?}; ", found.get(key), there.get(key));
        keys.into_iter()
            .filter(|key| found.get(key).copied() != there.get(key).map(|version| &version.value))
            .map(text)
            .collect()
    }

    /// What a namespace holds at a moment of the wall clock.
    pub fn usage(&self, namespace: &str, at: i64) -> Usage {
        let prefix = format!("{namespace}:");
        let mut groups = BTreeSet::new();
        let mut usage = Usage::default();
        for ((group, key), version) in self.from(&prefix, false) {
            if version.expires_at.is_none_or(|expires_at| expires_at > at) {
                groups.insert(group);
                usage.keys += 1;
                usage.bytes += (key.len() + version.value.len()) as u64;
            }
        }
        usage.groups = groups.len() as u64;
        usage
    }

    /// What a namespace would hold after these changes, at each moment of the wall clock between two at which that may
    /// differ, beside what it held before them.
    pub fn usages(&self, namespace: &str, effects: &[Effect], wall: (i64, i64)) -> Vec<(Usage, Usage)> {
        let prefix = format!("{namespace}:");
        let entries = self.from(&prefix, false).map(|(key, version)| (key.clone(), version.clone()));
        let before = Self { entries: entries.collect() };
        let mut after = before.clone();
        for effect in effects {
            for (change, expires) in after.rows(effect) {
                after.replay(0, &Row { change, expires_at: expires.map(|(_, to)| to), at: wall.0 });
            }
        }
        let expiries = before.entries.values().filter_map(|version| version.expires_at);
        let moments = expiries.filter(|at| (wall.0..=wall.1).contains(at)).chain([wall.0]);
        moments.map(|at| (before.usage(namespace, at), after.usage(namespace, at))).collect()
    }
}
