//! The connections that read.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::commit::Committer;
use super::connection;
use super::queries::{Queries, ReadThrough};
use super::store_file::StoreFile;
use crate::data::{Clock, Error, Result, locked, unpoisoned};
use crate::engine::Answer;

/// How many idle connections are kept open.
const IDLE_MAX: usize = 16;

/// Lends connections to readers.
pub(super) enum Readers {
    /// Each reader gets its own connection from a pool.
    File { path: PathBuf, file: StoreFile, pool: Arc<Pool> },
    /// There is one connection, which the writer uses as well.
    Memory(Arc<Committer>),
}

/// The idle connections; `None` once the store is closed.
pub(super) struct Pool(Mutex<Option<Vec<Connection>>>);

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        locked(&self.0)
    }

    /// Keeps a connection for the next reader, or closes it.
    fn put_back(&self, connection: Connection) {
        match &mut *self.lock() {
            Some(idle) if idle.len() < IDLE_MAX => idle.push(connection),
            _ => {}
        }
    }
}

impl Readers {
    pub fn of_file(path: PathBuf, file: StoreFile) -> Self {
        Self::File { path, file, pool: Arc::new(Pool(Mutex::new(Some(Vec::new())))) }
    }

    pub fn of_memory(committer: Arc<Committer>) -> Self {
        Self::Memory(committer)
    }

    /// Lends a connection that is in no transaction.
    pub fn with<T>(&self, act: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        match self {
            Self::File { pool, .. } => {
                let connection = self.take()?;
                let result = act(&connection);
                pool.put_back(connection);
                result
            }
            Self::Memory(committer) => {
                let writer = committer.writer();
                act(&writer.as_ref().ok_or(Error::Closed)?.connection)
            }
        }
    }

    pub fn put_back(&self, connection: Connection) {
        if let Self::File { pool, .. } = self {
            pool.put_back(connection);
        }
    }

    /// A connection that shows one moment while it is held.
    pub fn snapshot(&self, file: &StoreFile, clock: &Arc<dyn Clock>) -> Result<SnapshotReader> {
        let failure = |error| file.failure(error);
        let (connection, pool) = match self {
            Self::File { pool, .. } => {
                let connection = self.take()?;
                // The first read of the transaction decides which moment it sees.
                let pin = || {
                    connection.execute_batch("BEGIN")?;
                    Queries { connection: &connection, clock: &**clock }.revision().inspect_err(|_| {
                        let _ = connection.execute_batch("ROLLBACK");
                    })
                };
                file.wait_for_lock(pin).map_err(failure)?;
                (connection, Some(Arc::clone(pool)))
            }
            Self::Memory(committer) => {
                let mut copy = Connection::open_in_memory().map_err(failure)?;
                let writer = committer.writer();
                let original = &writer.as_ref().ok_or(Error::Closed)?.connection;
                Backup::new(original, &mut copy).and_then(|backup| backup.step(-1)).map_err(failure)?;
                connection::prepare(&copy).map_err(failure)?;
                (copy, None)
            }
        };
        let connection = Mutex::new(Some(connection));
        Ok(SnapshotReader { connection, pool, file: file.clone(), clock: Arc::clone(clock) })
    }

    pub fn close(&self) {
        if let Self::File { pool, .. } = self {
            *pool.lock() = None;
        }
    }

    fn take(&self) -> Result<Connection> {
        let Self::File { path, file, pool } = self else { return Err(Error::Closed) };
        match pool.lock().as_mut() {
            None => return Err(Error::Closed),
            Some(idle) => {
                if let Some(connection) = idle.pop() {
                    return Ok(connection);
                }
            }
        }
        connection::reader(path, file)
    }
}

/// One moment of the store.
pub(super) struct SnapshotReader {
    /// Used by one thread at a time. `None` only once dropped.
    connection: Mutex<Option<Connection>>,
    /// The pool that gets the connection back; `None` for the copy of a store in memory.
    pool: Option<Arc<Pool>>,
    file: StoreFile,
    clock: Arc<dyn Clock>,
}

impl ReadThrough for SnapshotReader {
    fn read<T>(&self, query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>) -> Answer<T> {
        let connection = locked(&self.connection);
        let Some(connection) = connection.as_ref() else { return Answer::ready(Err(Error::Closed)) };
        query(&Queries { connection, clock: &*self.clock }).map_err(|error| self.file.failure(error)).into()
    }
}

impl Drop for SnapshotReader {
    fn drop(&mut self) {
        let connection = unpoisoned(self.connection.get_mut()).take();
        if let (Some(connection), Some(pool)) = (connection, &self.pool)
            && connection.execute_batch("ROLLBACK").is_ok()
        {
            pool.put_back(connection);
        }
    }
}
