//! The connections that read a file: which are idle, since when the others read, and which keep a read transaction.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::guard::GuardedConnection;
use super::kept_reads::{Moment, Rule};
use super::reader::Reader;
use super::wal_index::WalIndex;
use crate::data::{Error, Result, locked, report, unpoisoned};
use crate::engine::sabotage::{Sabotage, is_planted};

/// How many idle connections are kept open.
const IDLE_MAX: usize = 16;

/// How long a read transaction is kept that nobody uses.
const KEPT_MAX: Duration = Duration::from_millis(50);

/// The connections of one store that read.
pub(super) struct ReaderPool {
    state: Mutex<State>,
    /// The gate was opened, or the last reader has gone.
    changed: Condvar,
    /// For the thread that ends kept transactions: the first one is kept, or the pool is closed.
    kept: Condvar,
}

#[derive(Default)]
struct State {
    /// `None` where there is no shared memory, and once the pool is closed: then no transaction is kept.
    index: Option<Arc<WalIndex>>,
    rule: Rule,
    idle: Vec<Reader>,
    /// When each of those that read has begun; the place of one that has ended is `None`.
    began: Vec<Option<Instant>>,
    /// New readers wait until then: a checkpoint waits for those that read.
    gate: Option<Instant>,
    closed: bool,
    /// How many of those that read do so in a transaction that was kept.
    kept_lent: usize,
    ending: Ending,
}

/// The thread that ends transactions that were kept too long.
#[derive(Default)]
enum Ending {
    /// None was kept so far.
    #[default]
    Unborn,
    Running {
        thread: JoinHandle<()>,
        /// It waits, without an end, for the first transaction that is kept.
        sleeps: bool,
    },
    /// There is no thread, so none is kept.
    Impossible,
}

impl State {
    fn now(&self) -> Option<Moment> {
        self.index.as_deref().map(Moment::now)
    }

    fn keeps(&mut self, now: Moment) -> bool {
        self.index.as_deref().is_some_and(|index| self.rule.keeps(now, index))
    }

    /// Notes that somebody reads, and where.
    fn begin(&mut self, now: Instant) -> usize {
        let free = self.began.iter().position(Option::is_none);
        let place = free.unwrap_or_else(|| {
            self.began.push(None);
            self.began.len() - 1
        });
        self.began[place] = Some(now);
        place
    }

    fn is_idle(&self) -> bool {
        self.began.iter().all(Option::is_none)
    }

    /// Takes the idle connections that have kept a transaction since `before` or longer.
    fn take_kept(&mut self, before: Instant) -> Vec<Reader> {
        let is_due = |reader: &mut Reader| reader.kept_at().is_some() && reader.lent_at <= before;
        self.idle.extract_if(.., is_due).collect()
    }

    /// Gives back a connection; returns one that there is no room for.
    fn give_back(&mut self, reader: Reader) -> Option<Reader> {
        if self.closed || self.idle.len() >= IDLE_MAX {
            return Some(reader);
        }
        self.idle.push(reader);
        None
    }
}

/// What a connection is lent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A read of one moment, whose transaction may be kept.
    Read,
    /// Anything else, outside of a transaction.
    Other,
}

