//! Watchers with a name, whose position the store remembers.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use super::acknowledgements::{Acknowledgements, Acknowledging};
use super::watcher::{Watcher, unless_closed};
use crate::data::{CursorInfo, Error, Event, LogPosition, Pattern, Result, Revision, Since, locked};
use crate::engine::{CursorMove, Mutation, Outcome};
use crate::store::{Request, Scope, Shared, Store};

/// The longest name of a cursor, in bytes.
const NAME_BYTES_MAX: usize = 128;

impl<S> Store<S> {
    /// Returns a cursor: a watcher of all changes whose position the store remembers under a name. It continues
    /// after the last event that was acknowledged under that name with [`Cursor::ack`], in this process or an
    /// earlier one. A new name starts now.
    ///
    /// An acknowledged event does not come again after a crash; one that was not acknowledged does. So each event
    /// is delivered at least once.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let mailer = store.cursor("mailer")?;
    /// store.set("orders", "1", "a book")?;
    /// store.set("orders", "2", "a pen")?;
    /// let first = mailer.recv()?;
    /// // … send a mail about it …
    /// mailer.ack(&first)?;
    /// drop(mailer); // or a crash
    ///
    /// let mailer = store.cursor("mailer")?;
    /// assert_eq!(mailer.recv()?.key.as_deref(), Some("2"));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// The store keeps what the cursor has not acknowledged, up to
    /// [`Options::cursor_bytes_max`](crate::Options::cursor_bytes_max). If the log no longer has the next event, the
    /// first [`recv`](Cursor::recv) fails with [`Error::Compacted`]. [`cursors`](Self::cursors) tells how far behind
    /// each cursor is; [`delete_cursor`](Self::delete_cursor) those that nobody reads any more.
    ///
    /// This cursor wants, and keeps, the changes of all groups. [`cursor_on`](Self::cursor_on) names those that
    /// matter. (On a cluster, the change log lasts until the cluster is compacted, whatever cursors need.)
    ///
    /// # Errors
    /// [`Error::InvalidCursor`] unless the name consists of letters, digits, `.`, `_` and `-`, at most 128 of them;
    /// as any read; and, if the name is new, as any write.
    pub fn cursor(&self, name: impl AsRef<str>) -> Result<Cursor> {
        self.cursor_on(name, Pattern::all())
    }

