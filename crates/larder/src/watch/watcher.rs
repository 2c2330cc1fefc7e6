//! Receiving changes.

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::data::{Error, Event, LogPosition, Pattern, Result, ResumeToken, Since, locked};
use crate::delivery::{Delivery, Mailbox};
use crate::engine::{LogRead, Logged, Process};
use crate::store::{Scope, Shared, Store};

/// How many changes are read from the log at once.
const LOG_PAGE: usize = 512;

impl<S> Store<S> {
    /// Watches the changes that match a pattern, from now on.
    ///
    /// A watcher never delays a writer and never misses a change: one that lags reads on from the change log, in
    /// order, until it has caught up.
    ///
    /// ```
    /// # use larder::{EventKind, Pattern, Store};
    /// # let store = Store::in_memory()?;
    /// let watcher = store.watch(("config", "*"))?; // or Pattern::group("config")
    /// store.set("config", "colour", "blue")?;
    /// store.set("other", "key", "does not match")?;
    /// store.delete("config", "colour")?;
    ///
    /// assert_eq!(watcher.recv()?.kind, EventKind::Set);
    /// assert_eq!(watcher.recv()?.kind, EventKind::Delete);
    /// assert!(watcher.try_recv()?.is_none());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read, [`Error::TooLarge`] for a pattern that no name can match, and [`Error::QuotaExceeded`] in a namespace
    /// that has as many watchers as [`Options::watchers_max`](crate::Options::watchers_max) allows.
    pub fn watch(&self, pattern: impl Into<Pattern>) -> Result<Watcher> {
        self.watcher(pattern.into(), |_| Ok(LogPosition::after(self.shared().reader()?.revision().wait()?)))
    }

    /// Watches the changes that match a pattern and came after a revision: first those in the change log, then
    /// new ones. `0` starts at the beginning.
    ///
    /// A [`ResumeToken`] instead of a revision also says which store it belongs to, and marks a position inside a
    /// commit. A program that stops in the middle of a batch needs one: the batch's revision alone would skip the
    /// rest of it.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let first = store.set("config", "colour", "blue")?;
    /// store.set("config", "colour", "green")?;
    /// let watcher = store.watch_from(("config", "*"), first)?;
    /// assert_eq!(watcher.recv()?.value.unwrap(), "green");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Compacted`] if the log no longer has all of them, [`Error::FutureRevision`] if the store has not
    /// reached the revision, [`Error::OtherStore`] for a token of another store, and as [`watch`](Self::watch).
    pub fn watch_from(&self, pattern: impl Into<Pattern>, after: impl Into<Since>) -> Result<Watcher> {
        self.watcher(pattern.into(), |pattern| self.shared().watch_position(after.into(), pattern))
    }

    /// Returns a token for the latest commit, from which [`watch_from`](Self::watch_from) can start later.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let token = store.token()?;
    /// store.set("config", "colour", "blue")?;
    /// let watcher = store.watch_from(("config", "*"), token)?;
    /// assert_eq!(watcher.recv()?.key.as_deref(), Some("colour"));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read.
    pub fn token(&self) -> Result<ResumeToken> {
        self.shared().check_process()?;
        // Before the revision: a token of a lost history is refused later, and one of a later identity would not be.
        let identity = self.shared().identity();
        let latest = LogPosition::after(self.shared().reader()?.revision().wait()?);
        Ok(ResumeToken::new(identity, latest))
    }

    /// Returns the changes of one key that are still in the change log, oldest first, and the deletions of its
    /// whole group. It may read the whole log.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// store.set("config", "colour", "blue")?;
    /// store.set("config", "colour", "green")?;
    /// let history = store.history("config", "colour")?;
    /// assert_eq!(history[0].value.as_ref().unwrap(), "blue");
    /// assert_eq!(history.len(), 2);
    /// # Ok::<(), larder::Error>(())
    /// ```
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

    /// A watcher for what comes after a position, whether or not the log reaches back to it.
    pub(crate) fn watcher_after(&self, pattern: Pattern, position: LogPosition) -> Result<Watcher> {
        self.watcher(pattern, |_| Ok(position))
    }

