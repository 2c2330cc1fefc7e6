//! What each mutation does to entries, tallies and log.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::draft::{Draft, Hitch, Step, decoded};
use super::knowledge::Wanted;
use super::layout::{CursorPlace, Kind, NamespaceTally, StoredEntry, Weight};
use super::purge::DUE_MAX;
use crate::data::namespace::namespace_of;
use crate::data::{Facts, Found, LogPosition, Quota, Revision};
use crate::engine::{CursorMove, Extent, Mutation, Outcome, Requirement};
use crate::rules::{self, CursorChange, Growth, growth_of_set};

/// How many groups are compared one by one; beyond, nothing at all may have been committed meanwhile.
const GROUPS_MAX: usize = 40;

/// An entry that is stored, expired or not.
pub(super) struct Row {
    /// `None` where the draft has written it itself.
    revision: Option<Revision>,
    pub expires_at_ms: Option<i64>,
    pub value: Bytes,
}

impl Row {
    /// The entry, with the revision of what the draft has written itself.
    pub fn found(&self, group: &str, key: &str, own: Revision) -> Found {
        let facts = Facts { revision: self.revision.unwrap_or(own), expires_at_ms: self.expires_at_ms };
        Found::new(group, key, &self.value, facts)
    }
}

pub(super) fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Draft {
    /// The tallies that a group counts in.
    pub fn tallies(&self, group: &str) -> impl Iterator<Item = Wanted> {
        let namespace = namespace_of(group).map(|name| Wanted::Key(self.layout.namespace(name)));
        namespace.into_iter().chain([Wanted::Key(self.layout.group(group))])
    }

    /// What writing an entry asks for.
    pub fn around(&self, group: &str, key: &str) -> Vec<Wanted> {
        self.tallies(group).chain([Wanted::Key(self.layout.entry(group, key))]).collect()
    }

    /// What a mutation will certainly ask for.
    pub fn foreseen(&self, mutation: &Mutation) -> Vec<Wanted> {
        match mutation {
            Mutation::DeleteGroup { group } => {
                let expired = Wanted::Span(self.layout.expired(group, self.now_ms), usize::MAX);
                self.tallies(group).chain([expired]).collect()
            }
            Mutation::DeletePrefix { prefix } => vec![
                Wanted::Span(self.layout.groups(prefix), usize::MAX),
                Wanted::Span(self.layout.due_by(self.now_ms), usize::MAX),
            ],
            Mutation::Purge { .. } => vec![Wanted::Span(self.layout.due_by(self.gone_ms()), DUE_MAX)],
            Mutation::SetQuota { namespace, .. } => vec![Wanted::Key(self.layout.namespace(namespace))],
            Mutation::MoveCursor { name, .. } => vec![Wanted::Key(self.layout.cursor(name))],
            Mutation::Set { group, key, .. }
            | Mutation::Touch { group, key, .. }
            | Mutation::Increment { group, key, .. }
            | Mutation::Delete { group, key } => self.around(group, key),
        }
    }

    pub fn require(&mut self, requirement: &Requirement) -> Step<()> {
        let actual = match self.live(&requirement.group, &requirement.key)? {
            None => None,
            Some(Row { revision: Some(revision), .. }) => Some(revision),
            // It will be that of the transaction.
            Some(_) => Some(self.own_revision.ok_or(Hitch::TooEarly)?),
        };
        Ok(rules::require(requirement, actual)?)
    }

    /// Applies one mutation. Where it is refused, what it may have written is to be taken back.
    pub fn apply(&mut self, mutation: &Mutation) -> Step<Outcome> {
        Ok(match mutation {
            Mutation::Set { group, key, value, expires_at_ms } => {
                self.set(group, key, value.clone().into_bytes(), *expires_at_ms)?;
                Outcome::Set
            }
            Mutation::Touch { group, key, expires_at_ms } => {
                Outcome::Touched(self.touch(group, key, *expires_at_ms)?)
            }
            Mutation::Increment { group, key, by } => Outcome::Incremented(self.increment(group, key, *by)?),
            Mutation::Delete { group, key } => Outcome::Deleted(self.delete_entry(group, key)?),
            Mutation::DeleteGroup { group } => Outcome::DeletedGroups(self.delete_group(group)?),
            Mutation::DeletePrefix { prefix } => Outcome::DeletedGroups(self.delete_prefix(prefix)?),
            Mutation::Purge { prefix, max } => Outcome::Purged(self.purge(prefix, *max)?),
            Mutation::SetQuota { namespace, quota } => {
                self.set_quota(namespace, *quota)?;
                Outcome::QuotaSet
            }
            Mutation::MoveCursor { name, to } => self.move_cursor(name, *to)?,
        })
    }

    fn row(&mut self, group: &str, key: &str) -> Step<Option<Row>> {
        self.row_at(&self.layout.entry(group, key))
    }

    fn row_at(&mut self, path: &Bytes) -> Step<Option<Row>> {
        let (revision, value) = self.look(path)?;
        let Some(value) = value else { return Ok(None) };
        let StoredEntry { value, expires_at_ms } = decoded(value)?;
        let revision = revision.map(|revision| Revision(revision.cast_unsigned()));
        Ok(Some(Row { revision, expires_at_ms, value }))
    }

    /// An entry that has not expired.
    pub fn live(&mut self, group: &str, key: &str) -> Step<Option<Row>> {
        let now_ms = self.now_ms;
        Ok(self.row(group, key)?.filter(|row| rules::is_live(row.expires_at_ms, now_ms)))
    }

    fn set(&mut self, group: &str, key: &str, value: Bytes, expires_at_ms: Option<i64>) -> Step<()> {
        self.remember(group)?;
        let path = self.layout.entry(group, key);
        let mut old = self.row_at(&path)?;
        let now_ms = self.now_ms;
        self.admit(group, key, value.len(), old.as_ref())?;
        if let Some(expired) = old.take_if(|row| !rules::is_live(row.expires_at_ms, now_ms)) {
            self.expire(group, key, &expired)?;
        }
        let (keys, bytes) = growth_of_set(key.len(), value.len(), old.as_ref().map(|old| old.value.len()));
        let before_ms = old.and_then(|old| old.expires_at_ms);
        self.put_entry(path, (group, key), value.clone(), expires_at_ms, before_ms);
        self.count(group, keys, bytes, expires_at_ms)?;
        self.log(Kind::Set, group.to_owned(), Some(key.to_owned()), Some(value), expires_at_ms);
        Ok(())
    }

    fn put_entry(
        &mut self,
        path: Bytes,
        (group, key): (&str, &str),
        value: Bytes,
        at_ms: Option<i64>,
        before_ms: Option<i64>,
    ) {
        if let Some(before_ms) = before_ms.filter(|_| before_ms != at_ms) {
            self.delete(self.layout.expiry(group, before_ms, key));
        }
        if let Some(at_ms) = at_ms {
            let weight = Weight { bytes: (key.len() + value.len()) as u64 };
            self.put_message(self.layout.expiry(group, at_ms, key), &weight);
        }
        self.put_message(path, &StoredEntry { value, expires_at_ms: at_ms });
    }

    fn touch(&mut self, group: &str, key: &str, expires_at_ms: Option<i64>) -> Step<bool> {
        let Some(Row { value, expires_at_ms: before_ms, .. }) = self.live(group, key)? else {
            return Ok(false);
        };
        self.put_entry(self.layout.entry(group, key), (group, key), value.clone(), expires_at_ms, before_ms);
        self.count(group, 0, 0, expires_at_ms)?;
        self.log(Kind::Set, group.to_owned(), Some(key.to_owned()), Some(value), expires_at_ms);
        Ok(true)
    }

    fn increment(&mut self, group: &str, key: &str, by: i64) -> Step<i64> {
        let row = self.live(group, key)?;
        let sum = rules::increment(group, key, row.as_ref().map(|row| &*row.value), by)?;
        let expires_at_ms = row.and_then(|row| row.expires_at_ms);
        self.set(group, key, Bytes::from(sum.to_string()), expires_at_ms)?;
        Ok(sum)
    }

    fn delete_entry(&mut self, group: &str, key: &str) -> Step<bool> {
        // An expired entry is not there. The purge removes it, with an event of its own.
        let Some(row) = self.live(group, key)? else { return Ok(false) };
        self.remove(group, key, &row)?;
        self.log(Kind::Delete, group.to_owned(), Some(key.to_owned()), None, None);
        Ok(true)
    }

    fn remove(&mut self, group: &str, key: &str, row: &Row) -> Step<()> {
        self.remember(group)?;
        self.delete(self.layout.entry(group, key));
        if let Some(at_ms) = row.expires_at_ms {
            self.delete(self.layout.expiry(group, at_ms, key));
        }
        // The entry goes: the opposite of what setting it anew would add.
        let (keys, bytes) = growth_of_set(key.len(), row.value.len(), None);
        self.count(group, -keys, -bytes, None)
    }

    fn expire(&mut self, group: &str, key: &str, row: &Row) -> Step<()> {
        self.remove(group, key, row)?;
        self.log(Kind::Expire, group.to_owned(), Some(key.to_owned()), None, row.expires_at_ms);
        Ok(())
    }

    fn delete_group(&mut self, group: &str) -> Step<u64> {
        let live = self.usage(Extent::Group(group))?;
        if live.keys == 0 {
            return Ok(0);
        }
        self.remember(group)?;
        self.log_expired(group)?;
        let tally = self.group_tally(group)?;
        let (keys, bytes) = (signed(tally.keys), signed(tally.bytes));
        for span in [self.layout.entries(group), self.layout.expiries(group)] {
            self.empty(span);
        }
        self.count(group, -keys, -bytes, None)?;
        self.log(Kind::DeleteGroup, group.to_owned(), None, None, None);
        Ok(live.keys)
    }

    /// Logs what has expired in a group and goes with it.
    fn log_expired(&mut self, group: &str) -> Step<()> {
        let (rows, _) = self.rows(&self.layout.expired(group, self.now_ms), usize::MAX)?;
        for (path, _) in rows {
            let (_, at_ms, key) = self.expiry_parts(&path)?;
            self.log(Kind::Expire, group.to_owned(), Some(key), None, Some(at_ms));
        }
        Ok(())
    }

    pub fn expiry_parts(&self, path: &[u8]) -> Step<(String, i64, String)> {
        let parts = self.layout.expiry_parts(path);
        parts.ok_or_else(|| {
            Hitch::Damaged(format!("the key {:?} is no expiry", String::from_utf8_lossy(path)))
        })
    }

    fn delete_prefix(&mut self, prefix: &str) -> Step<u64> {
        let groups = self.groups(prefix)?;
        if groups.iter().all(|group| group.keys == 0) {
            return Ok(0);
        }
        if groups.len() > GROUPS_MAX {
            // Besides the groups that are there, none may go: nobody may have committed since they were read.
            self.guard_commits_since(&self.layout.groups(prefix));
            self.wants(groups.iter().map(|group| Wanted::Key(self.layout.group(&group.name))))?;
        }
        let mut deleted = 0;
        let mut gone: BTreeMap<&str, Growth> = BTreeMap::new();
        let names: Vec<String> = groups.iter().map(|group| group.name.clone()).collect();
        for (group, name) in groups.iter().zip(&names) {
            self.remember(name)?;
            let tally =
                if names.len() > GROUPS_MAX { self.known_tally(name)? } else { self.group_tally(name)? };
            if tally.keys > group.keys {
                self.log_expired(name)?;
            }
            if group.keys > 0 {
                self.log(Kind::DeleteGroup, name.clone(), None, None, None);
                deleted += group.keys;
            }
            if let Some(namespace) = namespace_of(name) {
                let loss = Growth::of_group(tally.keys, -signed(tally.keys), -signed(tally.bytes));
                *gone.entry(namespace).or_default() += loss;
            }
        }
        let namespaces = gone.keys().map(|name| Wanted::Key(self.layout.namespace(name)));
        self.wants(namespaces.collect::<Vec<_>>())?;
        for (name, growth) in gone {
            self.count_in_namespace(name, growth)?;
        }
        for span in [
            self.layout.entries_of_groups(prefix),
            self.layout.expiries_of_groups(prefix),
            // What says when they would expire is found to be of no group, when its time has come.
            self.layout.groups(prefix),
        ] {
            self.empty(span);
        }
        Ok(deleted)
    }

    fn set_quota(&mut self, namespace: &str, quota: Quota) -> Step<()> {
        let path = self.layout.namespace(namespace);
        let tally: NamespaceTally = self.message(&path)?.unwrap_or_default();
        let tally = NamespaceTally {
            max_keys: quota.max_keys,
            max_groups: quota.max_groups,
            max_bytes: quota.max_bytes,
            ..tally
        };
        self.put_namespace(path, &tally);
        self.put(self.layout.quotas(), Bytes::new());
        Ok(())
    }

    /// Where a cursor is, if there is one.
    pub fn cursor(&mut self, name: &str) -> Step<Option<LogPosition>> {
        let stored = self.message::<CursorPlace>(&self.layout.cursor(name))?;
        Ok(stored.map(|stored| stored.place()))
    }

    /// Moves a cursor.
    fn move_cursor(&mut self, name: &str, to: CursorMove) -> Step<Outcome> {
        let path = self.layout.cursor(name);
        let stored = self.cursor(name)?;
        let position = match rules::move_cursor(name, stored, to)? {
            CursorChange::Keep => return Ok(Outcome::Cursor { position: stored, changed: false }),
            CursorChange::Put(position) => Some(position),
            CursorChange::PutAtLatest => Some(LogPosition::after(self.latest()?)),
            CursorChange::Delete => None,
        };
        match position {
            Some(position) => self.put_message(path, &CursorPlace::new(position, self.now_ms)),
            None => self.delete(path),
        }
        Ok(Outcome::Cursor { position, changed: true })
    }

    /// The latest commit, before which the draft is.
    pub fn latest(&mut self) -> Step<Revision> {
        if self.has_changes() {
            return self.own_revision.ok_or(Hitch::TooEarly);
        }
        let (revision, _) = self.look(&self.layout.log())?;
        Ok(Revision(revision.unwrap_or_default().cast_unsigned()))
    }
}
