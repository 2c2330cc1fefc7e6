//! The engine of a store in memory: sorted trees that share what they have in common, so that a snapshot costs nothing.

mod admission;
mod check;
mod committer;
mod cursors;
mod delivery;
mod draft;
mod dumped;
mod fair_share;
mod index;
mod log;
mod moment;
mod open_transaction;
mod pruning;
mod published;
mod reading;
mod rows;
mod set_history;
mod state;
mod stats;
mod ticket;
mod tree;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use self::committer::Committer;
use self::moment::Moment;
use self::published::Published;
use self::reading::Reading;
use crate::data::{
    CursorInfo, Entries, Event, Finding, Found, GroupInfo, HistoryInfo, NamespaceInfo, Peeked, Repair,
    Repaired, Result, Revision, SmallValue, Stats, Usage, clock,
};
use crate::engine::{
    Answer, Body, Changes, Commit, Committed, Engine, Extent, LogRead, NewFile, Opened, Party, Read, Scan,
    Settings, Sink, StoredCursor, WriteFile,
};

/// How messages call a store in memory.
pub(crate) const IN_MEMORY: &str = ":memory:";

/// A store in memory.
pub(crate) struct MemoryEngine {
    committer: Arc<Committer>,
    identity: Arc<str>,
    /// How a backup is written.
    write_file: WriteFile,
    /// Whether the group of a backup may use it, too.
    group_access: bool,
}

impl MemoryEngine {
    /// An empty store.
    pub fn open(settings: &Settings, sink: Arc<dyn Sink>, write_file: WriteFile) -> Opened<Self> {
        // The standard library seeds every hasher at random.
        let random = || RandomState::new().build_hasher().finish();
        let identity: Arc<str> = format!("{:016x}{:016x}", random(), random()).into();
        let committer = Arc::new(Committer::new(settings, sink));
        let group_access = settings.group_access;
        let engine = Self { committer, identity: Arc::clone(&identity), write_file, group_access };
        Opened { engine, identity, revision: Revision(0) }
    }

    /// Reads what is committed, without holding up a writer.
    fn moment<T>(&self, read: impl FnOnce(Reading<'_>) -> T) -> Answer<T> {
        let state = self.committer.state();
        // A panic of the clock is its caller's: no lock is held.
        state.map(|state| read(Reading::new(&state, &*self.committer.clock))).into()
    }

    /// Reads what is committed, for a short time.
    fn published<T>(&self, read: impl FnOnce(&Published) -> T) -> Answer<T> {
        let published = self.committer.read();
        published.check_open().map(|()| read(&published)).into()
    }

    fn find(&self, group: &str, key: &str) -> Result<Option<Found>> {
        let hash = self.committer.hashes.of(group, key);
        let found = {
            let published = self.committer.read();
            published.check_open()?;
            published.index.get(hash, group, key).cloned()
        };
        // The clock is the program's, so no lock is held.
        Ok(found.filter(|found| found.is_live(&*self.committer.clock)))
    }
}

impl Read for MemoryEngine {
    fn try_get(&self, group: &str, key: &str) -> Option<Answer<Option<Found>>> {
        Some(self.find(group, key).into())
    }

    fn peek(&self, group: &str, key: &str, into: &mut SmallValue) -> Option<bool> {
        let hash = self.committer.hashes.of(group, key);
        let peeked = {
            let published = self.committer.read();
            published.check_open().ok()?;
            published.index.get(hash, group, key).map_or(Peeked::Absent, |found| into.copy(found))
        };
        peeked.is_live(&*self.committer.clock)
    }

    fn fetch(&self, group: &str, key: &str) -> Result<Option<Found>> {
        self.find(group, key)
    }

    fn scan(&self, scan: &Scan<'_>) -> Answer<Entries> {
        self.moment(|reading| reading.scan(scan))
    }

    fn usage(&self, extent: Extent<'_>) -> Answer<Usage> {
        self.moment(|reading| reading.usage(extent))
    }

    fn groups(&self, prefix: &str) -> Answer<Vec<GroupInfo>> {
        self.moment(|reading| reading.groups(prefix))
    }

