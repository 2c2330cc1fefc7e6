//! The SQLite engine: one file, or memory.

mod admission;
mod beside;
mod cache;
mod change_log;
mod cohort;
mod commit;
mod connection;
mod cursors;
mod follower;
mod kind;
mod lock_holder;
mod migrate;
mod mutations;
mod open;
mod open_revision;
mod open_transaction;
mod probe;
mod queries;
mod readers;
mod schema;
mod store_file;
mod stored_row;
mod tallies;
mod ticket;
mod touched;
mod transaction_changes;
mod upkeep;
mod wal_index;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use self::cache::{StoreCache, StoreWord};
use self::change_log::{Bounds, Compacted};
use self::commit::Committer;
use self::follower::Follower;
use self::queries::{Queries, ReadThrough};
use self::readers::Readers;
pub(crate) use self::schema::VALUE_BYTES_MAX;
use self::store_file::StoreFile;
use self::wal_index::WalIndex;
use self::writer::Writer;
use crate::data::{Clock, CursorInfo, Error, Event, Found, LogPosition, Result, Stats};
use crate::engine::{Answer, Body, Changes, Commit, Committed, Engine, Opened, Read, Settings, Sink};

/// How messages call a store that has no file.
pub(crate) const IN_MEMORY: &str = ":memory:";

/// A store in SQLite.
pub(crate) struct SqliteEngine {
    readers: Readers,
    cache: Arc<StoreCache>,
    /// `None` where the store was opened read-only.
    committer: Option<Arc<Committer>>,
    follower: Follower,
    sink: Arc<dyn Sink>,
    clock: Arc<dyn Clock>,
    file: StoreFile,
}

impl SqliteEngine {
    /// Opens a file, and makes it a larder store if it is none yet but may become one.
    pub fn open(path: &Path, settings: &Settings, sink: Arc<dyn Sink>) -> Result<Opened<Self>> {
        let location = path.display().to_string();
        let mut file = StoreFile { location, path: None, timeout: settings.timeout };
        let connection = open::file(path, settings, &mut file)?;
        // The resolved path: the process may change its folder before the next reader is opened.
        let path = file.path.clone().unwrap_or_else(|| path.to_owned());
        // Where there is no shared memory, the cache is off.
        let index =
            WalIndex::open(connection::reader(&path, &file)?, &file).map_err(|error| file.failure(error))?;
        let word = index.map(|index| StoreWord::Index(Arc::new(index)));
        let cache = Self::cache(&connection, settings, &file, word)?;
        let identity =
            file.wait_for_lock(|| schema::identity(&connection)).map_err(|error| file.failure(error))?;
        let readers = Readers::of_file(path, file.clone());
        let committer = if settings.read_only {
            readers.put_back(connection);
            None
        } else {
            Some(Self::committer(connection, settings, &file, &cache, Arc::clone(&sink)))
        };
        let follower = Follower::default();
        let clock = Arc::clone(&settings.clock);
        let engine = Self { readers, cache, committer, follower, sink, clock, file };
        Ok(Opened { engine, identity })
    }

    pub fn in_memory(settings: &Settings, sink: Arc<dyn Sink>) -> Result<Opened<Self>> {
        let file = StoreFile { location: IN_MEMORY.to_owned(), path: None, timeout: settings.timeout };
        let connection = open::memory().map_err(|error| file.failure(error))?;
        let word = StoreWord::Counter(Arc::new(AtomicU64::new(0)));
        let cache = Self::cache(&connection, settings, &file, Some(word))?;
        let identity = schema::identity(&connection).map_err(|error| file.failure(error))?;
        let committer = Self::committer(connection, settings, &file, &cache, Arc::clone(&sink));
        let readers = Readers::of_memory(Arc::clone(&committer));
        let follower = Follower::default();
        let clock = Arc::clone(&settings.clock);
        let engine = Self { readers, cache, committer: Some(committer), follower, sink, clock, file };
        Ok(Opened { engine, identity })
    }

    fn committer(
        connection: rusqlite::Connection,
        settings: &Settings,
        file: &StoreFile,
        cache: &Arc<StoreCache>,
        sink: Arc<dyn Sink>,
    ) -> Arc<Committer> {
        let bounds =
            Bounds { changes_max: settings.history_changes_max, bytes_max: settings.history_bytes_max };
        let clock = Arc::clone(&settings.clock);
        Committer::new(Writer::new(connection, clock, file.clone(), bounds, Arc::clone(cache)), sink)
    }

