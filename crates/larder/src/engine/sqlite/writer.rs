//! The connection that writes, and what each mutation does through it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{CachedStatement, Connection};

use super::cache::{Commits, StoreCache};
use super::change_log::{self, Bounds, Tail, Totals};
use super::failure::Place;
use super::reading::Reading;
use super::tallies::Tallies;
use super::touched::Touched;
use crate::data::{Clock, Error, Event, EventKind, Revision, Usage, Value, clock};
use crate::engine::{Commit, Interest, Mutation, Outcome, Reply};

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

pub(super) type Done<T> = Result<T, Trouble>;

/// Applies mutations. One thread has it at a time: the leader of the group commit.
pub(super) struct Writer {
    pub connection: Connection,
    pub(super) clock: Arc<dyn Clock>,
    /// The time at which the open step is made: one step sees one time, or its tallies would be off by
    /// what expires in between.
    pub(super) moment: Moment,
    pub place: Place,
    pub(super) bounds: Bounds,
    /// The end of the log; the revision of the last commit.
    pub(super) tail: Tail,
    /// The first row of the log, as far as is known: it may be gone by now.
    pub(super) oldest: Totals,
    pub(super) tallies: Tallies,
    /// The word at which `tail` and `tallies` are what the file has. `None` where that is not known.
    current_at: Option<u64>,
    pub(super) cache: Arc<StoreCache>,
    pub(super) touched: Touched,
    /// What the SQLite transaction has changed, for the cache.
    fresh: Vec<Arc<Event>>,
    /// How many changes the open revision has so far.
    pub(super) step: u64,
    /// When the first of them was made: the time of all of them.
    at: SystemTime,
    /// How many the SQLite transaction has.
    pub(super) added: u64,
    /// The soonest expiry that was set in it, in Unix milliseconds.
    pub(super) soonest_ms: Option<i64>,
    /// How many commits are not in the log; as long as `tail` is known, so is this.
    unlogged: u64,
    /// Whether the SQLite transaction has written something that the log does not tell of.
    pub(super) writes_unlogged: bool,
    /// The open revision's events, as far as `interest` wants them.
    pub(super) events: Vec<Arc<Event>>,
    pub(super) interest: Interest,
    /// What namespaces with a quota held before the open batch, where the batch is judged by what it
    /// leaves behind. `None` where each mutation is judged by itself.
    pub(super) before: Option<HashMap<String, Usage>>,
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
    step: u64,
    added: u64,
    events: usize,
    fresh: usize,
}

impl Writer {
    pub fn new(
        connection: Connection,
        clock: Arc<dyn Clock>,
        place: Place,
        bounds: Bounds,
        cache: Arc<StoreCache>,
    ) -> Self {
        Self {
            connection,
            clock,
            moment: Moment(0),
            place,
            bounds,
            tail: Tail::default(),
            oldest: Totals::default(),
            tallies: Tallies::default(),
            current_at: None,
            cache,
            touched: Touched::default(),
            fresh: Vec::new(),
            step: 0,
            at: SystemTime::UNIX_EPOCH,
            added: 0,
            soonest_ms: None,
            unlogged: 0,
            writes_unlogged: false,
            events: Vec::new(),
            interest: Interest::None,
            before: None,
            stopped: None,
        }
    }

    /// Takes the write lock of the file, waiting for other processes to let go of it.
    pub fn begin(&mut self, interest: Interest) -> rusqlite::Result<()> {
        self.place.patiently(|| self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]))?;
        (self.step, self.added, self.soonest_ms) = (0, 0, None);
        self.writes_unlogged = false;
        self.interest = interest;
        self.fresh.clear();
        let before = self.current_at.take();
        let now = self.cache.settle(|after| change_log::news(&self.connection, after))?;
        if now.is_none() || now != before {
            self.tallies = Tallies::default();
            self.tail = Tail::read(&self.connection)?;
            self.unlogged = change_log::unlogged(&self.connection)?;
        }
        self.touched.begin(now.is_some() && self.cache.is_on());
        Ok(())
    }

    /// Puts everything since `begin` on the disk.
    pub fn commit(&mut self) -> rusqlite::Result<()> {
        self.tallies.write(&self.connection)?;
        if self.added > 0 {
            self.tail.prune(&self.connection, self.bounds, self.added, &mut self.oldest)?;
        } else if self.writes_unlogged {
            change_log::count_unlogged(&self.connection, self.unlogged + 1)?;
            self.unlogged += 1;
        }
        let committing = self.cache.committing();
        self.place.patiently(|| self.connection.prepare_cached("COMMIT")?.execute([]).map(drop))?;
        let all = self.fresh.len() as u64 == self.added || !self.cache.is_on();
        let commits = Commits { revision: self.tail.revision, unlogged: self.unlogged };
        self.current_at = committing.publish(commits, all.then_some(&self.fresh));
        self.fresh.clear();
        Ok(())
    }

    /// Forgets everything since `begin`.
    pub fn rollback(&mut self) {
        self.events.clear();
        self.fresh.clear();
        self.before = None;
        self.tallies = Tallies::default();
        // After some errors SQLite has rolled back by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
    }

    pub fn savepoint(&mut self) -> rusqlite::Result<Savepoint> {
        // What was counted before has to outlive what is undone.
        self.tallies.write(&self.connection)?;
        self.execute("SAVEPOINT larder")?;
        let (tail, step, added) = (self.tail, self.step, self.added);
        Ok(Savepoint { tail, step, added, events: self.events.len(), fresh: self.fresh.len() })
    }

    pub fn release(&mut self) -> rusqlite::Result<()> {
        self.execute("RELEASE larder")
    }

    /// Undoes everything since the savepoint.
    pub fn roll_back_to(&mut self, savepoint: Savepoint) -> rusqlite::Result<()> {
        self.execute("ROLLBACK TO larder")?;
        self.release()?;
        self.tail = savepoint.tail;
        self.tallies = Tallies::default();
        self.step = savepoint.step;
        self.added = savepoint.added;
        self.events.truncate(savepoint.events);
        self.fresh.truncate(savepoint.fresh);
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

    pub(super) fn log(
        &mut self,
        kind: EventKind,
        group: String,
        key: Option<String>,
        value: Option<Value>,
        expires_at_ms: Option<i64>,
    ) -> Done<()> {
        if self.step == 0 {
            self.at = self.moment.now();
        }
        if let (EventKind::Set, Some(at_ms)) = (kind, expires_at_ms) {
            self.soonest_ms = Some(self.soonest_ms.map_or(at_ms, |soonest| soonest.min(at_ms)));
        }
        let event = Event {
            revision: self.tail.revision.next(),
            kind,
            group,
            key,
            value,
            expires_at: expires_at_ms.map(clock::time),
            at: self.at,
        };
        self.tail.append(&self.connection, self.step, &event)?;
        self.step += 1;
        self.added += 1;
        let wanted = match self.interest {
            Interest::None => false,
            Interest::Some => self.events.len() < EVENTS_MAX,
            Interest::Every => true,
        };
        let cached = self.cache.is_on() && self.fresh.len() < EVENTS_MAX;
        if wanted || cached {
            let event = Arc::new(event);
            if cached {
                self.fresh.push(Arc::clone(&event));
            }
            if wanted {
                self.events.push(event);
            }
        }
        Ok(())
    }

    pub(super) fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.prepare(sql)?.execute([]).map(drop)
    }
}

/// A clock that shows the time of one step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(pub i64);

impl Clock for Moment {
    fn now(&self) -> SystemTime {
        clock::time(self.0)
    }
}
