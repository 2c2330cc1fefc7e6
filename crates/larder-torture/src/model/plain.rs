//! The model of a store: a map, a clock and a few rules, written as plainly as possible. The trial `model` and
//! `crates/larder/tests/model.rs` compare stores with it.

use std::collections::{BTreeMap, BTreeSet};

use larder::{Error, Quota, Resource, Usage, Value};

use super::namespace_of;

/// One change that a store, a scoped store or a transaction can make; a batch can make some of them.
#[derive(Clone, Debug)]
pub enum Step {
    Set {
        at: EntryName,
        value: Value,
        ttl_ms: Option<u64>,
    },
    /// It expires in so many milliseconds; 0 is at once.
    SetUntil {
        at: EntryName,
        value: Value,
        in_ms: Option<u64>,
    },
    SetIf {
        at: EntryName,
        when: When,
        value: Value,
        ttl_ms: Option<u64>,
    },
    Touch {
        at: EntryName,
        ttl_ms: u64,
    },
    Persist {
        at: EntryName,
    },
    Increment {
        at: EntryName,
        by: i64,
    },
    Delete {
        at: EntryName,
    },
    DeleteIf {
        at: EntryName,
        when: When,
    },
    DeleteGroup {
        group: &'static str,
    },
    DeletePrefix {
        prefix: &'static str,
    },
}

/// The name of an entry, which may or may not exist.
#[derive(Clone, Copy, Debug)]
pub struct EntryName {
    pub group: &'static str,
    pub key: &'static str,
}

/// A condition, expressed before the entry's revision is known.
#[derive(Clone, Copy, Debug)]
pub enum When {
    Absent,
    Present,
    /// It still has its current revision; 0 if it does not exist.
    Unchanged,
    /// It has another revision.
    Changed,
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Conflict,
    NotANumber,
    Overflow,
    /// If several limits are exceeded, the store may name any of them.
    Quota(Vec<(String, Resource, u64, u64)>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub value: Value,
    /// Milliseconds since the sequence began.
    pub expires_at: Option<u64>,
    pub revision: u64,
}

/// Holds only live entries: advancing the clock drops expired ones.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    pub rows: BTreeMap<(String, String), Row>,
    pub quotas: BTreeMap<&'static str, Quota>,
    pub now: u64,
    pub revision: u64,
}

impl Plain {
    pub fn advance(&mut self, ms: u64) {
        self.now += ms;
        self.rows.retain(|_, row| row.expires_at.is_none_or(|at| at > self.now));
    }

    /// The entries of a group.
    pub fn group(&self, group: &str) -> BTreeMap<&str, &Row> {
        let of_group = self.rows.iter().filter(|((name, _), _)| name == group);
        of_group.map(|((_, key), row)| (key.as_str(), row)).collect()
    }

    /// The usage of each group.
    pub fn groups(&self) -> BTreeMap<&str, Usage> {
        let mut groups: BTreeMap<&str, Usage> = BTreeMap::new();
        for ((group, key), row) in &self.rows {
            let usage = groups.entry(group).or_default();
            usage.groups = 1;
            usage.keys += 1;
            usage.bytes += (key.len() + row.value.len()) as u64;
        }
        groups
    }

    /// The usage of all groups whose names start with a prefix.
    pub fn usage(&self, prefix: &str) -> Usage {
        let mut total = Usage::default();
        for (_, usage) in self.groups().into_iter().filter(|(group, _)| group.starts_with(prefix)) {
            total.keys += usage.keys;
            total.groups += usage.groups;
            total.bytes += usage.bytes;
        }
        total
    }

    pub fn quota(&self, namespace: &str) -> Quota {
        self.quotas.get(namespace).copied().unwrap_or_default()
    }

    /// Makes one change and checks the quotas after it; a refused change has no effect. Returns whether
    /// anything changed, and the outcome: a sum, or the number of entries affected.
    pub fn checked_step(&mut self, step: &Step) -> Result<(bool, i64), Refusal> {
        let before = self.clone();
        let done = self.step(step).and_then(|done| self.check_quotas(&before).map(|()| done));
        if done.is_err() {
            *self = before;
        }
        done
    }

    /// Makes changes that take effect together, and checks the quotas after the last.
    pub fn batch(&mut self, requires: &[(EntryName, When)], steps: &[Step]) -> Result<bool, Refusal> {
        if requires.iter().any(|(at, when)| !self.holds(at, *when)) {
            return Err(Refusal::Conflict);
        }
        let before = self.clone();
        let changed = steps.iter().try_fold(false, |changed, step| Ok(changed | self.step(step)?.0));
        let done = changed.and_then(|changed| self.check_quotas(&before).map(|()| changed));
        if done.is_err() {
            *self = before;
        }
        done
    }

