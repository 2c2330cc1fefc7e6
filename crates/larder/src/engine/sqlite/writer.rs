//! The connection that writes. One thread has it at a time: the leader of the group commit.
//!
//! Its state is split by lifetime: [`Known`] lasts while no other writer commits, [`TransactionChanges`] from
//! `BEGIN` to `COMMIT`, [`OpenRevision`] from one revision to the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::CachedStatement;

use super::beside::beside;
use super::cache::{Commits, StoreCache, StoreWord};
use super::change_log;
use super::expiry_index;
use super::gathered_commit::gathered;
use super::gathered_frames::GatheredFrames;
use super::guard::GuardedConnection;
use super::held::Held;
use super::log_end::LogEnd;
use super::log_link;
use super::log_tail;
use super::open_revision::{ClosedRevision, OpenRevision, StepTime};
use super::queries::Queries;
use super::schema;
use super::step_limit::limited;
use super::store_file::StoreFile;
use super::tallies::Tallies;
use super::transaction_changes::TransactionChanges;
use super::wal_index::WalIndex;
use crate::data::{Clock, ClockWatch, Error, Event, EventKind, Revision, Value, clock, report};
use crate::engine::{Commit, Interest, Mutation, Outcome, Reply, Room};
use crate::rules::{self, LogLimits, Occasion};

/// Why something was not written.
pub(super) enum Trouble {
    /// The request cannot be carried out. Other requests of the same SQLite transaction still can.
    Refused(Error),
    /// SQLite failed, and the whole transaction with it.
    Failed(rusqlite::Error),
}

/// A commit that failed.
pub(super) enum Uncommitted {
    /// SQLite failed.
    Failed {
        error: rusqlite::Error,
        /// Whether it may be in the store all the same, now or after a crash.
        may_be_there: bool,
    },
    /// The guard of the file has stopped it.
    Stopped(Error),
}

impl From<Error> for Uncommitted {
    fn from(error: Error) -> Self {
        Self::Stopped(error)
    }
}

/// A failure before the commit itself: nothing was written.
impl From<rusqlite::Error> for Uncommitted {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed { error, may_be_there: false }
    }
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

pub(super) type Done<T> = Result<T, Trouble>;

/// Applies mutations.
pub(super) struct Writer {
    pub connection: GuardedConnection,
    pub file: StoreFile,
    pub cache: Arc<StoreCache>,
    /// `None` where there is no shared memory.
    pub index: Option<Arc<WalIndex>>,
    /// How many pages the log had after the last commit. Relaxed: SQLite tells on the thread that commits.
    log_frames: Arc<AtomicU32>,
    clock: Arc<dyn Clock>,
    /// Whether the clock may be believed enough to remove what has expired by it.
    pub clock_watch: ClockWatch,
    limits: LogLimits,
    /// What a commit appends to the log is gathered here. `None` where SQLite writes each frame by itself.
    frames: Option<GatheredFrames>,
    /// Set once a failed sync has left unknown what is on the disk.
    pub stopped: Option<Error>,
    /// The time of the current step. A step sees one time, or its tallies would miss what expires while it
    /// runs.
    pub now: StepTime,
    pub known: Known,
    pub transaction: TransactionChanges,
    pub revision: OpenRevision,
}

/// The value of a change.
pub(super) struct LoggedValue {
    pub value: Value,
    /// Its number, if it is a large one.
    pub large: Option<i64>,
}

/// The bytes of names and value.
fn size_of(event: &Event) -> u64 {
    let key = event.key.as_ref().map_or(0, String::len);
    (event.group.len() + key + event.value.as_ref().map_or(0, Value::len)) as u64
}

/// What the writer knows of the file without reading it.
#[derive(Default)]
pub(super) struct Known {
    /// The end of the log; the revision of the last commit.
    pub log: LogEnd,
    pub tallies: Tallies,
    /// How many commits are not in the log.
    unlogged: u64,
    /// The version of SQLite's definitions of tables and indexes at which larder's own were found complete.
    pub definitions: Option<i64>,
    /// What SQLite changes when another connection commits.
    others_version: Option<i64>,
    /// The word at which all of this is what the file holds. `None` where that is not known.
    current_at: Option<u64>,
}