    fn watcher(
        &self,
        pattern: Pattern,
        from: impl FnOnce(&Pattern) -> Result<LogPosition>,
    ) -> Result<Watcher> {
        let pattern = self.scope().pattern(pattern);
        self.shared().limits().check_pattern(&pattern)?;
        // First: in a forked process a thread of the parent may hold the lock of the watchers for ever.
        self.shared().check_process()?;
        let mailbox = {
            let (prefix, watchers_max) = (self.scope().prefix(), self.shared().limits().watchers_max);
            self.shared().registry.add(prefix, watchers_max, pattern, from)?
        };
        let store = Arc::downgrade(&self.shared().0);
        let scope = self.scope().clone();
        let (process, reading) = (Process::current(), Mutex::new(()));
        let watcher = Watcher { store, cursor: None, scope, mailbox, process, reading };
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
///     println!("{:?}", event?); // waits for the next event
/// }
/// # Ok::<(), larder::Error>(())
/// ```
#[must_use = "the watch ends when the watcher is dropped"]
pub struct Watcher {
    store: Weak<Shared>,
    /// The engine's name of the cursor that this is the watcher of, if it is one.
    pub(super) cursor: Option<String>,
    pub(super) scope: Scope,
    pub(super) mailbox: Arc<Mailbox>,
    process: Process,
    /// Held while reading the log, so that two threads with one watcher do not read the same page.
    reading: Mutex<()>,
}

impl Watcher {
    /// Returns the next event; waits for it.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let watcher = store.watch(("config", "*"))?;
    /// store.set("config", "colour", "blue")?;
    /// assert_eq!(watcher.recv()?.value.unwrap(), "blue");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`] once the store or the watcher is closed. [`Error::Compacted`] if this watcher lagged so far
    /// that the log no longer has the next event; the watcher returns this once, and continues with the oldest
    /// change in the log. [`Error::ClusterRestored`] if the cluster was restored from a snapshot; the watcher returns this
    /// once, and continues with what comes after. [`Error::Unauthorized`] and the like if the cluster refuses to tell of
    /// changes, since a password or a role was changed for instance: once that has lasted for
    /// [`Options::timeout`](crate::Options::timeout), and again each time it has lasted as long once more. When the
    /// cluster lets it in again, the watcher continues where it was.
    pub fn recv(&self) -> Result<Event> {
        // Without a deadline there is always an event, or an error, in the end.
        self.next_before(None)?.ok_or(Error::Closed)
    }

    /// Returns the next event if there is one now.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let watcher = store.watch(("config", "*"))?;
    /// assert!(watcher.try_recv()?.is_none());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<Option<Event>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Returns the next event; waits up to `timeout` for it, and returns `None` if there is none by then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # let store = larder::Store::in_memory()?;
    /// let watcher = store.watch(("config", "*"))?;
    /// store.set("config", "colour", "blue")?;
    /// assert!(watcher.recv_timeout(Duration::from_secs(1))?.is_some());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Event>> {
        self.next_before(Instant::now().checked_add(timeout))
    }

    /// Returns a token for the position after the last received event, or for the start of the watch. A later run
    /// of the program can continue there with [`watch_from`](crate::Store::watch_from).
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let watcher = store.watch(("config", "*"))?;
    /// store.set("config", "colour", "blue")?;
    /// store.set("config", "size", "10")?;
    /// watcher.recv()?;
    /// let resumed = store.watch_from(("config", "*"), watcher.token())?;
    /// assert_eq!(resumed.recv()?.key.as_deref(), Some("size"));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// A process that forks asks before: in the child this may wait for a thread of the parent.
    pub fn token(&self) -> ResumeToken {
        let letters = self.mailbox.lock();
        ResumeToken::new(Arc::clone(&letters.identity), letters.taken)
    }

    /// Forgets what it has, and continues after another position.
    pub(super) fn restart(&self, position: LogPosition) {
        // Not while a page at the old position is being read.
        let _reading = locked(&self.reading);
        drop(self.mailbox.restart(position));
    }

    /// Ends the subscription for every thread that shares this watcher: one that waits in [`recv`](Self::recv)
    /// wakes. The events that the watcher already holds can still be received; then it fails with
    /// [`Error::Closed`].
    ///
    /// Use it if one thread waits and another ends the watch. Otherwise drop the watcher.
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
        // In a forked process a thread of the parent may hold the lock for ever, and every call fails anyway.
        if self.process.is_current() {
            drop(self.mailbox.close());
        }
    }

    pub(super) fn next_before(&self, deadline: Option<Instant>) -> Result<Option<Event>> {
        Ok(self.next_with_position(deadline)?.map(|(event, _)| event))
    }

    /// The next event, and the position after it.
    pub(crate) fn next_with_position(
        &self,
        deadline: Option<Instant>,
    ) -> Result<Option<(Event, LogPosition)>> {
        // Before the lock, which a thread of the parent may have held.
        self.check_process()?;
        let mut letters = self.mailbox.lock();
        loop {
            match letters.next() {
                Delivery::Event(event, position) => return Ok(Some((self.scope.event(event), position))),
                Delivery::Restored(latest) => return Err(Error::ClusterRestored { latest }),
                Delivery::Refused(error) => return Err(error),
                Delivery::Closed => return Err(Error::Closed),
                Delivery::Empty => {
                    let worth_a_look;
                    (letters, worth_a_look) = self.mailbox.wait(letters, deadline);
                    if !worth_a_look {
                        return Ok(None);
                    }
                }
                Delivery::Behind => {
                    drop(letters);
                    self.read_on()?;
                    letters = self.mailbox.lock();
                }
            }
        }
    }

