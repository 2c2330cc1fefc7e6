//! The SQLite engine: one file.

mod admission;
mod ascending;
mod beside;
mod cache;
mod change_log;
mod check;
mod checkpoint;
mod cohort;
mod columns;
mod commit;
mod compact;
mod connection;
mod copy;
mod cursor_rows;
mod cursors;
mod divide_log;
mod due;
mod error_code;
mod exclusive;
mod expiry_index;
mod fair_share;
mod figure_reads;
mod first_name;
mod follower;
mod foreign;
mod foreign_log;
mod from_dump;
mod gathered_commit;
mod gathered_frames;
mod group_reads;
mod guard;
mod held;
mod intake;
mod kept_reads;
mod kind;
mod large_values;
mod lock_holder;
#[cfg(unix)]
mod locks_across_forks;
mod log_end;
mod log_length;
mod log_link;
mod log_parts;
mod log_tail;
mod migrate;
mod mutations;
mod new_store;
mod no_modules;
mod notes;
mod oldest_reader;
mod open;
mod open_revision;
mod open_transaction;
mod own_rules;
mod own_tables;
mod path;
mod permissions;
mod probe;
mod pruning;
mod queries;
mod queue;
mod raw_file;
mod reader;
mod reader_pool;
mod readers;
mod recovered_log;
mod repair;
mod restore;
mod rotation;
mod scan_shape;
mod scans;
mod schema;
mod set_history;
mod step_limit;
mod store_file;
mod stored_row;
mod system_limits;
mod tallies;
mod ticket;
mod timeline;
mod touched;
mod transaction_changes;
mod upgrade;
mod upkeep;
mod wal_index;
mod walker;
mod writer;
mod writer_slot;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::cache::{Figure, Question, StoreCache, StoreWord};
use self::change_log::Compacted;
use self::checkpoint::{Checkpointer, Parts};
use self::commit::Committer;
pub(crate) use self::exclusive::Exclusive;
use self::follower::Follower;
pub(crate) use self::from_dump::write_file;
use self::guard::GuardedConnection;
use self::oldest_reader::OldestReaders;
use self::queries::{Queries, ReadThrough, ask};
use self::reader_pool::ReaderPool;
use self::readers::Readers;
use self::repair::Plan;
pub(crate) use self::restore::{Request as Restore, restore};
pub(crate) use self::rotation::Rotation;
pub(crate) use self::schema::VALUE_BYTES_MAX;
use self::store_file::StoreFile;
use self::wal_index::WalIndex;
use self::writer::Writer;
use self::writer_slot::WriterSlot;
use crate::data::{
    Clock, CursorInfo, Durability, Entries, Error, Event, Finding, FindingKind, Found, HistoryInfo, Repair,
    Repaired, Result, SmallValue, Stats, Usage,
};
use crate::engine::{
    Answer, Body, Changes, Commit, Committed, Engine, LogRead, NewFile, Opened, Party, Read, Scan, Settings,
    Sink, StoredCursor,
};
use crate::rules::LogLimits;

/// A store in a SQLite file.
pub(crate) struct SqliteEngine {
    readers: Readers,
    cache: Arc<StoreCache>,
    /// `None` where the store was opened read-only.
    committer: Option<Arc<Committer>>,
    follower: Follower,
    oldest_readers: Arc<OldestReaders>,
    sink: Arc<dyn Sink>,
    clock: Arc<dyn Clock>,
    limits: LogLimits,
    file: StoreFile,
}

impl SqliteEngine {
    /// Opens a file, and makes it a larder store if it is none yet but may become one.
    pub fn open(path: &Path, settings: &Settings, sink: Arc<dyn Sink>) -> Result<Opened<Self>> {
        let location = path.display().to_string();
        let mut file = StoreFile::new(location, settings);
        let connection = open::file(path, settings, &mut file)?;
        // The resolved path: the process may change its folder before the next reader is opened.
        let path = file.path.clone().unwrap_or_else(|| path.to_owned());
        // Where there is no shared memory, the cache is off.
        let index =
            WalIndex::open(connection::reader(&path, &file)?, &file).map_err(|error| file.failure(error))?;
        let index = index.map(Arc::new);
        if let (false, Durability::Full, Some(index)) = (settings.read_only, settings.durability, &index) {
            recovered_log::confirm(&connection, index).map_err(|error| file.failure(error))?;
        }
        if !settings.read_only {
            timeline::settle(&connection, &file, index.as_deref())?;
        }
        if let Some(guard) = &file.guard {
            guard.watch(&path, index.is_some())?;
        }
        open::refuse_moved(&connection, &file)?;
        let word = index.clone().map(StoreWord);
        let cache = Self::cache(&connection, settings, &file, word)?;
        let identity =
            file.wait_for_lock(|| schema::identity(&connection)).map_err(|error| file.failure(error))?;
        let pool = Arc::new(ReaderPool::new(index));
        let readers = Readers::new(path.clone(), file.clone(), Arc::clone(&pool));
        let oldest_readers = Arc::new(OldestReaders::new(path.clone(), pool));
        let committer = if settings.read_only {
            readers.put_back(connection);
            None
        } else {
            let mut writer = Self::writer(connection, settings, &file, &cache);
            let index = writer.index.clone();
            checkpoint::leave_to_sqlite(&writer.connection, index.is_none())
                .and_then(|()| if index.is_some() { writer.learn_of_own_commits() } else { Ok(()) })
                .map_err(|error| file.failure(error))?;
            let writer = Arc::new(WriterSlot::new(writer));
            let checkpointer = index.map(|index| {
                let (file, writer) = (file.clone(), Arc::clone(&writer));
                let readers = Arc::clone(&oldest_readers);
                Checkpointer::new(Parts { path, file, index, readers, writer })
            });
            Some(Committer::new(writer, checkpointer, Arc::clone(&sink)))
        };
        let follower = Follower::default();
        let (clock, limits) = (Arc::clone(&settings.clock), LogLimits::of(settings));
        let engine = Self { readers, cache, committer, follower, oldest_readers, sink, clock, limits, file };
        let revision = engine.cache.opened_at();
        Ok(Opened { engine, identity, revision })
    }