    fn step(&mut self, step: &Step) -> Result<(bool, i64), Refusal> {
        let revision = self.revision + 1;
        let count = match step {
            Step::Set { at, value, ttl_ms } => {
                let expires_at = ttl_ms.map(|ttl_ms| self.now + ttl_ms);
                self.rows.insert(at.owned(), Row { value: value.clone(), expires_at, revision });
                1
            }
            Step::SetUntil { at, in_ms: Some(0), .. } => {
                self.rows.remove(&at.owned());
                1
            }
            Step::SetUntil { at, value, in_ms } => {
                let expires_at = in_ms.map(|in_ms| self.now + in_ms);
                self.rows.insert(at.owned(), Row { value: value.clone(), expires_at, revision });
                1
            }
            Step::SetIf { at, when, value, ttl_ms } => {
                self.require(at, *when)?;
                let expires_at = ttl_ms.map(|ttl_ms| self.now + ttl_ms);
                self.rows.insert(at.owned(), Row { value: value.clone(), expires_at, revision });
                1
            }
            Step::Touch { at, ttl_ms } => {
                let expires_at = Some(self.now + ttl_ms);
                self.rows.get_mut(&at.owned()).map_or(0, |row| {
                    *row = Row { value: row.value.clone(), expires_at, revision };
                    1
                })
            }
            Step::Persist { at } => self.rows.get_mut(&at.owned()).map_or(0, |row| {
                *row = Row { value: row.value.clone(), expires_at: None, revision };
                1
            }),
            Step::Increment { at, by } => {
                let row = self.rows.get(&at.owned());
                let from: i64 = match row.map(|row| row.value.parse()) {
                    None => 0,
                    Some(Ok(from)) => from,
                    Some(Err(_)) => return Err(Refusal::NotANumber),
                };
                let sum = from.checked_add(*by).ok_or(Refusal::Overflow)?;
                let expires_at = row.and_then(|row| row.expires_at);
                self.rows.insert(at.owned(), Row { value: sum.to_string().into(), expires_at, revision });
                return Ok((true, sum));
            }
            Step::Delete { at } => i64::from(self.rows.remove(&at.owned()).is_some()),
            Step::DeleteIf { at, when } => {
                self.require(at, *when)?;
                i64::from(self.rows.remove(&at.owned()).is_some())
            }
            Step::DeleteGroup { group } => self.delete(|name| name == *group),
            Step::DeletePrefix { prefix } => self.delete(|name| name.starts_with(prefix)),
        };
        Ok((count > 0, count))
    }

    fn delete(&mut self, of: impl Fn(&str) -> bool) -> i64 {
        let before = self.rows.len();
        self.rows.retain(|(group, _), _| !of(group));
        i64::try_from(before - self.rows.len()).unwrap_or(i64::MAX)
    }

    fn require(&self, at: &EntryName, when: When) -> Result<(), Refusal> {
        if self.holds(at, when) { Ok(()) } else { Err(Refusal::Conflict) }
    }

    fn holds(&self, at: &EntryName, when: When) -> bool {
        let there = self.rows.contains_key(&at.owned());
        match when {
            When::Absent => !there,
            When::Present | When::Unchanged => there,
            When::Changed => false,
        }
    }

    /// No namespace may exceed its quota and also have more than before.
    fn check_quotas(&self, before: &Self) -> Result<(), Refusal> {
        let mut over = Vec::new();
        let names: BTreeSet<&str> = self.rows.keys().filter_map(|(group, _)| namespace_of(group)).collect();
        for name in names {
            let (was, is) = (before.usage(&format!("{name}:")), self.usage(&format!("{name}:")));
            let quota = self.quota(name);
            for (resource, limit, was, is) in [
                (Resource::Keys, quota.max_keys, was.keys, is.keys),
                (Resource::Groups, quota.max_groups, was.groups, is.groups),
                (Resource::Bytes, quota.max_bytes, was.bytes, is.bytes),
            ] {
                over.extend(
                    limit
                        .filter(|limit| is > *limit && is > was)
                        .map(|limit| (name.to_owned(), resource, limit, is)),
                );
            }
        }
        if over.is_empty() { Ok(()) } else { Err(Refusal::Quota(over)) }
    }
}

impl Refusal {
    /// Whether an error says this.
    pub fn is(&self, error: &Error) -> bool {
        match (self, error) {
            (Self::Conflict, Error::Conflict { .. })
            | (Self::NotANumber, Error::NotANumber { .. })
            | (Self::Overflow, Error::Overflow { .. }) => true,
            (Self::Quota(over), Error::QuotaExceeded { namespace, resource, limit, wanted }) => {
                over.contains(&(namespace.clone(), *resource, *limit, *wanted))
            }
            _ => false,
        }
    }
}

impl EntryName {
    pub fn owned(&self) -> (String, String) {
        (self.group.to_owned(), self.key.to_owned())
    }
}

impl Step {
    /// The group or prefix that the step affects.
    pub fn group(&self) -> &'static str {
        match self {
            Self::Set { at, .. }
            | Self::SetUntil { at, .. }
            | Self::SetIf { at, .. }
            | Self::Touch { at, .. }
            | Self::Persist { at }
            | Self::Increment { at, .. }
            | Self::Delete { at }
            | Self::DeleteIf { at, .. } => at.group,
            Self::DeleteGroup { group } => group,
            Self::DeletePrefix { prefix } => prefix,
        }
    }
}