    /// Fails if this process was forked from the one that opened the store.
    pub(super) fn check_process(&self) -> Result<()> {
        if self.process.is_current() { Ok(()) } else { Err(Error::ForkedProcess) }
    }

    /// Finds where the store remembers the cursor, after the store was restored. A restored store also has the
    /// position that the cursor had then.
    fn find_cursor(&self, store: &Shared) -> Result<()> {
        let Some(name) = &self.cursor else { return Ok(()) };
        let moves = {
            let letters = self.mailbox.lock();
            if !letters.begins_at_cursor {
                return Ok(());
            }
            letters.moves
        };
        let stored = store.engine()?.cursor(name).wait()?;
        let mut letters = self.mailbox.lock();
        if letters.moves == moves {
            letters.begins_at_cursor = false;
            if let Some(stored) = stored {
                letters.begin_at(stored.position);
            }
        }
        Ok(())
    }

    /// Reads the next page of the log into the queue; or goes live, if there is none.
    pub(crate) fn read_on(&self) -> Result<()> {
        let _reading = locked(&self.reading);
        let store = self.store.upgrade().ok_or(Error::Closed)?;
        self.find_cursor(&store)?;
        let heard = store.registry.heard();
        let pattern = &self.mailbox.pattern;
        let (wanted, at_hand_after, moves) = {
            let mut letters = self.mailbox.lock();
            if letters.live || !letters.queue.is_empty() {
                return Ok(());
            }
            let at_hand_after = letters.at_hand_after();
            letters.begin_to_join(|| store.registry.published());
            let at_end = LogPosition::MAX;
            let max = if self.mailbox.is_short_of_room() { 1 } else { LOG_PAGE };
            let (after, told) = (letters.position, letters.told);
            let wanted = LogRead { after, told, at_hand_after: at_end, max, pattern };
            (wanted, at_hand_after, letters.moves)
        };
        match store.engine()?.changes(wanted).wait() {
            Ok(changes) if changes.logged.is_empty() => {
                store.registry.go_live(&self.mailbox, changes.next, heard);
                Ok(())
            }
            Ok(changes) => {
                let events = changes.logged.into_iter().filter(|logged| pattern.matches(&logged.event));
                let mut letters = self.mailbox.lock();
                // If the store was restored meanwhile, the changes may be of the history before.
                if letters.moves == moves {
                    letters.read_page(events, changes.next);
                }
                Ok(())
            }
            Err(Error::Compacted { oldest }) => {
                // It was told of a loss already, and what was lost since may be at hand.
                if let Some(at_hand_after) = at_hand_after
                    && self.read_up_to(&store, LogRead { at_hand_after, ..wanted }, moves)?
                {
                    return Ok(());
                }
                let mut letters = self.mailbox.lock();
                if letters.moves != moves {
                    return Ok(());
                }
                letters.told = LogPosition::after(oldest);
                Err(Error::Compacted { oldest })
            }
            Err(_) if self.mailbox.lock().moves != moves => Ok(()),
            // The mailbox tells of it, once.
            Err(Error::ClusterRestored { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads the log up to the position after which everything is at hand, and goes live there. Returns false, and has
    /// done nothing, if not everything is at hand after all.
    fn read_up_to(&self, store: &Shared, wanted: LogRead<'_>, moves: u64) -> Result<bool> {
        let changes = match store.engine()?.changes(wanted).wait() {
            Ok(changes) => changes,
            Err(Error::Compacted { .. }) => return Ok(false),
            // As above.
            Err(Error::ClusterRestored { .. }) => return Ok(true),
            Err(error) => return Err(error),
        };
        let mut letters = self.mailbox.lock();
        if letters.moves != moves {
            return Ok(true);
        }
        // If the log goes further than what this process has published, another one may have committed.
        if letters.at_hand_after() != Some(wanted.at_hand_after)
            || changes.latest > store.registry.published()
        {
            return Ok(false);
        }
        let end = wanted.at_hand_after;
        let is_before = |logged: &Logged| logged.event.revision <= end.revision;
        let is_end = changes.next >= end || !changes.logged.iter().all(is_before);
        let events = changes.logged.into_iter().filter(is_before);
        let events = events.filter(|logged| wanted.pattern.matches(&logged.event));
        letters.read_page(events, changes.next.min(end));
        if is_end {
            let position = letters.position;
            letters.join(position);
        }
        Ok(true)
    }
}

impl Iterator for Watcher {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        unless_closed(self.recv())
    }
}

/// An iterator or stream of events ends when the store is closed.
pub(crate) fn unless_closed<T>(received: Result<T>) -> Option<Result<T>> {
    match received {
        Err(Error::Closed) => None,
        received => Some(received),
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.process.is_current()
            && let Some(store) = self.store.upgrade()
        {
            store.registry.remove(&self.mailbox);
            store.lose_watcher();
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("store", &self.mailbox.lock().identity)
            .field("prefix", &self.scope.prefix())
            .finish_non_exhaustive()
    }
}
