//! Watchers with a name, whose place the store remembers.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::acknowledgements::Acknowledgements;
use super::watcher::Watcher;
use crate::data::{CursorInfo, Error, Event, LogPosition, Pattern, Result, Since};
use crate::engine::{CursorMove, Mutation, Outcome};
use crate::store::{Scope, Shared, Store};

/// The longest name of a cursor, in bytes.
const NAME_BYTES_MAX: usize = 128;

impl<S> Store<S> {
    /// A watcher of all changes that the store remembers by name: it begins after what was last
    /// acknowledged under that name with [`Cursor::ack`], in this process or an earlier one. A name that is
    /// new begins now, and is kept from now on.
    ///
    /// So what was done with an event before a crash is not done again, provided that it was acknowledged,
    /// and what was not acknowledged comes again: each event is delivered at least once.
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
    /// A cursor does not keep the change log beyond its bound: one that is left behind for longer is told
    /// so by its first [`recv`](Cursor::recv), with [`Error::Compacted`]. [`cursors`](Self::cursors) tells how
    /// far behind each is.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`] unless the name is made of letters, digits, `.`, `_` and `-`, at most 128 of
    /// them; as any read; and, where the name is new, as any write.
    pub fn cursor(&self, name: impl AsRef<str>) -> Result<Cursor> {
        self.cursor_on(name, Pattern::all())
    }

    /// As [`cursor`](Self::cursor), of the changes that match a pattern. The name keeps the place and not
    /// the pattern: give the same one each time.
    ///
    /// # Errors
    /// As [`cursor`](Self::cursor), and [`Error::TooLarge`] for a pattern that no name can match.
    pub fn cursor_on(&self, name: impl AsRef<str>, pattern: impl Into<Pattern>) -> Result<Cursor> {
        self.cursor_begun(name.as_ref(), pattern.into(), || Ok(None))
    }

    /// As [`cursor_on`](Self::cursor_on), where a name that is new begins after `begin` and not now:
    /// `Revision(0)` for all that the change log has. A name that is kept already goes on where it was; to
    /// move it there is [`Cursor::seek`].
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
    /// As [`cursor_on`](Self::cursor_on); where the name is new, as [`watch_from`](Self::watch_from).
    pub fn cursor_from(
        &self,
        name: impl AsRef<str>,
        pattern: impl Into<Pattern>,
        begin: impl Into<Since>,
    ) -> Result<Cursor> {
        let begin = || self.shared().place_to_watch_from(begin.into()).map(Some);
        self.cursor_begun(name.as_ref(), pattern.into(), begin)
    }

    /// A cursor that begins, where its name is new, at a place, or else now.
    fn cursor_begun(
        &self,
        name: &str,
        pattern: Pattern,
        begin: impl FnOnce() -> Result<Option<LogPosition>>,
    ) -> Result<Cursor> {
        let full_name = self.cursor_name(name)?;
        let place = match self.shared().engine()?.cursor(&full_name).wait()? {
            Some(place) => place,
            // Beginning tells where the cursor is: another process may have begun it meanwhile.
            None => self
                .move_cursor(&full_name, CursorMove::Begin(begin()?))?
                .position()
                .ok_or_else(|| Error::NoCursor { name: name.to_owned() })?,
        };
        let watcher = self.watcher_after(pattern, place)?;
        let book = Book::new(full_name, self.scope().clone(), Arc::downgrade(self.shared()), place);
        Ok(Cursor { watcher, book })
    }

    /// The named cursors, sorted by name.
    ///
    /// # Errors
    /// As any read.
    pub fn cursors(&self) -> Result<Vec<CursorInfo>> {
        let mut cursors = self.shared().engine()?.cursors(self.scope().prefix()).wait()?;
        for cursor in &mut cursors {
            cursor.name = self.scope().strip(std::mem::take(&mut cursor.name));
        }
        Ok(cursors)
    }

    /// Forgets a named cursor; whether there was one.
    ///
    /// # Errors
    /// [`Error::InvalidCursor`], and as any write.
    pub fn delete_cursor(&self, name: impl AsRef<str>) -> Result<bool> {
        let name = self.cursor_name(name.as_ref())?;
        Ok(self.move_cursor(&name, CursorMove::Forget)?.changed())
    }

    /// How the engine knows a cursor. No name has a colon in it, so a namespace's cannot be taken for
    /// another's.
    fn cursor_name(&self, name: &str) -> Result<String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
            return Err(Error::InvalidCursor { name: name.chars().take(NAME_BYTES_MAX).collect() });
        }
        Ok(self.scope().group(name).into_owned())
    }

    fn move_cursor(&self, name: &str, to: CursorMove) -> Result<Outcome> {
        self.shared().apply(Mutation::MoveCursor { name: name.to_owned(), to })
    }
}