    /// Returns a cursor for the changes that match a pattern: see [`cursor`](Self::cursor). The store remembers the
    /// pattern with the position, to keep what it selects until it is acknowledged. If it was another one before, it
    /// applies from now on, and may select changes that are gone already. Once all that the earlier pattern selected
    /// of a commit is acknowledged, the cursor is after that commit, and a wider pattern selects nothing more of it.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let mailer = store.cursor_on("mailer", ("orders", "*"))?;
    /// store.set("config", "colour", "does not match")?;
    /// store.set("orders", "1", "a book")?;
    /// assert_eq!(mailer.recv()?.group, "orders");
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`cursor`](Self::cursor), and [`Error::TooLarge`] for a pattern that no name can match.
    pub fn cursor_on(&self, name: impl AsRef<str>, pattern: impl Into<Pattern>) -> Result<Cursor> {
        self.cursor_begun(name.as_ref(), pattern.into(), |_| Ok(None))
    }

    /// Returns a cursor that starts after `begin` if its name is new: see [`cursor_on`](Self::cursor_on). `0` is the
    /// beginning of the change log. A name that the store remembers continues where it was; [`Cursor::seek`] moves
    /// it.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// use larder::Pattern;
    /// store.set("orders", "1", "a book")?;
    /// let mailer = store.cursor_from("mailer", Pattern::group("orders"), 0)?;
    /// mailer.ack(&mailer.recv()?)?;
    /// drop(mailer);
    ///
    /// let mailer = store.cursor_from("mailer", Pattern::group("orders"), 0)?;
    /// assert!(mailer.try_recv()?.is_none());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`cursor_on`](Self::cursor_on); if the name is new, also as [`watch_from`](Self::watch_from).
    pub fn cursor_from(
        &self,
        name: impl AsRef<str>,
        pattern: impl Into<Pattern>,
        begin: impl Into<Since>,
    ) -> Result<Cursor> {
        let begin = |pattern: &Pattern| self.shared().watch_position(begin.into(), pattern).map(Some);
        self.cursor_begun(name.as_ref(), pattern.into(), begin)
    }

    /// Opens a cursor. If its name is new, it begins at the position that `begin` returns, or now.
    fn cursor_begun(
        &self,
        name: &str,
        pattern: Pattern,
        begin: impl FnOnce(&Pattern) -> Result<Option<LogPosition>>,
    ) -> Result<Cursor> {
        let full_name = self.cursor_name(name)?;
        let full_pattern = self.scope().pattern(pattern.clone());
        self.shared().limits().check_pattern(&full_pattern)?;
        let known = self.shared().engine()?.cursor(&full_name).wait()?;
        let position = match known {
            Some(known) if known.pattern == full_pattern => known.position,
            known => {
                let begin = match &known {
                    Some(known) => Some(known.position),
                    None => begin(&full_pattern)?,
                };
                let begun = self.move_cursor(&full_name, CursorMove::Begin(begin), Some(full_pattern));
                match (begun, known) {
                    // The outcome tells where the cursor is: another process may have begun it meanwhile.
                    (Ok(begun), _) => {
                        begun.position().ok_or_else(|| Error::NoCursor { name: name.to_owned() })?
                    }
                    // It can still be read, and holds what it did.
                    (Err(Error::ReadOnly { .. }), Some(known)) => known.position,
                    (Err(error), _) => return Err(error),
                }
            }
        };
        let is_untold = self.shared().engine()?.is_untold(&full_name).wait()?;
        let mut watcher = self.watcher_after(pattern, position)?;
        watcher.cursor = Some(full_name.clone());
        let store = Arc::downgrade(&self.shared().0);
        let mut state = CursorState::new(full_name, self.scope().clone(), store, position);
        state.is_untold = AtomicBool::new(is_untold);
        Ok(Cursor { watcher, state })
    }

    /// Returns the named cursors, sorted by name.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let mailer = store.cursor("mailer")?;
    /// store.set("orders", "1", "a book")?;
    /// let cursors = store.cursors()?;
    /// assert_eq!((cursors[0].name.as_str(), cursors[0].behind), ("mailer", 1));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As any read.
    pub fn cursors(&self) -> Result<Vec<CursorInfo>> {
        let mut cursors = self.shared().engine()?.cursors(self.scope().prefix()).wait()?;
        for cursor in &mut cursors {
            cursor.name = self.scope().strip(std::mem::take(&mut cursor.name));
            let pattern = std::mem::replace(&mut cursor.pattern, Pattern::all());
            cursor.pattern = self.scope().strip_pattern(pattern);
        }
        Ok(cursors)
    }

    /// Deletes the position that the store remembers under a cursor's name, and returns whether there was one.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let mailer = store.cursor("mailer")?;
    /// assert!(store.delete_cursor("mailer")?);
    /// assert!(!store.delete_cursor("mailer")?);
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidCursor`], and as any write.
    pub fn delete_cursor(&self, name: impl AsRef<str>) -> Result<bool> {
        let name = self.cursor_name(name.as_ref())?;
        Ok(self.move_cursor(&name, CursorMove::Forget, None)?.changed())
    }

    /// The engine's name of a cursor. A name contains no colon, so a namespace's cursor cannot be taken for
    /// another's.
    fn cursor_name(&self, name: &str) -> Result<String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
            return Err(Error::InvalidCursor { name: name.chars().take(NAME_BYTES_MAX).collect() });
        }
        Ok(self.scope().group(name).into_owned())
    }

    fn move_cursor(&self, name: &str, to: CursorMove, pattern: Option<Pattern>) -> Result<Outcome> {
        self.shared().apply(Mutation::MoveCursor { name: name.to_owned(), to, pattern })
    }
}

/// Receives events, and remembers in the store which of them were acknowledged: see
/// [`Store::cursor`](crate::Store::cursor).
///
/// Several cursors with one name, even in several processes, each receive every event; an event that one of them
/// acknowledges counts for all. As an iterator a cursor yields each event as it comes, and ends when the store is
/// closed:
///
/// ```no_run
/// # let store = larder::Store::in_memory()?;
/// let mut mailer = store.cursor("mailer")?;
/// while let Some(event) = mailer.next() { // waits for the next event
///     let event = event?;
///     println!("{:?} has changed", event.key);
///     mailer.ack(&event)?;
/// }
/// # Ok::<(), larder::Error>(())
/// ```
#[derive(Debug)]
pub struct Cursor {
    pub(super) watcher: Watcher,
    pub(super) state: CursorState,
}