impl ReaderPool {
    /// A pool without connections yet.
    pub fn new(index: Option<Arc<WalIndex>>) -> Self {
        let state = Mutex::new(State { index, ..State::default() });
        Self { state, changed: Condvar::new(), kept: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Lends a connection: one that is kept at the present, or any other idle one, or one that `open` makes.
    pub fn lend(
        self: &Arc<Self>,
        wanted: Use,
        open: impl FnOnce() -> Result<GuardedConnection>,
    ) -> Result<Lent> {
        let mut state = self.lock();
        while let Some(until) = state.gate
            && let Some(wait) = until.checked_duration_since(Instant::now())
            && !wait.is_zero()
        {
            state = unpoisoned(self.changed.wait_timeout(state, wait)).0;
        }
        if state.closed {
            return Err(Error::Closed);
        }
        let at = if wanted == Use::Read { state.now() } else { None };
        let fits = |reader: &Reader| reader.kept_at() == at;
        let fitting = state.idle.iter().rposition(fits).or(state.idle.len().checked_sub(1));
        let mut idle = fitting.map(|index| state.idle.swap_remove(index));
        let was_kept = idle.as_ref().is_some_and(|reader| reader.kept_at().is_some());
        let is_past =
            was_kept && !idle.as_ref().is_some_and(fits) && !is_planted(Sabotage::KeptReadUnchecked);
        let may_be_kept_at = if was_kept && !is_past { None } else { at.filter(|at| state.keeps(*at)) };
        let now = Instant::now();
        state.kept_lent += usize::from(was_kept);
        let place = state.begin(now);
        drop(state);
        if let Some(reader) = &mut idle {
            reader.lent_at = now;
            if is_past && reader.leave().is_err() {
                idle = None;
            }
        }
        let mut lent =
            Lent { pool: Arc::clone(self), place, reader: idle, was_kept, may_be_kept_at, is_sound: true };
        if lent.reader.is_none() {
            lent.reader = Some(Reader::new(open()?));
        }
        Ok(lent)
    }

    /// What tells the moment of a read; `None` where none is kept.
    pub fn index(&self) -> Option<Arc<WalIndex>> {
        self.lock().index.clone()
    }

    /// Keeps a connection for the next reader, or closes it.
    pub fn put_back(&self, connection: GuardedConnection) {
        let closing = self.lock().give_back(Reader::new(connection));
        drop(closing);
    }

    /// Whether the thread is there that ends what is kept.
    pub fn has_thread(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        match state.ending {
            Ending::Running { .. } => true,
            Ending::Impossible => false,
            Ending::Unborn if state.closed => false,
            Ending::Unborn => {
                let pool = Arc::clone(self);
                let thread = thread::Builder::new().name("larder-reads".into());
                match thread.spawn(move || pool.end_kept_in_time()) {
                    Ok(thread) => {
                        state.ending = Ending::Running { thread, sleeps: false };
                        true
                    }
                    Err(error) => {
                        report(
                            || tracing::warn!(%error, "no thread that ends reads; each read ends its own"),
                        );
                        state.ending = Ending::Impossible;
                        false
                    }
                }
            }
        }
    }

    /// Ends the transactions that are kept and not in use.
    pub fn end_kept(&self) {
        let kept = self.lock().take_kept(Instant::now());
        self.end_all(kept);
    }

    fn end_all(&self, kept: Vec<Reader>) {
        for mut reader in kept {
            // One that cannot be ended is closed, which ends it.
            let closing = match reader.leave() {
                Ok(()) => self.lock().give_back(reader),
                Err(_) => Some(reader),
            };
            drop(closing);
        }
    }

    /// Ends each transaction once it was kept for as long as it may be, until the pool is closed.
    fn end_kept_in_time(&self) {
        let mut state = self.lock();
        while !state.closed {
            let now = Instant::now();
            let kept = state.idle.iter().filter(|reader| reader.kept_at().is_some());
            let oldest = kept.map(|reader| reader.lent_at).min();
            let is_lent = state.kept_lent > 0;
            match oldest
                .or(is_lent.then_some(now))
                .map(|since| KEPT_MAX.saturating_sub(now.duration_since(since)))
            {
                Some(Duration::ZERO) => {
                    let before = now.checked_sub(KEPT_MAX).unwrap_or(now);
                    let kept = state.take_kept(before);
                    drop(state);
                    self.end_all(kept);
                    state = self.lock();
                }
                Some(rest) => state = unpoisoned(self.kept.wait_timeout(state, rest)).0,
                None => {
                    if let Ending::Running { sleeps, .. } = &mut state.ending {
                        *sleeps = true;
                    }
                    state = unpoisoned(self.kept.wait(state));
                }
            }
        }
    }

    /// When the oldest of those that read now has begun.
    pub fn oldest(&self) -> Option<Instant> {
        self.lock().began.iter().copied().flatten().min()
    }

    /// Holds new readers back, and waits for those that read to end: together no longer than `wait`.
    pub fn hold(&self, wait: Duration) -> Gate<'_> {
        let until = Instant::now() + wait;
        self.lock().gate = Some(until);
        self.end_kept();
        let state = self.lock();
        let reads = |state: &mut State| !state.is_idle();
        let (state, _) = unpoisoned(self.changed.wait_timeout_while(state, wait, reads));
        Gate { pool: self, is_empty: state.is_idle() }
    }

    /// Closes what is idle, and what will be.
    pub fn close(&self) {
        let (idle, index, ending) = {
            let mut state = self.lock();
            state.closed = true;
            let ending = std::mem::replace(&mut state.ending, Ending::Impossible);
            (std::mem::take(&mut state.idle), state.index.take(), ending)
        };
        drop((idle, index));
        self.changed.notify_all();
        self.kept.notify_all();
        if let Ending::Running { thread, .. } = ending {
            let _ = thread.join();
        }
    }
}

/// While it is alive, new readers wait; but not for ever.
pub(super) struct Gate<'a> {
    pool: &'a ReaderPool,
    /// Whether nobody of this store reads.
    pub is_empty: bool,
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        self.pool.lock().gate = None;
        self.pool.changed.notify_all();
    }
}

