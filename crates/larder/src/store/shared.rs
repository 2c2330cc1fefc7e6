//! What all handles of one store share, and how the last one closes it.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::audience::Audience;
use super::expiry::{ExpiryTimer, PURGE_MAX};
use super::nesting::Nesting;
#[cfg(feature = "tokio")]
use super::offload::{self, Offload};
use crate::data::clock::{self, now_ms};
use crate::data::{Clock, Error, LogPosition, Result, Revision, Since};
use crate::delivery::Registry;
use crate::engine::{Body, Commit, Committed, Engine, Mutation, Outcome, Read, Reply};
use crate::rules::Limits;

/// What all handles of one store share.
pub(crate) struct Shared {
    engine: Box<dyn Engine>,
    /// What tells the store from every other: made with it, at random, and copied with its file.
    pub identity: Arc<str>,
    pub registry: Arc<Registry>,
    pub clock: Arc<dyn Clock>,
    limits: Limits,
    /// Removes what has expired; `None` where the store is read-only or the caller does it.
    timer: Option<ExpiryTimer>,
    closed: AtomicBool,
    /// Held while the engine is told whether to listen, so that the last one who tells it is right.
    listening: Mutex<()>,
    #[cfg(feature = "tokio")]
    pub offload: Offload,
    /// Whether there is an `AsyncStore`, so that handles and watchers may be dropped on an executor's thread.
    /// Relaxed: it guards no data.
    #[cfg(feature = "tokio")]
    is_awaited: AtomicBool,
}

