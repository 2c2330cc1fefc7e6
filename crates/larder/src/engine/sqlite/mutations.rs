//! What each mutation does to entries, tallies and log.

use rusqlite::{OptionalExtension, params};

use super::admission::namespace_prefix;
use super::reading::{End, Stored, revision, value};
use super::schema::signed;
use super::writer::{Done, Writer};
use crate::data::{Error, EventKind, Facts, Found, Revision, Value};
use crate::engine::{Extent, Mutation, Requirement};

/// An entry that is stored, expired or not.
pub(super) struct Row {
    revision: Revision,
    expires_at_ms: Option<i64>,
    value_bytes: i64,
}

impl Writer {
    pub fn require(&mut self, requirement: &Requirement) -> Done<()> {
        let Requirement { group, key, condition } = requirement;
        let actual = self.live(group, key)?.map(|row| row.revision);
        if condition.holds(actual) {
            return Ok(());
        }
        let (group, key) = (group.clone(), key.clone());
        Err(Error::Conflict { group, key, expected: *condition, actual }.into())
    }

    /// Applies one mutation; a refused one has written nothing.
    pub fn apply(&mut self, mutation: Mutation) -> Done<i64> {
        match mutation {
            Mutation::Set { group, key, value, expires_at_ms } => {
                self.put(group, key, value, expires_at_ms)?;
                Ok(1)
            }
            Mutation::Touch { group, key, expires_at_ms } => self.touch(group, key, expires_at_ms),
            Mutation::Increment { group, key, by } => self.increment(group, key, by),
            Mutation::Delete { group, key } => self.delete(group, key),
            Mutation::DeleteGroup { group } => self.delete_group(group),
            Mutation::DeletePrefix { prefix } => {
                let groups = self.reading()?.groups(&prefix)?;
                groups.into_iter().map(|group| self.delete_group(group.name)).sum()
            }
            Mutation::Purge { prefix, max } => self.purge(&prefix, max),
            Mutation::MoveCursor { name, to } => self.move_cursor(name, to),
            Mutation::SetQuota { namespace, quota } => {
                self.writes_unlogged = true;
                self.tallies.set_quota(&self.connection, &namespace, quota)?;
                Ok(0)
            }
        }
    }