impl Cursor {
    /// Returns the next event; waits for it.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let mailer = store.cursor("mailer")?;
    /// store.set("orders", "1", "a book")?;
    /// assert_eq!(mailer.recv()?.key.as_deref(), Some("1"));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Watcher::recv`]. After [`Error::Compacted`] it continues with the oldest change in the log.
    /// [`Error::Restored`] once, before the first event, if the store was restored or copied since the cursor was last
    /// moved.
    /// After [`Error::ClusterRestored`] it continues where the restored store remembers the cursor.
    pub fn recv(&self) -> Result<Event> {
        self.next_before(None)?.ok_or(Error::Closed)
    }

    /// Returns the next event if there is one now.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let mailer = store.cursor("mailer")?;
    /// assert!(mailer.try_recv()?.is_none());
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
    /// let mailer = store.cursor("mailer")?;
    /// store.set("orders", "1", "a book")?;
    /// assert!(mailer.recv_timeout(Duration::from_secs(1))?.is_some());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Event>> {
        self.next_before(Instant::now().checked_add(timeout))
    }

    /// Acknowledges an event and all events that this cursor received before it: they do not come again. It is a
    /// write, on disk when the call returns, but makes no revision and no event. If events come fast, acknowledge
    /// every hundredth.
    ///
    /// Acknowledging an event again changes nothing. If one commit holds two equal events (the same key set to the
    /// same value twice) and only the second is acknowledged, it comes again.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let mailer = store.cursor("mailer")?;
    /// store.set("orders", "1", "a book")?;
    /// let order = mailer.recv()?;
    /// mailer.ack(&order)?;
    /// assert!(store.cursor("mailer")?.try_recv()?.is_none());
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotReceived`] for an event that this cursor has not received, [`Error::NoCursor`] if the cursor was
    /// deleted, [`Error::ClusterRestored`] or [`Error::NotReceived`] if the cluster was restored since the event was
    /// received, [`Error::Closed`], and as any write.
    pub fn ack(&self, event: &Event) -> Result<()> {
        let begun = self.state.acknowledging(event, &self.watcher)?;
        let Some((acknowledging, request)) = begun else { return Ok(()) };
        let store = self.state.store.upgrade().ok_or(Error::Closed)?;
        store.write(&self.state.scope, request)?;
        self.state.settle(acknowledging);
        Ok(())
    }

    /// Moves the cursor to another position, forwards or backwards, and continues there. `0` is the beginning of
    /// the change log.
    ///
    /// ```
    /// # let store = larder::Store::in_memory()?;
    /// let mailer = store.cursor("mailer")?;
    /// store.set("orders", "1", "a book")?;
    /// mailer.ack(&mailer.recv()?)?;
    /// mailer.seek(0)?;
    /// assert_eq!(mailer.recv()?.key.as_deref(), Some("1"));
    /// # Ok::<(), larder::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::watch_from`](crate::Store::watch_from), and as any write.
    pub fn seek(&self, after: impl Into<Since>) -> Result<()> {
        self.state.seek(&self.watcher, after.into())
    }

    /// Ends the cursor for every thread that shares it, as [`Watcher::close`] does. Events that were received can
    /// still be acknowledged.
    ///
    /// ```
    /// # use larder::{Error, Store};
    /// # let store = Store::in_memory()?;
    /// let mailer = store.cursor("mailer")?;
    /// mailer.close();
    /// assert!(matches!(mailer.recv(), Err(Error::Closed)));
    /// # Ok::<(), larder::Error>(())
    /// ```
    pub fn close(&self) {
        self.watcher.close();
    }

    fn next_before(&self, deadline: Option<Instant>) -> Result<Option<Event>> {
        self.state.tell()?;
        let next = self.watcher.next_with_position(deadline).inspect_err(|error| self.state.hear(error))?;
        let Some((event, after)) = next else { return Ok(None) };
        self.state.hand_out(&event, after);
        Ok(Some(event))
    }
}