    fn writer(
        connection: GuardedConnection,
        settings: &Settings,
        file: &StoreFile,
        cache: &Arc<StoreCache>,
    ) -> Writer {
        let limits = LogLimits::of(settings);
        let clock = Arc::clone(&settings.clock);
        let mut writer = Writer::new(connection, clock, file.clone(), limits, Arc::clone(cache));
        if settings.gathers_log_writes {
            writer.gather_frames();
        }
        writer
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
        let fetch = || self.ask(|reading| reading.stored(group, key));
        self.cache.read(group, key, |after| self.news(after), fetch)
    }

    fn writing(&self) -> Result<&Arc<Committer>> {
        self.committer.as_ref().ok_or_else(|| Error::ReadOnly { location: self.file.location.clone() })
    }

    fn repaired(&self, repair: Repair) -> Result<Repaired> {
        let committer = self.writing()?;
        let plan = Plan { found: self.check().wait()?, repair };
        if !plan.is_needed() {
            return Ok(Repaired::new(Vec::new(), plan.found));
        }
        let Some(file) = self.file.path.as_deref() else {
            return plan.carry_out(&mut committer.writer.lease()?, None);
        };
        self.readers.with(|reader| {
            plan.rehearse(reader, file, &self.file)?;
            plan.carry_out(&mut committer.writer.lease()?, Some(reader))
        })
    }

    /// Asks a query through a connection that may be kept at its moment.
    fn ask<T>(&self, query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>) -> Result<T> {
        self.before_read()?;
        self.readers.read(|connection| {
            self.file
                .wait_for_lock(|| ask(connection, &*self.clock, &query))
                .map_err(|error| self.file.failure(error))
        })
    }

    fn with_connection<T>(&self, act: impl Fn(&GuardedConnection) -> rusqlite::Result<T>) -> Result<T> {
        self.before_read()?;
        self.readers.with(|connection| {
            self.file.wait_for_lock(|| act(connection)).map_err(|error| self.file.failure(error))
        })
    }

    fn before_read(&self) -> Result<()> {
        // From a store that was stopped no read is answered from memory either.
        self.file.before_read().inspect_err(|_| self.cache.close())
    }
}

/// A store in a file of its own, which goes with it.
#[cfg(test)]
struct InOwnFile {
    engine: SqliteEngine,
    _folder: tempfile::TempDir,
}

#[cfg(test)]
impl InOwnFile {
    fn new(settings: &Settings, sink: Arc<dyn Sink>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let opened = SqliteEngine::open(&folder.path().join("store.db"), settings, sink).unwrap();
        Self { engine: opened.engine, _folder: folder }
    }

    /// How many commits the file has had.
    fn commits(&self) -> u32 {
        use self::cache::Word;
        self.engine.cache.word().unwrap().mark().unwrap().change
    }
}

#[cfg(test)]
impl std::ops::Deref for InOwnFile {
    type Target = SqliteEngine;

    fn deref(&self) -> &SqliteEngine {
        &self.engine
    }
}

impl ReadThrough for SqliteEngine {
    /// Reads through a connection of its own.
    fn read<T>(&self, query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>) -> Answer<T> {
        self.ask(query).into()
    }

    fn find(&self, group: &str, key: &str) -> Result<Option<Found>> {
        Ok(self.stored(group, key)?.filter(|found| found.is_live(&*self.clock)))
    }

    fn copy_cached(&self, group: &str, key: &str, into: &mut SmallValue) -> Option<bool> {
        self.cache.copy_small(group, key, into).is_live(&*self.clock)
    }

    fn cached(&self, group: &str, key: &str) -> Option<Option<Found>> {
        let found = self.cache.look(group, key)?;
        Some(found.filter(|found| found.is_live(&*self.clock)))
    }

    fn scan_cached(&self, scan: &Scan<'_>) -> Option<Entries> {
        self.cached_scan(scan)
    }

