//! Receiving changes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::data::{Error, Event, LogPosition, Pattern, Result, ResumeToken, Since};
use crate::delivery::Mailbox;
use crate::store::{Scope, Shared, Store};

/// How many changes are read from the log at once.
const LOG_PAGE: usize = 512;

impl<S> Store<S> {
    /// Watches the changes that match a pattern, from now on.
    ///
    /// A watcher never makes a writer wait and never misses a change: one that falls behind reads on
    /// from the change log, in order, until it has caught up.
    ///
    /// ```
    /// # use larder::{EventKind, Pattern, Store};
    /// # let store = Store::in_memory()?;
    /// let watcher = store.watch(("config", "*"))?; // or Pattern::group("config")
    /// store.set("config", "colour", "blue")?;
    /// store.set("other", "key", "not heard")?;
    /// store.delete("config", "colour")?;
    ///
    /// assert_eq!(watcher.recv()?.kind, EventKind::Set);
    /// assert_eq!(watcher.recv()?.kind, EventKind::Delete);
    /// assert!(watcher.try_recv()?.is_none());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read.
    pub fn watch(&self, pattern: impl Into<Pattern>) -> Result<Watcher> {
        self.watcher(pattern.into(), || Ok(LogPosition::after(self.shared().reader()?.revision().wait()?)))
    }

    /// Watches the changes that match a pattern and came after a revision: first those that the
    /// change log has, then new ones. `Revision(0)` is from the beginning. A [`ResumeToken`] in its place
    /// knows which store it is of, and where in a commit: who stopped in the middle of a batch and comes back
    /// with its revision alone has asked for what came after the whole batch.
    ///
    /// # Errors
    /// [`Error::Compacted`] where the log no longer has all of them, [`Error::FutureRevision`] where
    /// the store has not come so far, [`Error::OtherStore`] for a token of another store,
    /// [`Error::TooLarge`] for a pattern that no name can match, and as any read.
    pub fn watch_from(&self, pattern: impl Into<Pattern>, after: impl Into<Since>) -> Result<Watcher> {
        self.watcher(pattern.into(), || self.shared().place_to_watch_from(after.into()))
    }

    /// The latest commit as a token: see [`ResumeToken`].
    ///
    /// # Errors
    /// As any read.
    pub fn token(&self) -> Result<ResumeToken> {
        let place = LogPosition::after(self.shared().reader()?.revision().wait()?);
        Ok(ResumeToken::new(Arc::clone(&self.shared().identity), place))
    }

    /// The changes of one key that the change log still has, oldest first, with those that deleted
    /// its whole group. It looks through the whole log.
    ///
    /// # Errors
    /// As any read.
    pub fn history(&self, group: impl AsRef<str>, key: impl AsRef<str>) -> Result<Vec<Event>> {
        let group = self.scope().group(group.as_ref());
        let mut events = self.shared().engine()?.history(&group, key.as_ref()).wait()?;
        for event in &mut events {
            event.group = self.scope().strip(std::mem::take(&mut event.group));
        }
        Ok(events)
    }

    /// A watcher for what comes after a place, whether or not the log reaches it.
    pub(crate) fn watcher_after(&self, pattern: Pattern, place: LogPosition) -> Result<Watcher> {
        self.watcher(pattern, || Ok(place))
    }

    fn watcher(&self, pattern: Pattern, from: impl FnOnce() -> Result<LogPosition>) -> Result<Watcher> {
        let pattern = self.scope().pattern(pattern);
        self.shared().limits().check_pattern(&pattern)?;
        let identity = Arc::clone(&self.shared().identity);
        let mailbox = self.shared().registry.add(pattern, from)?;
        let store = Arc::downgrade(&self.shared().0);
        let scope = self.scope().clone();
        let watcher = Watcher { store, identity, scope, mailbox, reading: Mutex::new(()) };
        self.shared().listen()?;
        Ok(watcher)
    }
}

/// Receives events: see [`Store::watch`](crate::Store::watch). Dropping it ends the subscription.
///
/// It does not keep the store open: once the last handle is dropped, or the store is closed,
/// [`recv`](Self::recv) fails with [`Error::Closed`].
///
/// As an iterator it yields each event as it comes, and ends when the store is closed:
///
/// ```no_run
/// # let store = larder::Store::in_memory()?;
/// for event in store.watch(("config", "*"))? {
///     println!("{:?}", event?);
/// }
/// # Ok::<(), larder::Error>(())
/// ```
#[must_use = "the watch ends when the watcher is dropped"]
pub struct Watcher {
    store: Weak<Shared>,
    /// The store's.
    identity: Arc<str>,
    scope: Scope,
    mailbox: Arc<Mailbox>,
    /// Held while reading the log, so that two threads on one watcher do not read the same.
    reading: Mutex<()>,
}