    /// Writes a value, whatever was there before.
    fn put(&mut self, group: String, key: String, value: Value, expires_at_ms: Option<i64>) -> Done<()> {
        self.remember(&group)?;
        let mut old = self.row(&group, &key)?;
        if !self.fits(&group, &key, value.len(), old.as_ref(), false)? {
            let savepoint = self.savepoint()?;
            self.purge(&namespace_prefix(&group), usize::MAX)?;
            old = self.row(&group, &key)?;
            if let Err(refused) = self.fits(&group, &key, value.len(), old.as_ref(), true) {
                self.roll_back_to(savepoint)?;
                return Err(refused);
            }
            self.release()?;
        }
        if let Some(expired) = old.take_if(|row| row.is_expired(self.moment.0)) {
            self.expire(group.clone(), key.clone(), &expired)?;
        }
        let revision = self.tail.revision.next();
        self.touch_key(&group, &key);
        let overwrites = old.as_ref().is_some_and(|old| old.expires_at_ms.is_none());
        if overwrites && expires_at_ms.is_none() {
            // In place: neither the key nor the expiry index is concerned.
            self.prepare(
                "UPDATE entries SET entry_value = ?3, revision = ?4 WHERE group_name = ?1 AND entry_key = ?2",
            )?
            .execute(params![group, key, Stored(&value), signed(revision.0)])?;
        } else {
            self.prepare(
                "INSERT OR REPLACE INTO entries (group_name, entry_key, entry_value, expires_at, revision)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![group, key, Stored(&value), expires_at_ms, signed(revision.0)])?;
        }
        let (keys, bytes) = growth(&key, value.len(), old.as_ref());
        self.count(&group, keys, bytes)?;
        self.log(EventKind::Set, group, Some(key), Some(value), expires_at_ms)
    }

    fn touch(&mut self, group: String, key: String, expires_at_ms: Option<i64>) -> Done<i64> {
        let Some((value, _)) = self.live_value(&group, &key)? else { return Ok(0) };
        let revision = self.tail.revision.next();
        self.touch_key(&group, &key);
        self.prepare(
            "UPDATE entries SET expires_at = ?3, revision = ?4 WHERE group_name = ?1 AND entry_key = ?2",
        )?
        .execute(params![group, key, expires_at_ms, signed(revision.0)])?;
        self.log(EventKind::Set, group, Some(key), Some(value), expires_at_ms)?;
        Ok(1)
    }

    fn increment(&mut self, group: String, key: String, by: i64) -> Done<i64> {
        let (from, expires_at_ms) = match self.live_value(&group, &key)? {
            None => (0, None),
            Some((value, expires_at_ms)) => match value.as_str().and_then(|text| text.parse().ok()) {
                Some(from) => (from, expires_at_ms),
                None => return Err(Error::NotANumber { group, key }.into()),
            },
        };
        let Some(sum) = i64::checked_add(from, by) else {
            return Err(Error::Overflow { group, key, from, by }.into());
        };
        self.put(group, key, sum.to_string().into(), expires_at_ms)?;
        Ok(sum)
    }

    fn delete(&mut self, group: String, key: String) -> Done<i64> {
        // What has expired is not there, and goes by itself.
        let Some(row) = self.live(&group, &key)? else { return Ok(0) };
        self.remove(&group, &key, &row)?;
        self.log(EventKind::Delete, group, Some(key), None, None)?;
        Ok(1)
    }

    /// Deletes what is live in a group. What has expired goes by itself, with its own events.
    fn delete_group(&mut self, group: String) -> Done<i64> {
        let live = self.reading()?.usage(Extent::Group(&group))?;
        if live.keys == 0 {
            return Ok(0);
        }
        self.remember(&group)?;
        self.touched.everything();
        self.prepare(
            "DELETE FROM entries WHERE group_name = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
        )?
        .execute(params![group, self.moment.0])?;
        let (keys, bytes) = (signed(live.keys), signed(live.bytes));
        self.count(&group, -keys, -bytes)?;
        self.log(EventKind::DeleteGroup, group, None, None, None)?;
        Ok(keys)
    }

    /// Removes up to `max` expired entries of the groups that start with `prefix`, the longest
    /// expired first.
    pub(super) fn purge(&mut self, prefix: &str, max: usize) -> Done<i64> {
        let due = self
            .prepare(
                "SELECT group_name, entry_key, octet_length(entry_value), expires_at, revision
                 FROM entries INDEXED BY entries_by_expiry
                 WHERE expires_at <= ?1 AND group_name >= ?2 AND group_name < ?3
                 ORDER BY expires_at, group_name, entry_key LIMIT ?4",
            )?
            .query_map(
                params![self.moment.0, prefix, End::of(prefix), i64::try_from(max).unwrap_or(-1)],
                |row| {
                    let stored = Row {
                        value_bytes: row.get(2)?,
                        expires_at_ms: row.get(3)?,
                        revision: revision(row, 4)?,
                    };
                    Ok((row.get(0)?, row.get(1)?, stored))
                },
            )?
            .collect::<rusqlite::Result<Vec<(String, String, Row)>>>()?;
        let purged = i64::try_from(due.len()).unwrap_or(i64::MAX);
        for (group, key, row) in due {
            self.expire(group, key, &row)?;
        }
        Ok(purged)
    }

    fn expire(&mut self, group: String, key: String, row: &Row) -> Done<()> {
        self.remove(&group, &key, row)?;
        self.log(EventKind::Expire, group, Some(key), None, row.expires_at_ms)
    }

    fn remove(&mut self, group: &str, key: &str, row: &Row) -> Done<()> {
        self.remember(group)?;
        self.touch_key(group, key);
        self.prepare("DELETE FROM entries WHERE group_name = ?1 AND entry_key = ?2")?
            .execute([group, key])?;
        self.count(group, -1, -row.bytes(key))
    }

    fn touch_key(&mut self, group: &str, key: &str) {
        self.touched.key(self.cache.hash(group, key));
    }

    fn count(&mut self, group: &str, keys: i64, bytes: i64) -> Done<()> {
        Ok(self.tallies.add(&self.connection, group, keys, bytes)?)
    }

    /// An entry that has not expired.
    fn live(&self, group: &str, key: &str) -> rusqlite::Result<Option<Row>> {
        let row = self.row(group, key)?;
        Ok(row.filter(|row| row.expires_at_ms.is_none() || !row.is_expired(self.moment.0)))
    }

    fn row(&self, group: &str, key: &str) -> rusqlite::Result<Option<Row>> {
        let hash = self.cache.hash(group, key);
        if self.touched.is_untouched(hash)
            && let Some(found) = self.cache.peek(hash, group, key)
        {
            return Ok(found.as_ref().map(Row::of));
        }
        self.prepare(
            "SELECT revision, expires_at, octet_length(entry_value) FROM entries
             WHERE group_name = ?1 AND entry_key = ?2",
        )?
        .query_row([group, key], |row| {
            Ok(Row { revision: revision(row, 0)?, expires_at_ms: row.get(1)?, value_bytes: row.get(2)? })
        })
        .optional()
    }

    /// The value and expiry of an entry that has not expired.
    fn live_value(&self, group: &str, key: &str) -> rusqlite::Result<Option<(Value, Option<i64>)>> {
        let found = self
            .prepare("SELECT entry_value, expires_at FROM entries WHERE group_name = ?1 AND entry_key = ?2")?
            .query_row([group, key], |row| {
                Ok((value(row, 0)?.unwrap_or_default(), row.get::<_, Option<i64>>(1)?))
            })
            .optional()?;
        Ok(found.filter(|(_, expires_at_ms)| expires_at_ms.is_none_or(|at| at > self.moment.0)))
    }
}

impl Row {
    fn of(found: &Found) -> Self {
        let value_bytes = i64::try_from(found.value().len()).unwrap_or(i64::MAX);
        let Facts { revision, expires_at_ms } = found.facts();
        Self { revision, expires_at_ms, value_bytes }
    }

    fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }

    /// What the row counts for in the tallies.
    fn bytes(&self, key: &str) -> i64 {
        self.value_bytes + length(key)
    }
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// How many keys and bytes more are stored once a value of `size` is in the place of `old`.
pub(super) fn growth(key: &str, size: usize, old: Option<&Row>) -> (i64, i64) {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    match old {
        Some(old) => (0, size - old.value_bytes),
        None => (1, size + length(key)),
    }
}
