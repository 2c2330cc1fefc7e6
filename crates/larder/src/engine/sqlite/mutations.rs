//! Applies mutations to entries, tallies and log.

use rusqlite::{OptionalExtension, params};

use super::columns::Stored;
use super::held::Held;
use super::large_values::{self, Values};
use super::queries::End;
use super::schema::signed;
use super::step_limit::{corrupt, limited};
use super::stored_row::{StoredRow, stored_row};
use super::writer::{Done, LoggedValue, Writer};
use crate::data::namespace::{namespace_of, prefix_of};
use crate::data::{EventKind, Revision, Value};
use crate::engine::{Extent, Mutation, Outcome, Purged, Requirement};
use crate::rules::{self, growth_of_set};

impl Writer {
    pub fn require(&mut self, requirement: &Requirement) -> Done<()> {
        let actual = self.live(&requirement.group, &requirement.key)?.map(|row| row.revision);
        Ok(rules::require(requirement, actual)?)
    }

    /// Applies one mutation. A refused one has written nothing.
    pub fn apply(&mut self, mutation: Mutation) -> Done<Outcome> {
        limited(|| self.apply_within(mutation))
    }

    fn apply_within(&mut self, mutation: Mutation) -> Done<Outcome> {
        Ok(match mutation {
            Mutation::Set { group, key, value, expires_at_ms } => {
                self.put(group, key, value, expires_at_ms)?;
                Outcome::Set
            }
            Mutation::Touch { group, key, expires_at_ms } => {
                Outcome::Touched(self.touch(group, key, expires_at_ms)?)
            }
            Mutation::Increment { group, key, by } => Outcome::Incremented(self.increment(group, key, by)?),
            Mutation::Delete { group, key } => Outcome::Deleted(self.delete(group, key)?),
            Mutation::DeleteGroup { group } => Outcome::DeletedGroups(self.delete_group(group)?),
            Mutation::DeletePrefix { prefix } => {
                let groups = self.queries()?.groups(&prefix)?;
                let keys: Done<u64> = groups.into_iter().map(|group| self.delete_group(group.name)).sum();
                Outcome::DeletedGroups(keys?)
            }
            Mutation::Purge { prefix, max } => Outcome::Purged(self.purge(&prefix, max)?.unwrap_or_default()),
            Mutation::MoveCursor { name, to, pattern } => self.move_cursor(&name, to, pattern)?,
            Mutation::SetNote { name, content } => self.set_note(&name, content.as_deref())?,
            Mutation::SetHistory { prefix, history } => self.set_history(prefix, history)?,
            Mutation::SetQuota { namespace, quota } => {
                self.transaction.is_unlogged = true;
                self.known.tallies.set_quota(self.connection.prepared(), &namespace, quota)?;
                Outcome::QuotaSet
            }
        })
    }

    /// Sets an entry, whether or not it exists.
    fn put(&mut self, group: String, key: String, value: Value, expires_at_ms: Option<i64>) -> Done<()> {
        self.note_usage(&group)?;
        let mut old = self.row(&group, &key)?;
        if !self.fits_as_stored(&group, &key, value.len(), old.as_ref())? {
            let savepoint = self.savepoint()?;
            let namespace = namespace_of(&group).map(prefix_of).unwrap_or_default();
            let is_purged = self.purge(&namespace, usize::MAX)?.is_some();
            old = self.row(&group, &key)?;
            if let Err(refused) = self.admit_live(&group, &key, value.len(), old.as_ref(), is_purged) {
                // A refused write leaves no trace, not even the events of the purge.
                self.roll_back_to(savepoint)?;
                return Err(refused);
            }
            self.release()?;
        }
        if let Some(expired) = old.take_if(|row| !rules::is_live(row.expires_at_ms, self.now.0)) {
            self.expire(group.clone(), key.clone(), &expired)?;
        }
        let revision = self.next_revision();
        self.touch_key(&group, &key);
        let large = large_values::keep(&self.connection, &value)?;
        let stored = Stored { value: &value, large };
        let overwrites = old.as_ref().is_some_and(|old| old.expires_at_ms.is_none());
        // In place: neither the key nor the expiry index changes.
        let is_in_place = overwrites && expires_at_ms.is_none();
        let mut put = self.connection.held(if is_in_place { Held::Overwrite } else { Held::Put })?;
        put.text(1, &group)?;
        put.text(2, &key)?;
        put.stored(3, &stored)?;
        if is_in_place {
            put.number(4, signed(revision.0))?;
        } else {
            if let Some(expires_at_ms) = expires_at_ms {
                put.number(4, expires_at_ms)?;
            }
            put.number(5, signed(revision.0))?;
        }
        put.finish()?;
        if let Some(old) = &old {
            self.drop_large_value(&group, old.revision, old.large)?;
        }
        let (keys, bytes) = growth_of_set(key.len(), value.len(), old.map(|old| old.value_bytes));
        self.count(&group, keys, bytes)?;
        self.log(EventKind::Set, group, Some(key), Some(LoggedValue { value, large }), expires_at_ms)
    }

