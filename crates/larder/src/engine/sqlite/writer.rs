//! The connection that writes. One thread has it at a time: the leader of the group commit.
//!
//! Its state is split by lifetime: [`Known`] lasts while no other writer commits, [`TransactionChanges`] from
//! `BEGIN` to `COMMIT`, [`OpenRevision`] from one revision to the next.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection};

use super::cache::{Commits, StoreCache};
use super::change_log::{self, Bounds, Tail, Totals};
use super::open_revision::{ClosedRevision, OpenRevision, StepTime};
use super::queries::Queries;
use super::store_file::StoreFile;
use super::tallies::Tallies;
use super::transaction_changes::TransactionChanges;
use crate::data::{Clock, Error, Event, EventKind, Revision, Value, clock};
use crate::engine::{Commit, Interest, Mutation, Outcome, Reply};

/// Why something was not written.
pub(super) enum Trouble {
    /// The request cannot be carried out. Other requests of the same SQLite transaction still can.
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

pub(super) type Done<T> = Result<T, Trouble>;

/// Applies mutations.
pub(super) struct Writer {
    pub connection: Connection,
    pub file: StoreFile,
    pub cache: Arc<StoreCache>,
    clock: Arc<dyn Clock>,
    bounds: Bounds,
    /// Set once a failed sync has left unknown what is on the disk.
    pub stopped: Option<Error>,
    /// The time of the current step. A step sees one time, or its tallies would miss what expires while it
    /// runs.
    pub now: StepTime,
    pub known: Known,
    pub transaction: TransactionChanges,
    pub revision: OpenRevision,
}

/// What the writer knows of the file without reading it.
#[derive(Default)]
pub(super) struct Known {
    /// The end of the log; the revision of the last commit.
    pub tail: Tail,
    /// A row of the log that was the first once. The first row may come later by now.
    oldest: Totals,
    pub tallies: Tallies,
    /// How many commits are not in the log.
    unlogged: u64,
    /// The word at which all of this is what the file holds. `None` where that is not known.
    current_at: Option<u64>,
}

/// A point in an SQLite transaction to which it can be rolled back.
pub(super) struct Savepoint {
    tail: Tail,
    step: u64,
    added: u64,
    events: usize,
    fresh: usize,
}

impl Writer {
    pub fn new(
        connection: Connection,
        clock: Arc<dyn Clock>,
        file: StoreFile,
        bounds: Bounds,
        cache: Arc<StoreCache>,
    ) -> Self {
        Self {
            connection,
            file,
            cache,
            clock,
            bounds,
            stopped: None,
            now: StepTime::default(),
            known: Known::default(),
            transaction: TransactionChanges::default(),
            revision: OpenRevision::default(),
        }
    }

    /// Takes the write lock of the file, waiting for other processes to release it.
    pub fn begin(&mut self, interest: Interest) -> rusqlite::Result<()> {
        self.file.wait_for_lock(|| self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]))?;
        let before = self.known.current_at.take();
        let now = self.cache.catch_up_to_write(|after| change_log::news(&self.connection, after))?;
        if now.is_none() || now != before {
            self.known.tallies = Tallies::default();
            self.known.tail = Tail::read(&self.connection)?;
            self.known.unlogged = change_log::unlogged(&self.connection)?;
        }
        self.transaction.begin(interest, now.is_some() && self.cache.is_on());
        self.revision.step = 0;
        Ok(())
    }

    /// Commits everything since `begin`.
    pub fn commit(&mut self) -> rusqlite::Result<()> {
        let Self { connection, known, transaction, .. } = self;
        known.tallies.write(connection)?;
        if transaction.added > 0 {
            known.tail.prune(connection, self.bounds, transaction.added, &mut known.oldest)?;
        } else if transaction.is_unlogged {
            change_log::count_unlogged(connection, known.unlogged + 1)?;
            known.unlogged += 1;
        }
        let committing = self.cache.committing();
        self.file.wait_for_lock(|| connection.prepare_cached("COMMIT")?.execute([]).map(drop))?;
        let commits = Commits { revision: known.tail.revision, unlogged: known.unlogged };
        // A cache that is off keeps nothing, so it misses nothing.
        let is_complete = transaction.has_all_changes() || !self.cache.is_on();
        known.current_at = committing.publish(commits, is_complete.then_some(&transaction.fresh));
        transaction.fresh.clear();
        Ok(())
    }

    /// Discards everything since `begin`.
    pub fn rollback(&mut self) {
        self.revision = OpenRevision::default();
        self.transaction.fresh.clear();
        self.known.tallies = Tallies::default();
        // After some errors SQLite has rolled back by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
    }

    pub fn savepoint(&mut self) -> rusqlite::Result<Savepoint> {
        // The tallies so far must survive a rollback to the savepoint.
        self.known.tallies.write(&self.connection)?;
        self.execute("SAVEPOINT larder")?;
        Ok(Savepoint {
            tail: self.known.tail,
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
        self.known.tail = savepoint.tail;
        self.known.tallies = Tallies::default();
        self.revision.step = savepoint.step;
        self.revision.events.truncate(savepoint.events);
        self.transaction.added = savepoint.added;
        self.transaction.fresh.truncate(savepoint.fresh);
        Ok(())
    }

    /// Closes the open revision: the next change begins another. `None` where nothing changed.
    pub fn close_revision(&mut self) -> Option<ClosedRevision> {
        let closed = self.revision.close(self.next_revision())?;
        self.known.tail.revision = closed.revision;
        Some(closed)
    }

    /// The last closed revision.
    pub fn last_revision(&self) -> Revision {
        self.known.tail.revision
    }

    /// The revision of the changes that are made now.
    pub fn next_revision(&self) -> Revision {
        self.known.tail.revision.next()
    }

    /// Reads the clock for the next step.
    pub fn tick(&mut self) {
        self.now = StepTime(clock::now_ms(&*self.clock));
    }

    /// Queries that see what the transaction has written so far.
    pub fn queries(&mut self) -> rusqlite::Result<Queries<'_>> {
        self.known.tallies.write(&self.connection)?;
        Ok(Queries { connection: &self.connection, clock: &self.now })
    }

    /// Applies a batch. A single mutation is checked before it writes and needs no savepoint. Several are
    /// applied in order, held against quotas by what they leave behind, and undone together.
    pub fn batch(&mut self, commit: Commit) -> Done<Vec<Outcome>> {
        self.tick();
        for requirement in &commit.requirements {
            self.require(requirement)?;
        }
        match <[Mutation; 1]>::try_from(commit.mutations) {
            Ok([mutation]) => {
                let outcome = self.apply(mutation)?;
                Ok(if commit.reply == Reply::Outcomes { vec![outcome] } else { Vec::new() })
            }
            Err(mutations) => self.several(mutations),
        }
    }

    fn several(&mut self, mutations: Vec<Mutation>) -> Done<Vec<Outcome>> {
        let savepoint = self.savepoint()?;
        self.revision.usage_before = Some(HashMap::new());
        let outcomes = mutations.into_iter().map(|mutation| self.apply(mutation)).collect::<Done<_>>();
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
        value: Option<Value>,
        expires_at_ms: Option<i64>,
    ) -> Done<()> {
        let event = Event {
            revision: self.next_revision(),
            kind,
            group,
            key,
            value,
            expires_at: expires_at_ms.map(clock::time),
            at: self.revision.time(self.now),
        };
        self.known.tail.append(&self.connection, self.revision.step, &event)?;
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
