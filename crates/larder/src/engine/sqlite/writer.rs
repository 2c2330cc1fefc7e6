//! The connection that writes, and what each mutation does through it.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use super::change_log::{Bounds, Tail, Totals};
use super::failure::Place;
use super::reading::{End, Reading, Stored, revision, value};
use super::tallies::Tallies;
use crate::clock::{self, Clock};
use crate::engine::{Commit, Extent, Interest, Mutation, Requirement};
use crate::scoped::namespace_of;
use crate::{Error, Event, EventKind, Revision, Usage, Value};

/// Beyond so many events a commit is read from the log by those who want it.
const EVENTS_MAX: usize = 10_000;

/// Why something was not written.
pub(super) enum Trouble {
    /// What was asked cannot be done; others in the same SQLite transaction are not concerned.
    Refused(Error),
    /// SQLite failed, and the whole transaction with it.
    Failed(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

type Done<T> = Result<T, Trouble>;

/// Applies mutations. One thread has it at a time: the leader of the group commit.
pub(super) struct Writer {
    pub connection: Connection,
    clock: Arc<dyn Clock>,
    /// The time at which the open step is made: one step sees one time, or its tallies would be off by
    /// what expires in between.
    moment: Moment,
    pub place: Place,
    bounds: Bounds,
    /// The end of the log; the revision of the last commit.
    tail: Tail,
    /// The first row of the log, as far as is known: it may be gone by now.
    oldest: Totals,
    tallies: Tallies,
    /// How many changes the open revision has so far.
    step: u64,
    /// How many the SQLite transaction has.
    added: u64,
    /// The open revision's events, as far as `interest` wants them.
    events: Vec<Arc<Event>>,
    interest: Interest,
    /// What namespaces with a quota held before the open batch, where the batch is judged by what it
    /// leaves behind. `None` where each mutation is judged by itself.
    before: Option<HashMap<String, Usage>>,
    /// Set once a failed sync has left unknown what is on the disk.
    pub stopped: Option<Error>,
}

/// The revision that was just closed, to be told to the sink.
pub(super) struct Closed {
    pub revision: Revision,
    /// `None` where they are only in the log.
    pub events: Option<Vec<Arc<Event>>>,
}

/// What can be undone by itself within an SQLite transaction.
pub(super) struct Savepoint {
    tail: Tail,
    tallies: Tallies,
    step: u64,
    added: u64,
    events: usize,
}

/// An entry that is stored, expired or not.
struct Row {
    revision: Revision,
    expires_at_ms: Option<i64>,
    value_bytes: i64,
}

impl Writer {
    pub fn new(connection: Connection, clock: Arc<dyn Clock>, place: Place, bounds: Bounds) -> Self {
        Self {
            connection,
            clock,
            moment: Moment(0),
            place,
            bounds,
            tail: Tail::default(),
            oldest: Totals::default(),
            tallies: Tallies::default(),
            step: 0,
            added: 0,
            events: Vec::new(),
            interest: Interest::None,
            before: None,
            stopped: None,
        }
    }

    /// Takes the write lock of the file, waiting for other processes to let go of it.
    pub fn begin(&mut self, interest: Interest) -> rusqlite::Result<()> {
        self.place.patiently(|| self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]))?;
        self.tallies = Tallies::default();
        (self.step, self.added) = (0, 0);
        self.interest = interest;
        self.tail = Tail::read(&self.connection)?;
        Ok(())
    }

    /// Puts everything since `begin` on the disk.
    pub fn commit(&mut self) -> rusqlite::Result<()> {
        self.tallies.write(&self.connection)?;
        if self.added > 0 {
            self.tail.prune(&self.connection, self.bounds, self.added, &mut self.oldest)?;
        }
        self.place.patiently(|| self.connection.prepare_cached("COMMIT")?.execute([]).map(drop))
    }

    /// Forgets everything since `begin`.
    pub fn rollback(&mut self) {
        self.events.clear();
        self.before = None;
        // After some errors SQLite has rolled back by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
    }

    pub fn savepoint(&mut self) -> rusqlite::Result<Savepoint> {
        self.execute("SAVEPOINT larder")?;
        let (tail, tallies, step, added) = (self.tail, self.tallies.clone(), self.step, self.added);
        Ok(Savepoint { tail, tallies, step, added, events: self.events.len() })
    }

    pub fn release(&mut self) -> rusqlite::Result<()> {
        self.execute("RELEASE larder")
    }