    fn cache(
        connection: &rusqlite::Connection,
        settings: &Settings,
        file: &StoreFile,
        word: Option<StoreWord>,
    ) -> Result<Arc<StoreCache>> {
        let bytes_max = usize::try_from(settings.cache_bytes).unwrap_or(usize::MAX);
        let commits = || file.wait_for_lock(|| change_log::commits(connection));
        StoreCache::open(bytes_max, word, commits).map(Arc::new).map_err(|error| file.failure(error))
    }

    /// What is stored under a key, expired or not: from the cache, or from SQLite and then cached.
    fn stored(&self, group: &str, key: &str) -> Result<Option<Found>> {
        let log = |after| self.with_connection(|connection| change_log::news(connection, after));
        let fetch = || {
            self.with_connection(|connection| Queries { connection, clock: &*self.clock }.stored(group, key))
        };
        self.cache.read(group, key, log, fetch)
    }

    fn writing(&self) -> Result<&Arc<Committer>> {
        self.committer.as_ref().ok_or_else(|| Error::ReadOnly { location: self.file.location.clone() })
    }

    fn with_connection<T>(&self, act: impl Fn(&rusqlite::Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.readers.with(|connection| {
            self.file.wait_for_lock(|| act(connection)).map_err(|error| self.file.failure(error))
        })
    }
}

impl ReadThrough for SqliteEngine {
    /// Reads through a connection of its own, or the only one.
    fn read<T>(&self, query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>) -> Answer<T> {
        self.with_connection(|connection| query(&Queries { connection, clock: &*self.clock })).into()
    }

    fn find(&self, group: &str, key: &str) -> Result<Option<Found>> {
        Ok(self.stored(group, key)?.filter(|found| found.is_live(&*self.clock)))
    }

    fn cached(&self, group: &str, key: &str) -> Option<Option<Found>> {
        let found = self.cache.look(group, key)?;
        Some(found.filter(|found| found.is_live(&*self.clock)))
    }
}

impl Engine for SqliteEngine {
    fn commit(&self, commit: Commit) -> Answer<Committed> {
        match self.writing() {
            Ok(committer) => committer.commit(commit),
            Err(error) => Answer::ready(Err(error)),
        }
    }

    fn transact(&self, body: &mut Body<'_>) -> Result<Committed> {
        self.writing()?.transact(body)
    }

    fn snapshot(&self) -> Answer<Arc<dyn Read>> {
        self.readers
            .snapshot(&self.file, &self.clock)
            .map(|snapshot| Arc::new(snapshot) as Arc<dyn Read>)
            .into()
    }

    fn changes(&self, after: LogPosition, max: usize) -> Answer<Changes> {
        self.with_connection(|connection| change_log::read(connection, after, max))
            .and_then(|changes| changes.map_err(|Compacted(oldest)| Error::Compacted { oldest }))
            .into()
    }

    fn history(&self, group: &str, key: &str) -> Answer<Vec<Event>> {
        self.with_connection(|connection| change_log::history(connection, group, key)).into()
    }

    fn cursors(&self, prefix: &str) -> Answer<Vec<CursorInfo>> {
        self.with_connection(|connection| cursors::list(connection, prefix)).into()
    }

    fn cursor(&self, name: &str) -> Answer<Option<LogPosition>> {
        self.with_connection(|connection| cursors::find(connection, name)).into()
    }

    fn next_expiry_ms(&self) -> Answer<Option<i64>> {
        self.read(|reading| reading.next_expiry_ms())
    }

    fn stats(&self) -> Answer<Stats> {
        self.read(|reading| upkeep::stats(reading, self.file.path.as_deref()))
    }

    fn check(&self) -> Answer<Vec<String>> {
        self.with_connection(upkeep::check).into()
    }

    fn backup_to(&self, path: &Path) -> Option<Answer<()>> {
        Some(self.readers.with(|connection| upkeep::backup(connection, path, &self.file)).into())
    }

    fn listen(&self, on: bool) -> Result<()> {
        match &self.file.path {
            Some(file) if on => self.follower.start(file, &self.cache, &self.sink).map_err(|error| {
                Error::Storage { location: self.file.location.clone(), source: Arc::new(error) }
            }),
            _ => {
                self.follower.stop();
                Ok(())
            }
        }
    }

    fn cache_age(&self) -> Option<Duration> {
        // The cache is never stale.
        Some(Duration::ZERO)
    }

    fn close(&self) -> Result<()> {
        self.follower.stop();
        self.cache.close();
        self.readers.close();
        if let Some(committer) = &self.committer {
            // Waits for the thread that commits. Those still in the queue find no connection, and get an error.
            let Some(writer) = committer.writer().take() else { return Ok(()) };
            return writer.connection.close().map_err(|(_, error)| self.file.failure(error));
        }
        Ok(())
    }
}