impl Iterator for Cursor {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        unless_closed(self.recv())
    }
}

/// A cursor's name, and which of the events that it returned are acknowledged.
pub(crate) struct CursorState {
    name: String,
    /// Of the handle that opened the cursor.
    pub scope: Scope,
    pub store: Weak<Shared>,
    acknowledgements: Mutex<Acknowledgements>,
    /// Whether the caller must still be told that the store was restored.
    is_untold: AtomicBool,
}

impl CursorState {
    fn new(name: String, scope: Scope, store: Weak<Shared>, position: LogPosition) -> Self {
        let acknowledgements = Mutex::new(Acknowledgements::from(position));
        Self { name, scope, store, acknowledgements, is_untold: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, Acknowledgements> {
        locked(&self.acknowledgements)
    }

    /// Tells the caller once that the store was restored since the cursor was last moved.
    ///
    /// # Errors
    /// [`Error::Restored`] if it was.
    pub fn tell(&self) -> Result<()> {
        // Relaxed: it guards no data.
        if self.is_untold.swap(false, Ordering::Relaxed) {
            return Err(Error::Restored { cursor: self.scope.strip(self.name.clone()) });
        }
        Ok(())
    }

    /// Notes that the caller received an event; `after` is the position after it.
    pub fn hand_out(&self, event: &Event, after: LogPosition) {
        self.lock().hand_out(event, after);
    }

    /// Notes that the caller received an error. Once the store was restored, no event from before can be
    /// acknowledged.
    pub fn hear(&self, error: &Error) {
        if matches!(error, Error::ClusterRestored { .. }) {
            self.lock().begin_at(LogPosition::after(Revision(0)));
        }
    }

    /// Notes that an event was acknowledged.
    pub fn settle(&self, acknowledged: Acknowledging) {
        self.lock().settle(acknowledged);
    }

    /// The write that acknowledges an event, and what it leads to. `None` if the event is acknowledged already.
    pub fn acknowledging(
        &self,
        event: &Event,
        watcher: &Watcher,
    ) -> Result<Option<(Acknowledging, Request<()>)>> {
        let acknowledging = self.lock().acknowledging(event)?;
        if watcher.mailbox.lock().is_of_the_past() {
            // The caller has yet to receive the error that says so.
            return Err(Error::NotReceived { revision: event.revision });
        }
        Ok(acknowledging.map(|acknowledging| {
            let acknowledge = self.mutation(CursorMove::Acknowledge(acknowledging.position), None);
            (acknowledging, Request { commit: acknowledge.into(), answer: |_| () })
        }))
    }

    /// Moves the cursor, and makes its watcher continue there.
    pub fn seek(&self, watcher: &Watcher, after: Since) -> Result<()> {
        let store = self.store.upgrade().ok_or(Error::Closed)?;
        let pattern = watcher.mailbox.pattern.clone();
        let position = store.watch_position(after, &pattern)?;
        store.apply(self.mutation(CursorMove::Seek(position), Some(pattern)))?;
        self.lock().begin_at(position);
        watcher.restart(position);
        self.is_untold.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn mutation(&self, to: CursorMove, pattern: Option<Pattern>) -> Mutation {
        Mutation::MoveCursor { name: self.name.clone(), to, pattern }
    }
}

impl fmt::Debug for CursorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CursorState").field("name", &self.name).finish_non_exhaustive()
    }
}
