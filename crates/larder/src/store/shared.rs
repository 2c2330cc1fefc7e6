//! What all handles of one store share, and how the last one closes it.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::audience::Audience;
use super::expiry::ExpiryTimer;
use super::nesting::Nesting;
use super::offload::Offload;
use crate::data::{Clock, Error, LogPosition, Result, Since, clock, locked};
use crate::delivery::Registry;
use crate::engine::{Engine, Read};
use crate::rules::Limits;

/// What all handles of one store share.
pub(crate) struct Shared {
    engine: Box<dyn Engine>,
    /// What tells the store from every other: made with it, at random, and copied with its file.
    pub identity: Arc<str>,
    pub registry: Arc<Registry>,
    pub clock: Arc<dyn Clock>,
    limits: Limits,
    /// Removes expired entries. `None` if the store is read-only or the program purges by itself.
    timer: Option<ExpiryTimer>,
    closed: AtomicBool,
    /// Held while the engine is told whether to listen, so that the last call decides.
    listening: Mutex<()>,
    pub offload: Offload,
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
            offload: Offload::default(),
        });
        if let Some(timer) = &shared.timer {
            // Weak: the timer keeps the store open only while it works.
            let store = Arc::downgrade(&shared);
            let purge = move || Some(store.upgrade()?.purge_due());
            timer.start(Arc::clone(&shared.clock), Box::new(purge));
        }
        Open(shared)
    }

    /// Fails if the store is closed.
    pub fn check_open(&self) -> Result<()> {
        // Relaxed: it guards no data. A call that races with `close` may come before or after it, and the engine
        // refuses calls after its own `close`.
        if self.closed.load(Ordering::Relaxed) { Err(Error::Closed) } else { Ok(()) }
    }

    /// Tells this store from the others that this process has open.
    pub fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Returns the engine, unless the store is closed or the caller is inside its transaction.
    pub fn engine(&self) -> Result<&dyn Engine> {
        self.check_open()?;
        Nesting::check(self.address())?;
        Ok(&*self.engine)
    }

    /// Returns the reading side of the engine, as [`engine`](Self::engine) does.
    pub fn reader(&self) -> Result<&dyn Read> {
        Ok(self.engine()?)
    }

    /// Returns the position to watch from, if the change log reaches back that far.
    pub fn watch_position(&self, since: Since) -> Result<LogPosition> {
        let engine = self.engine()?;
        let position = since.place_in(&self.identity)?;
        let latest = engine.revision().wait()?;
        if position.revision > latest {
            return Err(Error::FutureRevision { asked: position.revision, latest });
        }
        // Fails here, rather than at the first event, if the log does not reach back so far.
        engine.changes(position, 1).wait()?;
        Ok(position)
    }

    /// Tells the engine whether to watch for commits of other processes.
    pub fn listen(&self) -> Result<()> {
        let _listening = locked(&self.listening);
        if self.closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.engine.listen(self.registry.has_watchers())
    }

    /// Does what is left to do when a handle or a watcher is dropped.
    fn wind_up(self: &Arc<Self>, act: impl FnOnce(&Self) + Send + 'static) {
        let shared = Arc::clone(self);
        self.offload.wind_up(move || act(&shared));
    }

    /// Notes that a watcher was dropped.
    pub fn lose_watcher(self: &Arc<Self>) {
        self.wind_up(|shared| {
            if let Err(error) = shared.listen() {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "the engine goes on listening without a watcher");
            }
        });
    }

    /// Returns when an entry set now with this TTL expires.
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
        // From here on nobody starts to listen.
        let _listening = locked(&self.listening);
        self.engine.close()
    }
}

/// Keeps a store open. Every handle shares it, and dropping the last one closes the store. The timer and the
/// watchers hold only [`Shared`], and only while they work, so they never keep the store open.
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