    fn touch(&mut self, group: String, key: String, expires_at_ms: Option<i64>) -> Done<Option<u64>> {
        let Some((value, old)) = self.live_value(&group, &key)? else { return Ok(None) };
        let size = value.len() as u64;
        let revision = self.next_revision();
        self.touch_key(&group, &key);
        // A change has its value for itself, so that it can be pruned without a look at other changes.
        let large = large_values::keep(&self.connection, &value)?;
        match large {
            Some(_) => self
                .prepare(
                    "UPDATE entries SET expires_at = ?3, revision = ?4, entry_value = ?5
                     WHERE group_name = ?1 AND entry_key = ?2",
                )?
                .execute(params![group, key, expires_at_ms, signed(revision.0), large])?,
            None => self
                .prepare(
                    "UPDATE entries SET expires_at = ?3, revision = ?4 WHERE group_name = ?1 AND entry_key = ?2",
                )?
                .execute(params![group, key, expires_at_ms, signed(revision.0)])?,
        };
        self.drop_large_value(&group, old.revision, old.large)?;
        self.log(EventKind::Set, group, Some(key), Some(LoggedValue { value, large }), expires_at_ms)?;
        Ok(Some(size))
    }

    fn increment(&mut self, group: String, key: String, by: i64) -> Done<i64> {
        let (stored, row) = self.live_value(&group, &key)?.unzip();
        let sum = rules::increment(&group, &key, stored.as_ref().map(Value::as_bytes), by)?;
        let expires_at_ms = row.and_then(|row| row.expires_at_ms);
        self.put(group, key, sum.to_string().into(), expires_at_ms)?;
        Ok(sum)
    }

    fn delete(&mut self, group: String, key: String) -> Done<bool> {
        // An expired entry is not there. The purge removes it, with an event of its own.
        let Some(row) = self.live(&group, &key)? else { return Ok(false) };
        self.remove(&group, &key, &row)?;
        self.log(EventKind::Delete, group, Some(key), None, None)?;
        Ok(true)
    }

    /// Deletes the live entries of a group. The purge removes the expired ones, with events of their own.
    fn delete_group(&mut self, group: String) -> Done<u64> {
        let live = self.queries()?.usage(Extent::Group(&group))?;
        if live.keys == 0 {
            return Ok(0);
        }
        self.note_usage(&group)?;
        self.transaction.touched.everything();
        let large = large_values::of_group(&self.connection, &group, self.now.0)?;
        self.prepare(
            "DELETE FROM entries WHERE group_name = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
        )?
        .execute(params![group, self.now.0])?;
        for (revision, number) in large {
            self.drop_large_value(&group, revision, Some(number))?;
        }
        self.count(&group, -signed(live.keys), -signed(live.bytes))?;
        self.log(EventKind::DeleteGroup, group, None, None, None)?;
        Ok(live.keys)
    }