    fn namespaces(&self, only: Option<&str>) -> Answer<Vec<NamespaceInfo>> {
        self.moment(|reading| reading.namespaces(only))
    }

    fn revision(&self) -> Answer<Revision> {
        self.published(Published::revision)
    }
}

impl Engine for MemoryEngine {
    fn commit(&self, commit: Commit) -> Answer<Committed> {
        self.committer.commit(commit)
    }

    fn transact(&self, party: Party, body: &mut Body<'_>) -> Result<Committed> {
        self.committer.transact(party, body)
    }

    fn snapshot(&self) -> Answer<Arc<dyn Read>> {
        let clock = Arc::clone(&self.committer.clock);
        self.committer.state().map(|state| Arc::new(Moment { state, clock }) as Arc<dyn Read>).into()
    }

    fn changes(&self, wanted: LogRead<'_>) -> Answer<Changes> {
        let published = self.committer.read();
        published.check_open().and_then(|()| published.log.read(&wanted, published.revision())).into()
    }

    fn history(&self, group: &str, key: &str) -> Answer<Vec<Event>> {
        self.published(|published| published.log.history(group, key))
    }

    fn next_expiry_ms(&self) -> Answer<Option<i64>> {
        self.published(|published| {
            let expiry_ms = published.state.due.iter().next().map(|due| due.at_ms);
            let pruning_ms = published.log.next_too_old_ms(self.committer.limits, &published.state.cursors);
            [expiry_ms, pruning_ms].into_iter().flatten().min()
        })
    }

    fn cursor(&self, name: &str) -> Answer<Option<StoredCursor>> {
        self.published(|published| {
            let found = published.state.cursors.get(|cursor| (*cursor.name).cmp(name))?;
            Some(StoredCursor { position: found.position, pattern: (*found.pattern).clone() })
        })
    }

    fn cursors(&self, prefix: &str) -> Answer<Vec<CursorInfo>> {
        self.published(|published| published.cursors(prefix))
    }

    fn notes(&self, prefix: &str) -> Answer<Vec<(String, String)>> {
        self.published(|published| {
            let notes = published.state.notes.iter_from(|note| (*note.name).cmp(prefix));
            let wanted = notes.take_while(|note| note.name.starts_with(prefix));
            wanted.map(|note| (note.name.to_string(), note.content.to_string())).collect()
        })
    }

    fn histories(&self, prefix: &str) -> Answer<Vec<HistoryInfo>> {
        self.published(|published| published.log.list(prefix, &self.committer.limits.default))
    }

    fn stats(&self) -> Answer<Stats> {
        // Read before the lock is taken.
        let now_ms = clock::now_ms(&*self.committer.clock);
        self.published(|published| published.stats(&self.identity, now_ms))
    }

    fn check(&self) -> Answer<Vec<Finding>> {
        self.published(|published| published.check(&self.committer.hashes))
    }

    fn repair(&self, repair: Repair) -> Answer<Repaired> {
        let repaired = self.committer.alone(|| {
            let mut published = self.committer.write();
            published.check_open()?;
            Ok(published.repair(&self.committer.hashes, repair))
        });
        repaired.into()
    }

    fn compact(&self) -> Answer<u64> {
        let mut published = self.committer.write();
        published.check_open().map(|()| published.compact()).into()
    }

    fn backup_into(&self, new: &NewFile) -> Option<Answer<()>> {
        // Writers go on while the file is written.
        let taken = {
            let published = self.committer.read();
            published.check_open().map(|()| (published.state.clone(), published.log.dumped()))
        };
        let written = taken.and_then(|(state, histories)| (self.write_file)(state.dumped(histories), new));
        let written = written.and_then(|()| if self.group_access { new.share_with_group() } else { Ok(()) });
        Some(written.into())
    }

    fn listen(&self, _on: bool) -> Result<()> {
        // Nobody else commits.
        Ok(())
    }

    fn cache_age(&self) -> Option<Duration> {
        // What is read is the store itself.
        Some(Duration::ZERO)
    }

    fn close(&self) -> Result<()> {
        self.committer.close();
        Ok(())
    }
}