/// A point in an SQLite transaction to which it can be rolled back.
#[derive(Clone)]
pub(super) struct Savepoint {
    log: LogEnd,
    step: u64,
    added: u64,
    events: usize,
    fresh: usize,
}

impl Writer {
    pub fn new(
        connection: GuardedConnection,
        clock: Arc<dyn Clock>,
        file: StoreFile,
        limits: LogLimits,
        cache: Arc<StoreCache>,
    ) -> Self {
        Self {
            connection,
            file,
            index: cache.word().map(|StoreWord(index)| index),
            cache,
            log_frames: Arc::default(),
            clock_watch: ClockWatch::new(Arc::clone(&clock)),
            clock,
            limits,
            frames: None,
            stopped: None,
            now: StepTime::default(),
            known: Known::default(),
            transaction: TransactionChanges::default(),
            revision: OpenRevision::default(),
        }
    }

    /// Lets SQLite tell how long the log is after each commit. Setting how SQLite checkpoints ends that.
    pub fn learn_of_own_commits(&mut self) -> rusqlite::Result<()> {
        let frames = Arc::clone(&self.log_frames);
        self.connection.after_commit(move |pages| frames.store(pages, Ordering::Relaxed))
    }

    /// Gathers what each commit appends to the log. Only the index keeps the file in WAL mode.
    pub fn gather_frames(&mut self) {
        self.frames = self.index.as_ref().map(|_| GatheredFrames::default());
    }

    /// Takes the write lock of the file, waiting for other processes to release it.
    pub fn begin(&mut self, interest: Interest) -> Result<(), Uncommitted> {
        self.file.wait_for_lock(|| self.connection.held(Held::Begin)?.finish())?;
        if let Some(guard) = &self.file.guard {
            guard.before_write()?;
        }
        let before = self.known.current_at.take();
        let now = self.cache.catch_up_to_write(|after| change_log::news(&self.connection, after))?;
        if now.is_none() || now != before {
            self.known.tallies = Tallies::default();
            self.known.log.read_again(&self.connection)?;
            self.known.unlogged = change_log::unlogged(&self.connection)?;
            self.known.others_version = Some(others_version(&self.connection)?);
            self.mend_schema()?;
        }
        self.known.log.begin();
        self.transaction.begin(interest, now.is_some() && self.cache.is_on());
        self.revision.step = 0;
        Ok(())
    }

    /// Rebuilds the index of expiries if another program has dropped or changed it. Purging needs it, and so do all
    /// counts; while this process holds the write lock it stays.
    fn mend_schema(&mut self) -> rusqlite::Result<()> {
        let version = schema::version_of_definitions(&self.connection)?;
        if self.known.definitions.replace(version) != Some(version)
            && let Some(fault) = expiry_index::fault(&self.connection)?
        {
            let store = &self.file.location;
            report(|| tracing::warn!(store, fault, "rebuilding the index of expiries from the entries"));
            expiry_index::rebuild(&self.connection)?;
            self.known.definitions = Some(schema::version_of_definitions(&self.connection)?);
        }
        Ok(())
    }

