//! SQLite by hand: only larder's tables of entries and changes. A set writes a row in each, like larder's.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, params};

use super::{TimedStore, commits};
use crate::Outcome;
use crate::sample::{GROUP, Key, Sample};

/// The layout of the table of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Ordered by key, like larder's.
    WithoutRowid,
    /// Ordered by SQLite's rowid, with an index of the keys.
    Rowid,
}

/// A connection, on which [`RawSqlite`] prepares its statements.
pub struct Connected {
    pub connection: Connection,
}

impl Connected {
    /// A new database, in a file or in memory.
    fn new(path: Option<&Path>, table: Table) -> Outcome<Self> {
        let connection = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        let layout = if table == Table::Rowid { "STRICT" } else { "STRICT, WITHOUT ROWID" };
        connection.execute_batch(&format!(
            "CREATE TABLE entries (group_name TEXT NOT NULL, entry_key TEXT NOT NULL, entry_value ANY NOT NULL,
                 expires_at INTEGER, revision INTEGER NOT NULL, PRIMARY KEY (group_name, entry_key)) {layout};
             CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
             CREATE TABLE changes (change INTEGER NOT NULL PRIMARY KEY, revision INTEGER NOT NULL,
                 position INTEGER NOT NULL, kind TEXT NOT NULL, group_name TEXT NOT NULL, entry_key TEXT,
                 entry_value ANY, expires_at INTEGER, at INTEGER NOT NULL,
                 logged_bytes INTEGER NOT NULL) STRICT;"
        ))?;
        Self::over(connection)
    }

    /// A new database in a file with a sample, reopened like larder's: a write-ahead log that has already
    /// grown is faster to write.
    pub fn filled(path: &Path, table: Table, sample: &Sample) -> Outcome<Self> {
        let connected = Self::new(Some(path), table)?;
        RawSqlite::over(&connected)?.fill(sample)?;
        drop(connected);
        Self::open(path)
    }

    pub fn filled_in_memory(table: Table, sample: &Sample) -> Outcome<Self> {
        let connected = Self::new(None, table)?;
        RawSqlite::over(&connected)?.fill(sample)?;
        Ok(connected)
    }

    /// Opens an existing database, or a larder file, which has the same tables.
    pub fn open(path: &Path) -> Outcome<Self> {
        Self::over(Connection::open(path)?)
    }

    fn over(connection: Connection) -> Outcome<Self> {
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(Self { connection })
    }
}

/// A connection with its statements prepared.
pub struct RawSqlite<'c> {
    begin: RefCell<CachedStatement<'c>>,
    commit: RefCell<CachedStatement<'c>>,
    put: RefCell<CachedStatement<'c>>,
    /// `None` if a set writes only the entry.
    log: Option<RefCell<CachedStatement<'c>>>,
    get: RefCell<CachedStatement<'c>>,
    all: RefCell<CachedStatement<'c>>,
    page: RefCell<CachedStatement<'c>>,
    count: RefCell<CachedStatement<'c>>,
    revision: Cell<i64>,
}

impl<'c> RawSqlite<'c> {
    pub fn over(connected: &'c Connected) -> Outcome<Self> {
        let last = "SELECT coalesce(max(change), 0) FROM changes";
        let revision = connected.connection.query_row(last, [], |row| row.get(0))?;
        Self::at(connected, revision)
    }

    /// Prepares the statements without the change log.
    pub fn without_log(connected: &'c Connected) -> Outcome<Self> {
        Ok(Self { log: None, ..Self::over(connected)? })
    }

    fn at(connected: &'c Connected, revision: i64) -> Outcome<Self> {
        let prepare = |sql| connected.connection.prepare_cached(sql).map(RefCell::new);
        Ok(Self {
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            put: prepare("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, NULL, ?4)")?,
            log: Some(prepare("INSERT INTO changes VALUES (?1, ?1, 0, 'set', ?2, ?3, ?4, NULL, 0, 0)")?),
            get: prepare("SELECT entry_value FROM entries WHERE group_name = ?1 AND entry_key = ?2")?,
            all: prepare(
                "SELECT entry_key, entry_value FROM entries WHERE group_name = ?1 ORDER BY entry_key",
            )?,
            page: prepare(
                "SELECT entry_key, entry_value FROM entries WHERE group_name = ?1 AND entry_key > ?2
                 ORDER BY entry_key LIMIT ?3",
            )?,
            count: prepare("SELECT count(*) FROM entries WHERE group_name = ?1")?,
            revision: Cell::new(revision),
        })
    }