impl Shared {
    pub fn open(
        engine: Box<dyn Engine>,
        identity: Arc<str>,
        audience: Arc<Audience>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Open {
        let shared = Arc::new(Self {
            engine,
            identity,
            registry: Arc::clone(&audience.registry),
            clock,
            limits,
            timer: audience.alarm.clone().map(ExpiryTimer::new),
            closed: AtomicBool::new(false),
            listening: Mutex::default(),
            #[cfg(feature = "tokio")]
            offload: Offload::default(),
            #[cfg(feature = "tokio")]
            is_awaited: AtomicBool::new(false),
        });
        if let Some(timer) = &shared.timer {
            // Weak: the timer keeps the store open only while it works.
            let store = Arc::downgrade(&shared);
            let purge = move || Some(store.upgrade()?.purge_due());
            timer.start(Arc::clone(&shared.clock), Box::new(purge));
        }
        Open(shared)
    }

    /// Removes what has expired, and returns when the next entry does, in Unix milliseconds.
    fn purge_due(&self) -> Result<Option<i64>> {
        loop {
            let next_ms = self.engine()?.next_expiry_ms().wait()?;
            if next_ms.is_none_or(|next_ms| next_ms > now_ms(&*self.clock)) {
                return Ok(next_ms);
            }
            self.apply(Mutation::Purge { prefix: String::new(), max: PURGE_MAX })?;
        }
    }

    /// Refuses a call on a store that is closed.
    pub fn check_open(&self) -> Result<()> {
        // Relaxed: it guards no data. A call that races with `close` may come before or after it,
        // and the engine refuses what comes too late.
        if self.closed.load(Ordering::Relaxed) { Err(Error::Closed) } else { Ok(()) }
    }

    /// What tells this store from the others that this process has open.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The engine, for a caller who may use it now.
    pub fn engine(&self) -> Result<&dyn Engine> {
        self.check_open()?;
        Nesting::check(self.address())?;
        Ok(&*self.engine)
    }

    /// A place that the log reaches, to watch from.
    pub fn place_to_watch_from(&self, since: Since) -> Result<LogPosition> {
        let engine = self.engine()?;
        let place = since.place_in(&self.identity)?;
        let latest = engine.revision().wait()?;
        if place.revision > latest {
            return Err(Error::FutureRevision { asked: place.revision, latest });
        }
        // Fails here, rather than at the first event, where the log does not reach so far.
        engine.changes(place, 1).wait()?;
        Ok(place)
    }

    /// Tells the engine whether there is anybody to hear of what others commit.
    pub fn listen(&self) -> Result<()> {
        let _listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.engine.listen(self.registry.has_watchers())
    }

    /// The engine's reading side, for a caller who may use it now.
    pub fn reader(&self) -> Result<&dyn Read> {
        Ok(self.engine()?)
    }

    /// Commits, and runs the callbacks for what changed on the caller's own thread.
    pub fn commit(&self, commit: Commit) -> Result<Committed> {
        self.limits.check(&commit)?;
        let depth = self.registry.callback_depth()?;
        let committed = self.engine()?.commit(commit).wait()?;
        self.registry.call_back(&committed.events, depth);
        Ok(committed)
    }

    /// Commits without holding up the thread that awaits it. Where there are callbacks they are run on
    /// another, whether or not anybody awaits it still.
    #[cfg(feature = "tokio")]
    pub async fn commit_later(self: &Arc<Self>, commit: Commit) -> Result<Committed> {
        self.limits.check(&commit)?;
        let depth = self.registry.callback_depth()?;
        let answer = self.engine()?.commit(commit);
        if !self.registry.has_callbacks() {
            return answer.await;
        }
        let runtime = offload::runtime()?;
        let shared = Arc::clone(self);
        let committing = async move {
            let committed = answer.await?;
            offload::run(move || {
                shared.registry.call_back(&committed.events, depth);
                Ok(committed)
            })
            .await
        };
        offload::joined(runtime.spawn(committing).await)
    }

    /// From now on, there is an `AsyncStore`.
    #[cfg(feature = "tokio")]
    pub fn be_awaited(&self) {
        self.is_awaited.store(true, Ordering::Relaxed);
    }

    /// Does what is left to do when something is dropped: at once, or, where that may be on a thread of an
    /// executor, on another.
    fn wind_up(self: &Arc<Self>, act: impl FnOnce(&Self) + Send + 'static) {
        #[cfg(feature = "tokio")]
        if self.is_awaited.load(Ordering::Relaxed) {
            let shared = Arc::clone(self);
            return offload::see_to(move || act(&shared));
        }
        act(self);
    }

    /// A watcher is gone.
    pub fn lose_watcher(self: &Arc<Self>) {
        self.wind_up(|shared| {
            if let Err(error) = shared.listen() {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the engine goes on listening for nobody");
            }
        });
    }

    /// Commits one mutation, and returns what it did.
    pub fn apply(&self, mutation: Mutation) -> Result<Outcome> {
        let commit = Commit { reply: Reply::Outcomes, ..mutation.into() };
        Ok(self.commit(commit)?.outcome())
    }

    /// Runs a transaction, and the callbacks for what it changed.
    pub fn transact(&self, body: &mut Body<'_>) -> Result<Revision> {
        let depth = self.registry.callback_depth()?;
        let committed = self.engine()?.transact(&mut |transaction| {
            let _nesting = Nesting::enter(self.address());
            body(transaction)
        })?;
        self.registry.call_back(&committed.events, depth);
        Ok(committed.revision)
    }

    /// When something set now with this TTL expires.
    pub fn expiry_ms(&self, ttl: Duration) -> Result<Option<i64>> {
        if ttl.is_zero() {
            return Err(Error::InvalidTtl);
        }
        Ok(clock::expiry_ms(&*self.clock, ttl))
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn close(&self) -> Result<()> {
        Nesting::check(self.address())?;
        // AcqRel: only the first call closes, and it sees all that was done before.
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if let Some(timer) = &self.timer {
            timer.stop();
        }
        self.registry.close();
        // Nobody starts to listen any more.
        let _listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        self.engine.close()
    }
}

/// What keeps a store open: every handle has a part in it, and the last to go closes the store, before
/// its drop returns. The timer and the watchers have [`Shared`] alone, for a moment at a time, so that
/// the last part is never theirs.
pub(crate) struct Open(pub Arc<Shared>);

impl Deref for Open {
    type Target = Arc<Shared>;

    fn deref(&self) -> &Arc<Shared> {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.wind_up(|shared| {
            if let Err(error) = shared.close() {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the store could not be closed cleanly");
            }
        });
    }
}
