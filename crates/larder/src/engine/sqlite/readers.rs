//! The connections that read.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::connection;
use super::guard::GuardedConnection;
use super::kept_reads::Moment;
use super::queries::{Queries, ReadThrough, ask};
use super::reader_pool::{Lent, ReaderPool, Use};
use super::store_file::StoreFile;
use crate::data::{Clock, Error, Result, Revision, locked, unpoisoned};
use crate::engine::{Answer, Process};

/// Lends connections to readers: each gets its own from a pool.
pub(super) struct Readers {
    path: PathBuf,
    file: StoreFile,
    pool: Arc<ReaderPool>,
}

impl Readers {
    pub fn new(path: PathBuf, file: StoreFile, pool: Arc<ReaderPool>) -> Self {
        Self { path, file, pool }
    }

    /// The connections of this store that read.
    pub fn pool(&self) -> &ReaderPool {
        &self.pool
    }

    /// Reads what one moment shows, and may keep the connection at it for the next read.
    pub fn read<T>(&self, act: impl FnOnce(&GuardedConnection) -> Result<T>) -> Result<T> {
        let pool = &self.pool;
        let mut reader = self.take(Use::Read)?;
        if reader.kept_at().is_some() {
            // Nobody has committed since its moment, so it is the present.
            let read = act(&reader);
            // After some errors SQLite has ended the transaction by itself.
            if read.is_err() && reader.leave().is_err() {
                reader.discard();
            }
            return read;
        }
        let Some(now) = reader.may_be_kept_at.filter(|_| pool.has_thread()) else { return act(&reader) };
        if reader.begin().is_err() {
            return act(&reader);
        }
        let read = act(&reader);
        // It shows that moment or a later one. If it may be later, nobody would ask for it.
        if read.is_ok()
            && reader.has_moment()
            && let Some(index) = pool.index()
            && Moment::now(&index) == now
        {
            reader.keep(now, index);
        } else if reader.leave().is_err() {
            reader.discard();
        }
        read
    }

    /// Lends a connection that is in no transaction.
    pub fn with<T>(&self, act: impl FnOnce(&GuardedConnection) -> Result<T>) -> Result<T> {
        act(&*self.take(Use::Other)?)
    }

    pub fn put_back(&self, connection: GuardedConnection) {
        self.pool.put_back(connection);
    }

    /// A connection that shows one moment while it is held.
    pub fn snapshot(&self, file: &StoreFile, clock: &Arc<dyn Clock>) -> Result<SnapshotReader> {
        let connection = self.take(Use::Other)?;
        let index = self.pool.index();
        let now = || index.as_deref().map(Moment::now);
        let before = now();
        // The first read of the transaction decides which moment it sees.
        let pin = || {
            connection.execute_batch("BEGIN")?;
            ask(&connection, &**clock, |reading| reading.revision()).inspect_err(|_| {
                let _ = connection.execute_batch("ROLLBACK");
            })
        };
        let revision = file.wait_for_lock(pin).map_err(|error| file.failure(error))?;
        if let (Some(before), true, Some(index)) = (before, before == now(), index.as_ref()) {
            connection.walk_at(before, Arc::clone(index));
        }
        let moment = Mutex::new(Some(connection));
        let (file, clock, process) = (file.clone(), Arc::clone(clock), Process::current());
        Ok(SnapshotReader { moment, revision, file, clock, process })
    }

    pub fn close(&self) {
        self.pool.close();
    }

    fn take(&self, wanted: Use) -> Result<Lent> {
        let Self { path, file, pool } = self;
        file.before_read()?;
        pool.lend(wanted, || connection::reader(path, file))
    }
}

/// One moment of the store.
pub(super) struct SnapshotReader {
    /// A connection in a transaction, used by one thread at a time. `None` only once dropped.
    moment: Mutex<Option<Lent>>,
    revision: Revision,
    file: StoreFile,
    clock: Arc<dyn Clock>,
    process: Process,
}

impl ReadThrough for SnapshotReader {
    fn read<T>(&self, query: impl Fn(&Queries<'_>) -> rusqlite::Result<T>) -> Answer<T> {
        let moment = locked(&self.moment);
        let Some(moment) = moment.as_ref() else { return Answer::ready(Err(Error::Closed)) };
        if let Err(stopped) = self.file.before_read() {
            return Answer::ready(Err(stopped));
        }
        if moment.is_autocommit() {
            // A read has failed, and SQLite has ended the transaction. The next would see the present.
            return Answer::ready(Err(Error::SnapshotLost { revision: self.revision }));
        }
        ask(moment, &*self.clock, query).map_err(|error| self.file.failure(error)).into()
    }
}

impl Drop for SnapshotReader {
    fn drop(&mut self) {
        let moment = unpoisoned(self.moment.get_mut()).take();
        if !self.process.is_current() {
            // The locks are the parent's. Closing would drop what SQLite knows of them, and may touch the file.
            std::mem::forget(moment);
            return;
        }
        if let Some(mut lent) = moment
            && lent.leave().is_err()
        {
            lent.discard();
        }
    }
}