    fn kept_usage(&self, group: &str) -> Option<Usage> {
        self.usage_of_kept(group)
    }

    fn answer_cached<T: Figure>(&self, question: &Question<'_>) -> Option<T> {
        self.counted_before(question)
    }

    fn answer<T: Figure>(
        &self,
        question: &Question<'_>,
        query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>,
    ) -> Answer<T> {
        self.counted(question, query).into()
    }

    fn walked(&self, group: &str, entries: usize) {
        self.note_walk_of(group, entries);
    }

    fn scanned(&self, scan: &Scan<'_>) -> Answer<Entries> {
        self.scan_through(scan).into()
    }
}

impl Engine for SqliteEngine {
    fn commit(&self, commit: Commit) -> Answer<Committed> {
        match self.writing() {
            Ok(committer) => committer.commit(commit),
            Err(error) => Answer::ready(Err(error)),
        }
    }

    fn transact(&self, party: Party, body: &mut Body<'_>) -> Result<Committed> {
        self.writing()?.transact(party, body)
    }

    fn snapshot(&self) -> Answer<Arc<dyn Read>> {
        self.readers
            .snapshot(&self.file, &self.clock)
            .map(|snapshot| Arc::new(snapshot) as Arc<dyn Read>)
            .into()
    }

    fn changes(&self, wanted: LogRead<'_>) -> Answer<Changes> {
        self.with_connection(|connection| change_log::read(connection, &wanted))
            .and_then(|changes| changes.map_err(|Compacted(oldest)| Error::Compacted { oldest }))
            .into()
    }

    fn history(&self, group: &str, key: &str) -> Answer<Vec<Event>> {
        self.with_connection(|connection| change_log::history(connection, group, key)).into()
    }

    fn cursors(&self, prefix: &str) -> Answer<Vec<CursorInfo>> {
        self.with_connection(|connection| cursor_rows::list(connection, prefix)).into()
    }

    fn cursor(&self, name: &str) -> Answer<Option<StoredCursor>> {
        self.with_connection(|connection| cursor_rows::find(connection, name)).into()
    }

    fn notes(&self, prefix: &str) -> Answer<Vec<(String, String)>> {
        self.with_connection(|connection| notes::list(connection, prefix)).into()
    }

    fn is_untold(&self, cursor: &str) -> Answer<bool> {
        self.with_connection(|connection| timeline::is_untold(connection, cursor)).into()
    }

    fn next_expiry_ms(&self) -> Answer<Option<i64>> {
        self.read(|reading| {
            let expiry_ms = reading.next_expiry_ms()?;
            let pruning_ms = pruning::next_ms(reading.connection, &self.limits)?;
            Ok([expiry_ms, pruning_ms].into_iter().flatten().min())
        })
    }

    fn histories(&self, prefix: &str) -> Answer<Vec<HistoryInfo>> {
        self.with_connection(|connection| set_history::list(connection, prefix, &self.limits)).into()
    }

    fn stats(&self) -> Answer<Stats> {
        // Before this call reads by itself.
        let oldest_reader = self.cache.word().and_then(|StoreWord(index)| self.oldest_readers.find(&index));
        // They begin a transaction of their own.
        self.with_connection(|connection| {
            ask(connection, &*self.clock, |reading| {
                let stats = upkeep::stats(reading, self.file.path.as_deref())?;
                let unsafe_sqlite = self.file.unsafe_sqlite();
                Ok(Stats { oldest_reader: oldest_reader.clone(), unsafe_sqlite, ..stats })
            })
        })
        .into()
    }

    fn check(&self) -> Answer<Vec<Finding>> {
        let checked = self.with_connection(|connection| check::check(connection, self.file.path.as_deref()));
        checked
            .map(|mut findings| {
                let found = self.file.unsafe_sqlite();
                let found = found.map(|version| format!("SQLite {version} has changed the file"));
                findings.extend(Finding::of(FindingKind::UnsafeSqlite, found));
                findings
            })
            .into()
    }

    fn repair(&self, repair: Repair) -> Answer<Repaired> {
        self.repaired(repair).into()
    }

    fn compact(&self) -> Answer<u64> {
        let readers = self.readers.pool();
        self.writing().and_then(|committer| compact::compact(&committer.writer, &self.file, readers)).into()
    }

    fn backup_into(&self, new: &NewFile) -> Option<Answer<()>> {
        Some(self.readers.with(|connection| upkeep::backup(connection, new, &self.file)).into())
    }

    fn listen(&self, on: bool) -> Result<()> {
        match &self.file.path {
            Some(_) if on => self.follower.start(&self.file, &self.cache, &self.sink).map_err(|error| {
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
        let mut closed = Ok(());
        if let Some(writer) = self.committer.as_ref().and_then(|committer| committer.close()) {
            let writer = *writer;
            drop(writer.index);
            closed = writer.connection.close().map_err(|error| self.file.failure(error));
        }
        self.file.release();
        closed
    }
}