    /// Undoes everything since the savepoint.
    pub fn roll_back_to(&mut self, savepoint: Savepoint) -> rusqlite::Result<()> {
        self.execute("ROLLBACK TO larder")?;
        self.release()?;
        self.tail = savepoint.tail;
        self.tallies = savepoint.tallies;
        self.step = savepoint.step;
        self.added = savepoint.added;
        self.events.truncate(savepoint.events);
        Ok(())
    }

    /// Closes the open revision: the next change begins another. `None` where nothing changed.
    pub fn close_revision(&mut self) -> Option<Closed> {
        let events = std::mem::take(&mut self.events);
        if self.step == 0 {
            return None;
        }
        let complete = events.len() as u64 == self.step;
        self.tail.revision = self.tail.revision.next();
        self.step = 0;
        Some(Closed { revision: self.tail.revision, events: complete.then_some(events) })
    }

    /// The last closed revision.
    pub fn revision(&self) -> Revision {
        self.tail.revision
    }

    /// Looks at the clock, for the step that comes next.
    pub fn tick(&mut self) {
        self.moment = Moment(clock::now_ms(&*self.clock));
    }

    /// Reads what is written so far, inside a transaction.
    pub fn reading(&mut self) -> rusqlite::Result<Reading<'_>> {
        self.tallies.write(&self.connection)?;
        Ok(Reading { connection: &self.connection, clock: &self.moment })
    }

    /// Applies a batch. One mutation is checked before it writes and needs no savepoint; several are
    /// applied in order, judged by what they leave behind, and undone together.
    pub fn batch(&mut self, commit: Commit) -> Done<Vec<i64>> {
        self.tick();
        for requirement in &commit.requirements {
            self.require(requirement)?;
        }
        match <[Mutation; 1]>::try_from(commit.mutations) {
            Ok([mutation]) => Ok(vec![self.apply(mutation)?]),
            Err(mutations) => self.several(mutations),
        }
    }

    fn several(&mut self, mutations: Vec<Mutation>) -> Done<Vec<i64>> {
        let savepoint = self.savepoint()?;
        self.before = Some(HashMap::new());
        let outcomes = mutations.into_iter().map(|mutation| self.apply(mutation)).collect::<Done<_>>();
        let judged = outcomes.and_then(|outcomes| {
            let touched: Vec<String> = self.before.iter().flatten().map(|(name, _)| name.clone()).collect();
            touched.iter().try_for_each(|name| self.judge(name))?;
            Ok(outcomes)
        });
        self.before = None;
        match judged {
            Ok(outcomes) => {
                self.release()?;
                Ok(outcomes)
            }
            Err(Trouble::Refused(error)) => {
                self.roll_back_to(savepoint)?;
                Err(error.into())
            }
            Err(failed) => Err(failed),
        }
    }

    /// Holds a namespace's quota against what it has, given what it had before the batch.
    fn judge(&mut self, name: &str) -> Done<()> {
        let namespace = self.tallies.namespace(&self.connection, name)?;
        if namespace.quota.admit(name, &Usage::default(), &namespace.usage).is_ok() {
            return Ok(());
        }
        // Perhaps what is over the limit has expired: without that, both figures are exact.
        self.purge(&format!("{name}:"), usize::MAX)?;
        let before = self.before.as_ref().and_then(|before| before.get(name)).copied().unwrap_or_default();
        let after = self.tallies.namespace(&self.connection, name)?.usage;
        Ok(namespace.quota.admit(name, &before, &after)?)
    }

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
            Mutation::SetQuota { namespace, quota } => {
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
        self.prepare(
            "INSERT OR REPLACE INTO entries (group_name, entry_key, entry_value, expires_at, revision)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            group,
            key,
            Stored(&value),
            expires_at_ms,
            super::schema::signed(revision.0)
        ])?;
        let (keys, bytes) = growth(&key, value.len(), old.as_ref());
        self.count(&group, keys, bytes)?;
        self.log(EventKind::Set, group, Some(key), Some(value), expires_at_ms)
    }

    /// Whether a value fits its namespace's quota: surely, by what is stored, or, where all that has
    /// expired is purged, exactly; an error then says why not.
    fn fits(&mut self, group: &str, key: &str, size: usize, old: Option<&Row>, purged: bool) -> Done<bool> {
        let Some(name) = namespace_of(group).filter(|_| self.before.is_none()) else { return Ok(true) };
        let namespace = self.tallies.namespace(&self.connection, name)?;
        if namespace.quota.is_unlimited() {
            return Ok(true);
        }
        let before = namespace.usage;
        let (keys, bytes) = growth(key, size, old);
        let new_group = keys > 0 && self.tallies.group(&self.connection, group)?.0 == 0;
        let after = Usage {
            keys: before.keys.saturating_add_signed(keys),
            groups: before.groups + u64::from(new_group),
            bytes: before.bytes.saturating_add_signed(bytes),
        };
        if purged {
            namespace.quota.admit(name, &before, &after)?;
            return Ok(true);
        }
        Ok(namespace.quota.admit(name, &Usage::default(), &after).is_ok())
    }

    fn touch(&mut self, group: String, key: String, expires_at_ms: Option<i64>) -> Done<i64> {
        let Some((value, _)) = self.live_value(&group, &key)? else { return Ok(0) };
        let revision = self.tail.revision.next();
        self.prepare(
            "UPDATE entries SET expires_at = ?3, revision = ?4 WHERE group_name = ?1 AND entry_key = ?2",
        )?
        .execute(params![group, key, expires_at_ms, super::schema::signed(revision.0)])?;
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
        self.prepare(
            "DELETE FROM entries WHERE group_name = ?1 AND (expires_at IS NULL OR expires_at > ?2)",
        )?
        .execute(params![group, self.moment.0])?;
        let (keys, bytes) = (super::schema::signed(live.keys), super::schema::signed(live.bytes));
        self.count(&group, -keys, -bytes)?;
        self.log(EventKind::DeleteGroup, group, None, None, None)?;
        Ok(keys)
    }

    /// Removes up to `max` expired entries of the groups that start with `prefix`, the longest
    /// expired first.
    fn purge(&mut self, prefix: &str, max: usize) -> Done<i64> {
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
        self.prepare("DELETE FROM entries WHERE group_name = ?1 AND entry_key = ?2")?
            .execute([group, key])?;
        self.count(group, -1, -row.bytes(key))
    }

    fn count(&mut self, group: &str, keys: i64, bytes: i64) -> Done<()> {
        Ok(self.tallies.add(&self.connection, group, keys, bytes)?)
    }

    /// Notes what a group's namespace holds, before the open batch first writes to it. What has expired
    /// does not count as held.
    fn remember(&mut self, group: &str) -> Done<()> {
        if let Some(name) = namespace_of(group)
            && self.before.as_ref().is_some_and(|before| !before.contains_key(name))
            && !self.tallies.namespace(&self.connection, name)?.quota.is_unlimited()
        {
            let usage = self.reading()?.usage(Extent::Prefix(&format!("{name}:")))?;
            self.before.get_or_insert_default().insert(name.to_owned(), usage);
        }
        Ok(())
    }

    fn log(
        &mut self,
        kind: EventKind,
        group: String,
        key: Option<String>,
        value: Option<Value>,
        expires_at_ms: Option<i64>,
    ) -> Done<()> {
        let event = Event {
            revision: self.tail.revision.next(),
            kind,
            group,
            key,
            value,
            expires_at: expires_at_ms.map(clock::time),
            at: clock::time(self.moment.0),
        };
        self.tail.append(&self.connection, self.step, &event)?;
        self.step += 1;
        self.added += 1;
        let wanted = match self.interest {
            Interest::None => false,
            Interest::Some => self.events.len() < EVENTS_MAX,
            Interest::Every => true,
        };
        if wanted {
            self.events.push(Arc::new(event));
        }
        Ok(())
    }

    /// An entry that has not expired.
    fn live(&self, group: &str, key: &str) -> rusqlite::Result<Option<Row>> {
        let row = self.row(group, key)?;
        Ok(row.filter(|row| row.expires_at_ms.is_none() || !row.is_expired(self.moment.0)))
    }

    fn row(&self, group: &str, key: &str) -> rusqlite::Result<Option<Row>> {
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

    fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.prepare(sql)?.execute([]).map(drop)
    }
}

impl Row {
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
fn growth(key: &str, size: usize, old: Option<&Row>) -> (i64, i64) {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    match old {
        Some(old) => (0, size - old.value_bytes),
        None => (1, size + length(key)),
    }
}

/// What the groups of a group's namespace start with.
fn namespace_prefix(group: &str) -> String {
    namespace_of(group).map(|name| format!("{name}:")).unwrap_or_default()
}

/// A clock that shows the time of one step.
#[derive(Clone, Copy, Debug)]
struct Moment(i64);

impl Clock for Moment {
    fn now(&self) -> std::time::SystemTime {
        clock::time(self.0)
    }
}