impl Watcher {
    /// The next event, waiting for it.
    ///
    /// # Errors
    /// [`Error::Closed`] once the store or the watcher is closed. [`Error::Compacted`] where this watcher fell so
    /// far behind that the log no longer has what comes next: it is said once, and the watcher goes on
    /// with the oldest change that the log has.
    pub fn recv(&self) -> Result<Event> {
        // Without a deadline there is always an event, or an error, in the end.
        self.next_before(None)?.ok_or(Error::Closed)
    }

    /// The next event if there is one now.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Event>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// The next event, waiting up to `timeout` for it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Event>> {
        self.next_before(Instant::now().checked_add(timeout))
    }

    /// The place after the last event that was received, or where the watch began: from there a
    /// [`watch_from`](crate::Store::watch_from) goes on, in a later run of the program too.
    pub fn token(&self) -> ResumeToken {
        ResumeToken::new(Arc::clone(&self.identity), self.mailbox.lock().taken)
    }

    /// Forgets what it has, and goes on after another place.
    pub(super) fn restart(&self, place: LogPosition) {
        // Not while a page of the old place is being read.
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.mailbox.restart(place);
    }

    /// Ends the subscription for every thread that has this watcher: one that waits in
    /// [`recv`](Self::recv) wakes. What the watcher holds already may still be received; then comes
    /// [`Error::Closed`], as it does once the store is closed.
    ///
    /// It is for a watcher that one thread waits on and another one ends. Otherwise, drop it.
    ///
    /// ```
    /// # use std::{sync::Arc, thread};
    /// # let store = larder::Store::in_memory()?;
    /// let watcher = Arc::new(store.watch(("config", "*"))?);
    /// let listener = thread::spawn({
    ///     let watcher = Arc::clone(&watcher);
    ///     move || while let Ok(event) = watcher.recv() {
    ///         println!("{:?} has changed", event.key);
    ///     }
    /// });
    /// watcher.close();
    /// listener.join().unwrap();
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn close(&self) {
        self.mailbox.close();
    }

    pub(super) fn next_before(&self, deadline: Option<Instant>) -> Result<Option<Event>> {
        Ok(self.next_in_place(deadline)?.map(|(event, _)| event))
    }

    /// The next event, and the place after it.
    pub(crate) fn next_in_place(&self, deadline: Option<Instant>) -> Result<Option<(Event, LogPosition)>> {
        let mut letters = self.mailbox.lock();
        loop {
            if let Some((event, place)) = letters.take() {
                return Ok(Some((self.scope.event(event), place)));
            }
            if letters.closed {
                return Err(Error::Closed);
            }
            if letters.live {
                let worth_a_look;
                (letters, worth_a_look) = self.mailbox.wait(letters, deadline);
                if !worth_a_look {
                    return Ok(None);
                }
            } else {
                drop(letters);
                self.read_on()?;
                letters = self.mailbox.lock();
            }
        }
    }

    /// The next event for a task, which is woken where there is none yet.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_next(&self, context: &std::task::Context<'_>) -> Next {
        let mut letters = self.mailbox.lock();
        if let Some((event, place)) = letters.take() {
            return Next::Event(self.scope.event(event), place);
        }
        if letters.closed {
            return Next::Closed;
        }
        if !letters.live {
            return Next::Behind;
        }
        letters.waker = Some(context.waker().clone());
        Next::Pending
    }

    /// Reads the next page of the log into the queue, or finds that there is none and goes live.
    pub(crate) fn read_on(&self) -> Result<()> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let after = {
            let letters = self.mailbox.lock();
            if letters.live || !letters.queue.is_empty() {
                return Ok(());
            }
            letters.position
        };
        let store = self.store.upgrade().ok_or(Error::Closed)?;
        let heard = store.registry.heard();
        match store.engine()?.changes(after, LOG_PAGE).wait() {
            Ok(changes) if changes.logged.is_empty() => {
                store.registry.go_live(&self.mailbox, heard);
                Ok(())
            }
            Ok(changes) => {
                let mut letters = self.mailbox.lock();
                let pattern = &self.mailbox.pattern;
                let wanted = changes.logged.into_iter().filter(|logged| pattern.matches(&logged.event));
                letters.queue.extend(wanted);
                letters.position = changes.next;
                Ok(())
            }
            Err(error) => {
                if let Error::Compacted { oldest } = error {
                    self.mailbox.lock().position = LogPosition::after(oldest);
                }
                Err(error)
            }
        }
    }
}

/// What a task finds that asks for the next event.
#[cfg(feature = "tokio")]
pub(crate) enum Next {
    Event(Event, LogPosition),
    /// There will be one, and the task is woken then.
    Pending,
    /// The log has to be read first, which may wait for a disk: see [`Watcher::read_on`].
    Behind,
    Closed,
}

impl Iterator for Watcher {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.recv() {
            Err(Error::Closed) => None,
            received => Some(received),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            store.registry.remove(&self.mailbox);
            store.lose_watcher();
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("store", &self.identity)
            .field("prefix", &self.scope.prefix())
            .finish_non_exhaustive()
    }
}
