//! What all handles of one store share, and how the last one closes it.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::audience::Audience;
use super::expiry::ExpiryTimer;
use super::nesting::Nesting;
use super::offload::Offload;
use super::running_copies::RunningCopies;
use super::scope::Scope;
use crate::data::{Clock, Error, LogPosition, Pattern, Result, Since, clock, locked, report};
use crate::delivery::Registry;
use crate::engine::{Duty, Engine, LogRead, OpenIn, Read};
use crate::rules::{BatchSize, Limits};

/// What all handles of one store share.
pub(crate) struct Shared {
    engine: Box<dyn Engine>,
    pub registry: Arc<Registry>,
    pub clock: Arc<dyn Clock>,
    limits: Limits,
    /// Removes expired entries. `None` if the store is read-only or the program purges by itself.
    timer: Option<ExpiryTimer>,
    open: OpenIn,
    /// Held while the engine is told whether to listen, so that the last call decides.
    listening: Mutex<()>,
    pub offload: Offload,
    /// Those into this store.
    pub copies: RunningCopies,
}

impl Shared {
    pub fn open(
        engine: Box<dyn Engine>,
        identity: Arc<str>,
        audience: Arc<Audience>,
        clock: Arc<dyn Clock>,
        limits: Limits,
    ) -> Open {
        audience.registry.set_identity(identity);
        let shared = Arc::new(Self {
            engine,
            registry: Arc::clone(&audience.registry),
            clock,
            limits,
            timer: audience.alarm.clone().map(ExpiryTimer::new),
            open: OpenIn::current(),
            listening: Mutex::default(),
            offload: Offload::default(),
            copies: RunningCopies::default(),
        });
        if let Some(timer) = &shared.timer {
            // Weak: the timer keeps the store open only while it works.
            let store = Arc::downgrade(&shared);
            let purge = move || Some(store.upgrade()?.purge_due());
            timer.start(Arc::clone(&shared.clock), Box::new(purge));
        }
        Open(shared)
    }

    /// Returns what tells the store from every other, and its history of revisions from every other history: made
    /// with it, at random, and copied with its file.
    pub fn identity(&self) -> Arc<str> {
        self.registry.identity()
    }

    /// Fails if this process was forked from the one that opened the store.
    #[inline]
    pub fn check_process(&self) -> Result<()> {
        if self.open.process().is_current() { Ok(()) } else { Err(Error::ForkedProcess) }
    }

    /// Fails if the store is closed, or was opened by another process.
    #[inline]
    pub fn check_open(&self) -> Result<()> {
        if self.open.is_open_here() { Ok(()) } else { self.refuse() }
    }

    #[cold]
    fn refuse(&self) -> Result<()> {
        self.check_process()?;
        Err(Error::Closed)
    }

    /// Tells this store from the others that this process has open.
    pub fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Returns the engine, unless the store is closed or the caller is inside its transaction. The engine refuses
    /// calls after its own `close`, so a call that races with that of the store is refused there.
    #[inline]
    pub fn engine(&self) -> Result<&dyn Engine> {
        self.check_open()?;
        Nesting::check(self.address())?;
        Ok(&*self.engine)
    }

    /// Returns the reading side of the engine, as [`engine`](Self::engine) does.
    #[inline]
    pub fn reader(&self) -> Result<&dyn Read> {
        Ok(self.engine()?)
    }

    /// Returns the position to watch a pattern from, if the change log reaches back that far.
    pub fn watch_position(&self, since: Since, pattern: &Pattern) -> Result<LogPosition> {
        let engine = self.engine()?;
        let position = since.place_in(&self.identity())?;
        let latest = engine.revision().wait()?;
        if position.revision > latest {
            return Err(Error::FutureRevision { asked: position.revision, latest });
        }
        // Fails here, rather than at the first event, if the log does not reach back so far.
        engine.changes(LogRead::after(position, 1, pattern)).wait()?;
        Ok(position)
    }

    /// Tells the engine whether to watch for commits of other processes.
    pub fn listen(&self) -> Result<()> {
        let _listening = locked(&self.listening);
        if !self.open.is_open_here() {
            return Ok(());
        }
        self.engine.listen(self.registry.has_watchers())
    }

    /// Does what is left to do when a handle or a watcher is dropped.
    fn wind_up(self: &Arc<Self>, act: impl FnOnce(&Self) + Send + 'static) {
        let shared = Arc::clone(self);
        if !Duty::is_on() && !Nesting::is_inside(self.address()) {
            return self.offload.wind_up(move || act(&shared));
        }
        // What is left to do waits for the threads that work for the store, and for its transactions: this may be one
        // of them.
        let thread = thread::Builder::new().name("larder-wind-up".into());
        if let Err(error) = thread.spawn(move || act(&shared)) {
            report(|| tracing::warn!(%error, "a store or watcher could not be closed cleanly"));
        }
    }

    /// Notes that a watcher was dropped.
    pub fn lose_watcher(self: &Arc<Self>) {
        self.wind_up(|shared| {
            if let Err(error) = shared.listen() {
                let error: &dyn std::error::Error = &error;
                report(|| tracing::warn!(error, "the engine goes on listening without a watcher"));
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

    /// Refuses what is too large for one batch or transaction of a handle with this scope.
    pub fn check_batch_size(&self, scope: &Scope, size: BatchSize) -> Result<()> {
        scope.name().map_or(Ok(()), |namespace| size.check(namespace, self.limits.batch_max))
    }

    /// Closes the store where nobody is left to receive an error.
    fn close_or_warn(&self) {
        if let Err(error) = self.close() {
            let error: &dyn std::error::Error = &error;
            report(|| tracing::warn!(error, "the store could not be closed cleanly"));
        }
    }

    pub fn close(&self) -> Result<()> {
        self.check_process()?;
        Nesting::check(self.address())?;
        if !self.open.close() {
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
        if self.check_process().is_err() {
            // The threads that closing would wait for are the parent's, and so are the locks. What the store has in
            // memory stays there.
            std::mem::forget(Arc::clone(self));
            return;
        }
        self.wind_up(Shared::close_or_warn);
    }
}