    /// Every key and value of the group in one buffer, and their number.
    pub fn all(&self) -> Outcome<(u64, Vec<u8>)> {
        let mut arena = Vec::new();
        let count = self.step(|key, value| {
            arena.extend_from_slice(key);
            arena.extend_from_slice(value);
        })?;
        Ok((count, arena))
    }

    /// Passes every key and value of the group to `look`, and returns their number.
    pub fn step(&self, mut look: impl FnMut(&[u8], &[u8])) -> Outcome<u64> {
        let mut statement = self.all.borrow_mut();
        let mut rows = statement.query([GROUP])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            look(row.get_ref(0)?.as_bytes()?, row.get_ref(1)?.as_bytes()?);
            count += 1;
        }
        Ok(count)
    }

    /// The keys and values after a key.
    pub fn page(&self, after: &str, limit: usize) -> Outcome<Vec<(String, Vec<u8>)>> {
        let mut statement = self.page.borrow_mut();
        let mut rows = statement.query(params![GROUP, after, limit as i64])?;
        let mut page = Vec::with_capacity(limit);
        while let Some(row) = rows.next()? {
            page.push((row.get(0)?, row.get_ref(1)?.as_bytes()?.to_vec()));
        }
        Ok(page)
    }

    /// The number of keys of the group, by counting rows.
    pub fn count(&self) -> Outcome<u64> {
        Ok(self.count.borrow_mut().query_row([GROUP], |row| row.get::<_, i64>(0))?.unsigned_abs())
    }

    fn put(&self, key: Key<'_>, value: &[u8], revision: i64) -> Outcome {
        self.put.borrow_mut().execute(params![GROUP, key.alone(), text(value), revision])?;
        Ok(())
    }
}

fn text(value: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(value))
}

impl TimedStore for RawSqlite<'_> {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        let mut statement = self.get.borrow_mut();
        let mut rows = statement.query([GROUP, key.alone()])?;
        Ok(match rows.next()? {
            Some(row) => Some(look(row.get_ref(0)?.as_bytes()?)),
            None => None,
        })
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        let revision = self.revision.get() + 1;
        self.begin.borrow_mut().execute([])?;
        self.put(key, value, revision)?;
        if let Some(log) = &self.log {
            log.borrow_mut().execute(params![revision, GROUP, key.alone(), text(value)])?;
        }
        self.revision.set(revision);
        self.commit.borrow_mut().execute([])?;
        Ok(())
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        let mut values = sample.values();
        for numbers in commits(sample) {
            self.begin.borrow_mut().execute([])?;
            for number in numbers {
                let key = sample.key(number);
                self.put(key, values.of(key), 0)?;
            }
            self.commit.borrow_mut().execute([])?;
        }
        Ok(())
    }
}

/// One connection, shared by threads.
pub struct SharedSqlite(Mutex<(Connected, i64)>);

impl SharedSqlite {
    pub fn new(connected: Connected) -> Outcome<Self> {
        let revision = RawSqlite::over(&connected)?.revision.get();
        Ok(Self(Mutex::new((connected, revision))))
    }

    /// Uses the connection exclusively.
    pub fn with<T>(&self, work: impl FnOnce(&RawSqlite<'_>) -> Outcome<T>) -> Outcome<T> {
        let mut turn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (connected, revision) = &mut *turn;
        let raw = RawSqlite::at(connected, *revision)?;
        let done = work(&raw);
        *revision = raw.revision.get();
        done
    }
}

impl TimedStore for SharedSqlite {
    fn get<T>(&self, key: Key<'_>, look: impl FnOnce(&[u8]) -> T) -> Outcome<Option<T>> {
        self.with(|raw| raw.get(key, look))
    }

    fn set(&self, key: Key<'_>, value: &[u8]) -> Outcome {
        self.with(|raw| raw.set(key, value))
    }

    fn fill(&self, sample: &Sample) -> Outcome {
        self.with(|raw| raw.fill(sample))
    }
}
