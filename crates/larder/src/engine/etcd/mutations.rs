//! What each mutation does to entries, tallies and log.

use bytes::Bytes;

use super::draft::{Draft, Hitch, Step, decoded};
use super::knowledge::Wanted;
use super::layout::{CursorPlace, Kind, NamespaceTally, StoredEntry, Weight};
use super::purge::DUE_MAX;
use crate::data::namespace::namespace_of;
use crate::data::{Error, Facts, Found, LogPosition, Quota, Revision};
use crate::engine::{CursorMove, Extent, Mutation, Requirement};

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
    fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }

    /// The entry, with the revision of what the draft has written itself.
    pub fn found(&self, group: &str, key: &str, own: Revision) -> Found {
        let facts = Facts { revision: self.revision.unwrap_or(own), expires_at_ms: self.expires_at_ms };
        Found::new(group, key, &self.value, facts)
    }

    /// What the row counts for in the tallies.
    fn bytes(&self, key: &str) -> i64 {
        length(key.len()) + length(self.value.len())
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
        let Requirement { group, key, condition } = requirement;
        let actual = match self.live(group, key)? {
            None => None,
            Some(Row { revision: Some(revision), .. }) => Some(revision),
            // It will be that of the transaction.
            Some(_) => Some(self.own_revision.ok_or(Hitch::TooEarly)?),
        };
        if condition.holds(actual) {
            return Ok(());
        }
        Err(Error::Conflict { group: group.clone(), key: key.clone(), expected: *condition, actual }.into())
    }

    /// Applies one mutation. Where it is refused, what it may have written is to be taken back.
    pub fn apply(&mut self, mutation: &Mutation) -> Step<i64> {
        match mutation {
            Mutation::Set { group, key, value, expires_at_ms } => {
                self.set(group, key, value.clone().into_bytes(), *expires_at_ms)?;
                Ok(1)
            }
            Mutation::Touch { group, key, expires_at_ms } => self.touch(group, key, *expires_at_ms),
            Mutation::Increment { group, key, by } => self.increment(group, key, *by),
            Mutation::Delete { group, key } => self.delete_entry(group, key),
            Mutation::DeleteGroup { group } => self.delete_group(group),
            Mutation::DeletePrefix { prefix } => self.delete_prefix(prefix),
            Mutation::Purge { prefix, max } => self.purge(prefix, *max),
            Mutation::SetQuota { namespace, quota } => self.set_quota(namespace, *quota),
            Mutation::MoveCursor { name, to } => self.move_cursor(name, *to),
        }
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
        Ok(self.row(group, key)?.filter(|row| !row.is_expired(now_ms)))
    }

    fn set(&mut self, group: &str, key: &str, value: Bytes, expires_at_ms: Option<i64>) -> Step<()> {
        self.remember(group)?;
        let path = self.layout.entry(group, key);
        let mut old = self.row_at(&path)?;
        let now_ms = self.now_ms;
        self.admit(group, key, value.len(), old.as_ref())?;
        if let Some(expired) = old.take_if(|row| row.is_expired(now_ms)) {
            self.expire(group, key, &expired)?;
        }
        let bytes = length(key.len()) + length(value.len());
        let (keys, more) = match &old {
            Some(old) => (0, bytes - old.bytes(key)),
            None => (1, bytes),
        };
        let before_ms = old.and_then(|old| old.expires_at_ms);
        self.put_entry(path, (group, key), value.clone(), expires_at_ms, before_ms);
        self.count(group, keys, more, expires_at_ms)?;
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

    fn touch(&mut self, group: &str, key: &str, expires_at_ms: Option<i64>) -> Step<i64> {
        let Some(Row { value, expires_at_ms: before_ms, .. }) = self.live(group, key)? else { return Ok(0) };
        self.put_entry(self.layout.entry(group, key), (group, key), value.clone(), expires_at_ms, before_ms);
        self.count(group, 0, 0, expires_at_ms)?;
        self.log(Kind::Set, group.to_owned(), Some(key.to_owned()), Some(value), expires_at_ms);
        Ok(1)
    }

    fn increment(&mut self, group: &str, key: &str, by: i64) -> Step<i64> {
        let (from, expires_at_ms) = match self.live(group, key)? {
            None => (0, None),
            Some(Row { value, expires_at_ms, .. }) => {
                let text = std::str::from_utf8(&value).ok();
                match text.and_then(|text| text.parse().ok()) {
                    Some(from) => (from, expires_at_ms),
                    None => {
                        return Err(Error::NotANumber { group: group.to_owned(), key: key.to_owned() }.into());
                    }
                }
            }
        };
        let Some(sum) = i64::checked_add(from, by) else {
            return Err(Error::Overflow { group: group.to_owned(), key: key.to_owned(), from, by }.into());
        };
        self.set(group, key, Bytes::from(sum.to_string()), expires_at_ms)?;
        Ok(sum)
    }

    fn delete_entry(&mut self, group: &str, key: &str) -> Step<i64> {
        // What has expired is not there, and goes by itself.
        let Some(row) = self.live(group, key)? else { return Ok(0) };
        self.remove(group, key, &row)?;
        self.log(Kind::Delete, group.to_owned(), Some(key.to_owned()), None, None);
        Ok(1)
    }

    fn remove(&mut self, group: &str, key: &str, row: &Row) -> Step<()> {
        self.remember(group)?;
        self.delete(self.layout.entry(group, key));
        if let Some(at_ms) = row.expires_at_ms {
            self.delete(self.layout.expiry(group, at_ms, key));
        }
        self.count(group, -1, -row.bytes(key), None)
    }

    fn expire(&mut self, group: &str, key: &str, row: &Row) -> Step<()> {
        self.remove(group, key, row)?;
        self.log(Kind::Expire, group.to_owned(), Some(key.to_owned()), None, row.expires_at_ms);
        Ok(())
    }

    fn delete_group(&mut self, group: &str) -> Step<i64> {
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
        Ok(signed(live.keys))
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

    fn delete_prefix(&mut self, prefix: &str) -> Step<i64> {
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
        let mut gone: std::collections::BTreeMap<&str, (i64, i64, i64)> = std::collections::BTreeMap::new();
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
                deleted += signed(group.keys);
            }
            if let Some(namespace) = namespace_of(name) {
                let sum = gone.entry(namespace).or_default();
                *sum = (sum.0 + signed(tally.keys), sum.1 + 1, sum.2 + signed(tally.bytes));
            }
        }
        let namespaces = gone.keys().map(|name| Wanted::Key(self.layout.namespace(name)));
        self.wants(namespaces.collect::<Vec<_>>())?;
        for (name, (keys, groups, bytes)) in gone {
            self.count_in_namespace(name, -keys, -groups, -bytes)?;
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

    fn set_quota(&mut self, namespace: &str, quota: Quota) -> Step<i64> {
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
        Ok(0)
    }

    /// Moves a cursor; whether it has moved.
    fn move_cursor(&mut self, name: &str, to: CursorMove) -> Step<i64> {
        let path = self.layout.cursor(name);
        let stored = self.message::<CursorPlace>(&path)?.map(|stored| stored.place());
        let place = match (to, stored) {
            (CursorMove::Begin(_), Some(_)) | (CursorMove::Forget, None) => return Ok(0),
            (CursorMove::Begin(Some(place)), None) | (CursorMove::Seek(place), _) => place,
            (CursorMove::Begin(None), None) => LogPosition::after(self.latest()?),
            (CursorMove::Acknowledge(place), Some(stored)) if place <= stored => return Ok(0),
            (CursorMove::Acknowledge(place), Some(_)) => place,
            (CursorMove::Acknowledge(_), None) => {
                return Err(Error::NoCursor { name: name.to_owned() }.into());
            }
            (CursorMove::Forget, Some(_)) => {
                self.delete(path);
                return Ok(1);
            }
        };
        self.put_message(path, &CursorPlace::new(place, self.now_ms));
        Ok(1)
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