/// Receives events, and remembers in the store which were acknowledged: see
/// [`Store::cursor`](crate::Store::cursor).
///
/// As an iterator it yields each event as it comes, and ends when the store is closed. Several cursors of
/// one name, also in several processes, each receive everything; what any of them acknowledges counts.
#[derive(Debug)]
pub struct Cursor {
    watcher: Watcher,
    book: Book,
}

impl Cursor {
    /// The next event, waiting for it.
    ///
    /// # Errors
    /// As [`Watcher::recv`]. After [`Error::Compacted`] it goes on with the oldest change that the log has.
    pub fn recv(&self) -> Result<Event> {
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

    /// Says that an event was dealt with, and all that this cursor received before it: they do not come
    /// again. It is a write like any other, on the disk when it returns, but has no revision and no event of
    /// its own. Where events come fast, acknowledge every hundredth.
    ///
    /// An event that was acknowledged before changes nothing. If a commit holds two events that are alike
    /// (the same key set to the same value twice) and the later is acknowledged alone, it comes again.
    ///
    /// # Errors
    /// [`Error::NotReceived`] for an event that this cursor has not given, [`Error::NoCursor`] where the
    /// cursor was deleted, [`Error::Closed`], and as any write.
    pub fn ack(&self, event: &Event) -> Result<()> {
        let Some((place, mutation)) = self.book.entry_for(event)? else { return Ok(()) };
        let shared = self.book.store.upgrade().ok_or(Error::Closed)?;
        shared.apply(mutation).map_err(|error| self.book.scope.error(error))?;
        self.book.settle(place);
        Ok(())
    }

    /// Moves the cursor to another place, forwards or back, from which it goes on: `Revision(0)` for all that
    /// the change log has.
    ///
    /// # Errors
    /// As [`Store::watch_from`](crate::Store::watch_from), and as any write.
    pub fn seek(&self, after: impl Into<Since>) -> Result<()> {
        self.book.seek(&self.watcher, after.into())
    }

    /// Ends it for every thread that has it, as [`Watcher::close`] does. What was received may still be
    /// acknowledged.
    pub fn close(&self) {
        self.watcher.close();
    }

    fn next_before(&self, deadline: Option<Instant>) -> Result<Option<Event>> {
        let Some((event, after)) = self.watcher.next_in_place(deadline)? else { return Ok(None) };
        self.book.hand_out(&event, after);
        Ok(Some(event))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn into_parts(self) -> (Watcher, Book) {
        (self.watcher, self.book)
    }
}

impl Iterator for Cursor {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.recv() {
            Err(Error::Closed) => None,
            received => Some(received),
        }
    }
}

/// A cursor's name, and what is out under it.
pub(crate) struct Book {
    name: String,
    /// Of the handle that it was opened with.
    pub scope: Scope,
    pub store: Weak<Shared>,
    acknowledgements: Mutex<Acknowledgements>,
}

impl Book {
    fn new(name: String, scope: Scope, store: Weak<Shared>, place: LogPosition) -> Self {
        Self { name, scope, store, acknowledgements: Mutex::new(Acknowledgements::from(place)) }
    }

    fn lock(&self) -> MutexGuard<'_, Acknowledgements> {
        self.acknowledgements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event goes out; the place is the one after it.
    pub fn hand_out(&self, event: &Event, after: LogPosition) {
        self.lock().hand_out(event, after);
    }

    /// All up to a place was acknowledged.
    pub fn settle(&self, place: LogPosition) {
        self.lock().settle(place);
    }

    /// What is to be written to acknowledge an event, and the place up to which all is done then; `None`
    /// where there is nothing to write.
    pub fn entry_for(&self, event: &Event) -> Result<Option<(LogPosition, Mutation)>> {
        let place = self.lock().place_of(event)?;
        Ok(place.map(|place| (place, self.mutation(CursorMove::Acknowledge(place)))))
    }

    /// Moves the cursor, and has its watcher go on from there.
    pub fn seek(&self, watcher: &Watcher, after: Since) -> Result<()> {
        let shared = self.store.upgrade().ok_or(Error::Closed)?;
        let place = shared.place_to_watch_from(after)?;
        shared.apply(self.mutation(CursorMove::Seek(place)))?;
        *self.lock() = Acknowledgements::from(place);
        watcher.restart(place);
        Ok(())
    }

    fn mutation(&self, to: CursorMove) -> Mutation {
        Mutation::MoveCursor { name: self.name.clone(), to }
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book").field("name", &self.name).finish_non_exhaustive()
    }
}