    /// Removes up to `max` expired entries of the groups that start with `prefix`, the longest expired first. Removes
    /// nothing and returns `None` while the clock is not to be believed.
    pub(super) fn purge(&mut self, prefix: &str, max: usize) -> Done<Option<Purged>> {
        // After the time of this step was read, so that a leap before is seen.
        if !self.clock_watch.may_purge() {
            return Ok(None);
        }
        let mut due: Vec<(String, String, StoredRow)> = Vec::new();
        let found = self.queries()?.due_of(Extent::Prefix(prefix))?;
        let columns = stored_row!();
        let mut statement = self.prepare(&format!(
            "SELECT group_name, entry_key, {columns} FROM {found} AND group_name >= ?2 AND group_name < ?3
             ORDER BY expires_at, group_name, entry_key LIMIT ?4"
        ))?;
        let limit = i64::try_from(max).unwrap_or(-1);
        let mut rows = statement.query(params![self.now.0, prefix, End::of(prefix), limit])?;
        while let Some(row) = rows.next()? {
            let (group, key, row) = (row.get(0)?, row.get(1)?, StoredRow::read(row, 2)?);
            let is_before = |(earlier_group, earlier_key, earlier): &(String, String, StoredRow)| {
                (earlier.expires_at_ms, earlier_group, earlier_key) < (row.expires_at_ms, &group, &key)
            };
            if !due.last().is_none_or(is_before) {
                return Err(corrupt("its expired entries are out of order").into());
            }
            due.push((group, key, row));
        }
        drop(rows);
        drop(statement);
        let purged = Purged { entries: due.len() as u64, more: due.len() == max };
        // What is too old in the log goes as well.
        self.transaction.frees_log = true;
        for (group, key, row) in due {
            self.expire(group, key, &row)?;
        }
        Ok(Some(purged))
    }

    fn expire(&mut self, group: String, key: String, row: &StoredRow) -> Done<()> {
        self.remove(&group, &key, row)?;
        self.log(EventKind::Expire, group, Some(key), None, row.expires_at_ms)
    }

    fn remove(&mut self, group: &str, key: &str, row: &StoredRow) -> Done<()> {
        self.note_usage(group)?;
        self.touch_key(group, key);
        self.prepare("DELETE FROM entries WHERE group_name = ?1 AND entry_key = ?2")?
            .execute([group, key])?;
        self.drop_large_value(group, row.revision, row.large)?;
        // The entry goes: the opposite of what setting it anew would add.
        let (keys, bytes) = growth_of_set(key.len(), row.value_bytes, None);
        self.count(group, -keys, -bytes)
    }

    fn touch_key(&mut self, group: &str, key: &str) {
        self.transaction.touched.key(self.cache.hash(group, key));
    }

    fn count(&mut self, group: &str, keys: i64, bytes: i64) -> Done<()> {
        Ok(self.known.tallies.add(self.connection.prepared(), group, keys, bytes)?)
    }

    /// An entry that has not expired.
    fn live(&self, group: &str, key: &str) -> rusqlite::Result<Option<StoredRow>> {
        let row = self.row(group, key)?;
        Ok(row.filter(|row| rules::is_live(row.expires_at_ms, self.now.0)))
    }

    fn row(&self, group: &str, key: &str) -> rusqlite::Result<Option<StoredRow>> {
        let hash = self.cache.hash(group, key);
        if self.transaction.touched.is_untouched(hash)
            && let Some(found) = self.cache.peek(hash, group, key)
        {
            match found.as_ref().map(StoredRow::of) {
                None => return Ok(None),
                Some(Some(row)) => return Ok(Some(row)),
                Some(None) => {}
            }
        }
        self.prepare(concat!(
            "SELECT ",
            stored_row!(),
            " FROM entries WHERE group_name = ?1 AND entry_key = ?2"
        ))?
        .query_row([group, key], |row| StoredRow::read(row, 0))
        .optional()
    }

    /// The value of an entry that has not expired, and what else is stored of it.
    fn live_value(&self, group: &str, key: &str) -> rusqlite::Result<Option<(Value, StoredRow)>> {
        let mut values = Values::of(&self.connection);
        let found = self
            .prepare(concat!(
                "SELECT ",
                stored_row!(),
                ", entry_value FROM entries WHERE group_name = ?1 AND entry_key = ?2"
            ))?
            .query_row([group, key], |row| {
                let value = values.read(row, 4, |value| Value::from(value.unwrap_or_default()))?;
                Ok((value, StoredRow::read(row, 0)?))
            })
            .optional()?;
        Ok(found.filter(|(_, row)| rules::is_live(row.expires_at_ms, self.now.0)))
    }

    /// Removes the large value that an entry had which a revision has set, unless the log still has it.
    fn drop_large_value(&self, group: &str, revision: Revision, large: Option<i64>) -> rusqlite::Result<()> {
        match large {
            Some(number)
                if !self.known.log.parts.has_large_value(&self.connection, group, revision, number)? =>
            {
                large_values::remove(&self.connection, number)
            }
            _ => Ok(()),
        }
    }
}
