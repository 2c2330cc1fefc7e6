//! A connection that is closed as the guard of its file allows.

use std::cell::Cell;
use std::ffi::c_int;
use std::ops::Deref;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::Guard;
use crate::engine::sqlite::held::{Held, Prepared, Run};
use crate::engine::sqlite::scan_shape::Shape;
use crate::engine::sqlite::walker::{Base, Walker};

/// A connection to a store.
pub(crate) struct GuardedConnection {
    /// `None` only while it is closed.
    connection: Option<Prepared>,
    /// `None` while it is not known yet which file it is.
    guard: Option<Arc<Guard>>,
    /// Taken out while it is used.
    walker: Cell<Option<Box<Walker>>>,
}

impl GuardedConnection {
    /// Opens a connection.
    pub fn open(
        guard: Option<&Arc<Guard>>,
        open: impl FnOnce() -> rusqlite::Result<Connection>,
    ) -> rusqlite::Result<Self> {
        // Counted before it is opened: while it locks the file, the guard must not close its own descriptors.
        if let Some(guard) = guard {
            guard.connects();
        }
        match open() {
            Ok(connection) => {
                let (connection, guard) = (Some(Prepared::new(connection)), guard.map(Arc::clone));
                Ok(Self { connection, guard, walker: Cell::default() })
            }
            Err(error) => {
                if let Some(guard) = guard {
                    guard.failed_to_connect();
                }
                Err(error)
            }
        }
    }

    /// Calls `tell` after each commit to a log, with the number of pages that the log then has.
    pub fn after_commit(&mut self, mut tell: impl FnMut(u32) + Send + 'static) -> rusqlite::Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        connection.wal_hook(move |_: &mut Wal, pages: c_int| {
            tell(pages.unsigned_abs());
            Ok(())
        })
    }

    /// Begins to run a held statement.
    #[inline]
    pub fn held(&self, held: Held) -> rusqlite::Result<Run<'_>> {
        self.prepared().held(held)
    }

    /// Begins to run a scan.
    #[inline]
    pub fn scan(&self, shape: Shape) -> rusqlite::Result<Run<'_>> {
        self.prepared().scan(shape)
    }

    /// Lets a walker read at the moment of the read transaction that is open, until [`end_walking`](Self::end_walking).
    pub fn begin_walking(&self, base: Base) {
        let mut walker = self.walker.take().unwrap_or_default();
        walker.begin(base);
        self.walker.set(Some(walker));
    }

    /// To be called before the read transaction ends.
    pub fn end_walking(&self) {
        if let Some(mut walker) = self.walker.take() {
            walker.end();
            self.walker.set(Some(walker));
        }
    }

    /// Asks the walker, if there is one. `None` where it has no answer.
    #[inline]
    pub fn walk<T>(&self, ask: impl FnOnce(&mut Walker, &Connection) -> Option<T>) -> Option<T> {
        let mut walker = self.walker.take()?;
        let answer = if walker.has_moment() { ask(&mut walker, self) } else { None };
        self.walker.set(Some(walker));
        answer
    }

    /// Closes the connection, and says how that went.
    pub fn close(mut self) -> rusqlite::Result<()> {
        self.end()
    }

    /// The connection and its held statements.
    #[inline]
    #[expect(clippy::expect_used, reason = "the connection is taken out only when this is dropped")]
    pub fn prepared(&self) -> &Prepared {
        self.connection.as_ref().expect("a connection that is not closed")
    }

    fn end(&mut self) -> rusqlite::Result<()> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        match &self.guard {
            None => connection.into_inner().close().map_err(|(_, error)| error),
            Some(guard) if guard.is_of_this_process() => guard.close(connection.into_inner()),
            Some(_) => {
                // The locks are the parent's, and so is the log. SQLite must not touch either.
                std::mem::forget((connection, self.guard.take()));
                Ok(())
            }
        }
    }
}

impl Deref for GuardedConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.prepared()
    }
}

impl Drop for GuardedConnection {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "a connection could not be closed cleanly");
        }
    }
}