    /// Commits everything since `begin`.
    pub fn commit(&mut self) -> Result<(), Uncommitted> {
        let Self { connection, known, transaction, .. } = self;
        known.tallies.write(connection.prepared())?;
        let occasion = if transaction.frees_log { Occasion::Every } else { Occasion::Commit };
        // After a leap of the clock nothing is too old.
        let now_ms = self.clock_watch.may_purge().then_some(self.now.0);
        let has_pruned = limited(|| known.log.prune(connection, &self.limits, occasion, now_ms))?;
        if transaction.added == 0 && (transaction.is_unlogged || has_pruned) {
            change_log::count_unlogged(connection, known.unlogged + 1)?;
            known.unlogged += 1;
        }
        if transaction.added > 0 || transaction.is_unlogged {
            log_link::write_first(connection, self.index.as_deref())?;
        }
        if let Some(guard) = &self.file.guard {
            guard.before_commit(transaction.has_closure)?;
        }
        let committing = self.cache.committing();
        committing.publish_too_early(&transaction.fresh);
        self.log_frames.store(0, Ordering::Relaxed);
        let commit = || connection.held(Held::Commit)?.finish();
        if let Err(error) = self.file.wait_for_lock(|| match &mut self.frames {
            Some(frames) => gathered(frames, connection, commit),
            None => commit(),
        }) {
            drop(committing);
            return Err(Uncommitted::Failed { may_be_there: self.has_unknown_commit(), error });
        }
        let commits = Commits { revision: known.log.revision, unlogged: known.unlogged };
        // A cache that is off keeps nothing, so it misses nothing.
        let is_complete = transaction.has_all_changes() || !self.cache.is_on();
        let frames = self.log_frames.load(Ordering::Relaxed);
        let version = known.others_version;
        let is_last = || version.is_some() && others_version(connection).ok() == version;
        let changes = is_complete.then_some(transaction.fresh.as_slice());
        known.current_at = committing.publish(commits, frames, is_last, changes);
        transaction.fresh.clear();
        if let Some(guard) = &self.file.guard {
            guard.after_commit()?;
        }
        Ok(())
    }

    /// Stops for good, once the guard has stopped the store.
    fn stop(&self) {
        // From now on no read is answered from memory either.
        self.cache.close();
        if let Some(guard) = &self.file.guard {
            guard.clear_away(&self.connection);
        }
    }

    /// Whether a commit lies in the log that no reader sees, and that a crash would bring back.
    fn has_unknown_commit(&self) -> bool {
        let Some(path) = &self.file.path else { return false };
        let Some(end) = self.index.as_ref().and_then(|index| index.end()) else { return true };
        log_tail::has_more(&beside(path, "-wal"), end).unwrap_or_else(|error| {
            tracing::warn!(%error, "the log could not be read after a commit has failed");
            true
        })
    }