/// A connection that is lent to one reader.
pub(super) struct Lent {
    pool: Arc<ReaderPool>,
    place: usize,
    /// `None` only until it is open, and while this is dropped.
    reader: Option<Reader>,
    /// Whether it was in a kept transaction when it was lent.
    was_kept: bool,
    /// Where its transaction may be kept, if it begins one.
    pub may_be_kept_at: Option<Moment>,
    /// Whether the next reader may have the connection.
    is_sound: bool,
}

impl Lent {
    /// Closes the connection when the reader returns it.
    pub fn discard(&mut self) {
        self.is_sound = false;
    }
}

impl Deref for Lent {
    type Target = Reader;

    #[expect(clippy::expect_used, reason = "`lend` returns none without one")]
    fn deref(&self) -> &Reader {
        self.reader.as_ref().expect("a lent connection is open")
    }
}

impl DerefMut for Lent {
    #[expect(clippy::expect_used, reason = "as above")]
    fn deref_mut(&mut self) -> &mut Reader {
        self.reader.as_mut().expect("a lent connection is open")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // A reader that panicked may have left a statement or a transaction open.
        let reusable = self.is_sound && !thread::panicking();
        let mut reader = self.reader.take();
        let mut state = self.pool.lock();
        if state.gate.is_some()
            && let Some(kept) = reader.as_mut().filter(|reader| reader.kept_at().is_some())
        {
            // A checkpoint waits for all transactions to end.
            drop(state);
            if kept.leave().is_err() {
                reader = None;
            }
            state = self.pool.lock();
        }
        if let Some(place) = state.began.get_mut(self.place) {
            *place = None;
        }
        state.kept_lent -= usize::from(self.was_kept);
        let is_kept = reader.as_ref().is_some_and(|reader| reader.kept_at().is_some());
        let closing = match reader {
            Some(reader) if reusable => state.give_back(reader),
            reader => reader,
        };
        let is_awaited = state.gate.is_some();
        let wakes = match &mut state.ending {
            Ending::Running { sleeps, .. } if is_kept => std::mem::take(sleeps),
            _ => false,
        };
        drop(state);
        // Without the lock, and before the checkpoint that waits is woken: until it is closed, it may still read.
        drop(closing);
        if is_awaited {
            self.pool.changed.notify_all();
        }
        if wakes {
            self.pool.kept.notify_all();
        }
    }
}