    /// Discards everything since `begin`.
    pub fn rollback(&mut self) {
        if self.file.guard.as_ref().is_some_and(|guard| !guard.is_of_this_process()) {
            // The transaction is the parent's.
            return;
        }
        self.revision = OpenRevision::default();
        self.transaction.fresh.clear();
        self.known.tallies = Tallies::default();
        self.known.definitions = None;
        // After some errors SQLite has rolled back by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            report(|| tracing::error!(%error, "a failed transaction could not be rolled back"));
        }
        if self.file.is_stopped() {
            self.stop();
        }
    }

    pub fn savepoint(&mut self) -> rusqlite::Result<Savepoint> {
        // The tallies so far must survive a rollback to the savepoint.
        self.known.tallies.write(self.connection.prepared())?;
        self.execute("SAVEPOINT larder")?;
        Ok(Savepoint {
            log: self.known.log.clone(),
            step: self.revision.step,
            added: self.transaction.added,
            events: self.revision.events.len(),
            fresh: self.transaction.fresh.len(),
        })
    }

    pub fn release(&mut self) -> rusqlite::Result<()> {
        self.execute("RELEASE larder")
    }

    /// Undoes everything since the savepoint.
    pub fn roll_back_to(&mut self, savepoint: Savepoint) -> rusqlite::Result<()> {
        self.execute("ROLLBACK TO larder")?;
        self.release()?;
        self.forget_since(savepoint);
        Ok(())
    }

    fn forget_since(&mut self, savepoint: Savepoint) {
        self.known.log = savepoint.log;
        self.known.tallies = Tallies::default();
        self.revision.step = savepoint.step;
        self.revision.events.truncate(savepoint.events);
        self.transaction.added = savepoint.added;
        self.transaction.fresh.truncate(savepoint.fresh);
    }

    /// Closes the open revision: the next change begins another. `None` where nothing changed.
    pub fn close_revision(&mut self) -> Option<ClosedRevision> {
        let closed = self.revision.close(self.next_revision())?;
        self.known.log.revision = closed.revision;
        Some(closed)
    }

    /// The last closed revision.
    pub fn last_revision(&self) -> Revision {
        self.known.log.revision
    }

    /// The revision of the changes that are made now.
    pub fn next_revision(&self) -> Revision {
        self.known.log.revision.next()
    }

    /// Reads the clock for the next step.
    pub fn tick(&mut self) -> Result<(), Error> {
        self.now = StepTime(clock::try_now_ms(&*self.clock)?);
        Ok(())
    }

    /// Queries that see what the transaction has written so far.
    pub fn queries(&mut self) -> rusqlite::Result<Queries<'_>> {
        self.known.tallies.write(self.connection.prepared())?;
        Ok(Queries { connection: &self.connection, clock: &self.now, has_index: true })
    }

    /// Applies a batch. A single mutation is checked before it writes and needs no savepoint. Several are
    /// applied in order, held against quotas by what they leave behind, and undone together.
    pub fn batch(&mut self, commit: Commit) -> Done<Vec<Outcome>> {
        self.tick()?;
        for requirement in &commit.requirements {
            self.require(requirement)?;
        }
        match <[Mutation; 1]>::try_from(commit.mutations) {
            Ok([mutation]) => {
                let outcome = self.apply(mutation)?;
                Ok(if commit.reply == Reply::Outcomes { vec![outcome] } else { Vec::new() })
            }
            Err(mutations) => self.several(mutations, commit.room),
        }
    }

    fn several(&mut self, mutations: Vec<Mutation>, mut room: Option<Room>) -> Done<Vec<Outcome>> {
        let savepoint = self.savepoint()?;
        self.revision.usage_before = Some(HashMap::new());
        let outcomes = mutations.into_iter().map(|mutation| {
            let outcome = self.apply(mutation)?;
            rules::take_room(&mut room, outcome)?;
            Ok(outcome)
        });
        let outcomes = outcomes.collect::<Done<Vec<_>>>();
        let judged = outcomes.and_then(|outcomes| self.judge().map(|()| outcomes));
        self.revision.usage_before = None;
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

    /// Appends a change to the log, and keeps it for the cache and for those who receive it.
    pub fn log(
        &mut self,
        kind: EventKind,
        group: String,
        key: Option<String>,
        value: Option<LoggedValue>,
        expires_at_ms: Option<i64>,
    ) -> Done<()> {
        let (value, large) = value.map_or((None, None), |logged| (Some(logged.value), logged.large));
        let event = Event {
            revision: self.next_revision(),
            kind,
            group,
            key,
            value,
            expires_at: expires_at_ms.map(clock::time),
            at: self.revision.time(self.now),
        };
        self.known.log.append(self.connection.prepared(), self.revision.step, &event, large)?;
        self.transaction.logged_bytes += size_of(&event);
        if let (EventKind::Set, Some(at_ms)) = (kind, expires_at_ms) {
            self.transaction.expires(at_ms);
        }
        self.revision.step += 1;
        self.transaction.added += 1;
        let wanted = self.revision.wants_event(self.transaction.interest);
        let cached = self.cache.is_on() && self.transaction.has_room();
        if wanted || cached {
            let event = Arc::new(event);
            if cached {
                self.transaction.fresh.push(Arc::clone(&event));
            }
            if wanted {
                self.revision.events.push(event);
            }
        }
        Ok(())
    }

    pub fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.prepare(sql)?.execute([]).map(drop)
    }
}

/// A number that changes when another connection commits, of this process or another. SQLite compares the whole header of
/// the log for it, with the one of the connection's own last commit.
fn others_version(connection: &GuardedConnection) -> rusqlite::Result<i64> {
    let mut version = connection.held(Held::OthersVersion)?;
    version.step()?;
    version.integer(0)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}
