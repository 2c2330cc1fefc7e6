//! The files that this process has open as stores, each once, however many stores are open on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use rusqlite::Connection;

use super::file_id::FileId;
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::locks::Locks;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use super::no_locks::Locks;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use super::no_notices::Notices;
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::notices::Notices;
use crate::data::{Error, Result, locked};
use crate::engine::Process;

/// A file, and the locks on it that all connections of this process share.
#[derive(Debug)]
pub(super) struct OpenFile {
    /// How many connections there are, with those that are being opened. Changed under the lock of `locks`; a forked
    /// process reads it without.
    connections: AtomicUsize,
    /// `None` once the descriptors are closed, because nobody uses the file any more.
    locks: Mutex<Option<Locks>>,
    notices: Mutex<Weak<Notices>>,
}

/// The table of one process. A forked process has the next one, because a thread of its parent may have held the lock
/// of this one.
struct Table {
    files: Mutex<BTreeMap<FileId, Row>>,
    inherited: Inherited,
    of_child: OnceLock<Box<Table>>,
}

struct Row {
    file: Arc<OpenFile>,
    /// How many stores use it. With none left, its descriptors wait until they can be closed.
    stores: usize,
}

impl Row {
    /// Closes the descriptors if nobody needs them and no lock is lost by that. Returns whether they are closed.
    ///
    /// To be called with the table locked: so no store registers meanwhile. And no connection of a store is opened
    /// meanwhile, because it is counted first.
    fn close_if_unused(&self) -> bool {
        let mut locks = locked(&self.file.locks);
        let is_unused = self.stores == 0 && self.file.connections.load(Ordering::Relaxed) == 0;
        if is_unused && locks.as_ref().is_none_or(Locks::may_be_closed) {
            *locks = None;
            return true;
        }
        false
    }
}

/// What was open in the process that this one was forked from.
///
/// SQLite keeps a list of its open files and of their locks, which a forked process inherits and believes, although the
/// locks are the parent's. So these files are unusable there, through any connection.
enum Inherited {
    These(BTreeSet<FileId>),
    /// A thread was changing the table when the process was forked.
    Unknown,
}

static FIRST: Table = Table {
    files: Mutex::new(BTreeMap::new()),
    inherited: Inherited::These(BTreeSet::new()),
    of_child: OnceLock::new(),
};

impl Table {
    /// The table of this process.
    fn current() -> &'static Self {
        (0..Process::current().depth()).fold(&FIRST, |parent, _| {
            parent.of_child.get_or_init(|| {
                let inherited = parent.pass_on();
                Box::new(Self { files: Mutex::default(), inherited, of_child: OnceLock::new() })
            })
        })
    }

    fn pass_on(&self) -> Inherited {
        let (Inherited::These(before), Ok(files)) = (&self.inherited, self.files.try_lock()) else {
            return Inherited::Unknown;
        };
        let open = files.iter().filter(|(_, row)| row.file.connections.load(Ordering::Relaxed) > 0);
        Inherited::These(open.map(|(id, _)| *id).chain(before.iter().copied()).collect())
    }

    fn is_inherited(&self, id: FileId) -> bool {
        match &self.inherited {
            Inherited::These(files) => files.contains(&id),
            Inherited::Unknown => true,
        }
    }
}

impl OpenFile {
    /// Registers a store on a file, before SQLite opens it. `None` where the system does not tell files apart, and for
    /// a path that leads nowhere, which SQLite reports.
    ///
    /// # Errors
    /// `ForkedProcess` where the process that this one was forked from had the file open.
    pub fn register(path: &Path) -> Result<Option<(FileId, Arc<Self>)>> {
        let Ok(Some(id)) = FileId::of(path) else { return Ok(None) };
        let table = Table::current();
        if table.is_inherited(id) {
            return Err(Error::ForkedProcess);
        }
        let mut files = locked(&table.files);
        files.retain(|_, row| !row.close_if_unused());
        if let Some(row) = files.get_mut(&id) {
            row.stores += 1;
            return Ok(Some((id, Arc::clone(&row.file))));
        }
        let Ok((locks, Some(id))) = path.canonicalize().and_then(|path| Locks::open(&path)) else {
            return Ok(None);
        };
        if let Some(row) = files.get_mut(&id) {
            // The path has just come to lead to this file. Closing the new descriptor would drop SQLite's locks.
            if let Some(first) = &mut *locked(&row.file.locks) {
                first.keep(locks);
            }
            row.stores += 1;
            return Ok(Some((id, Arc::clone(&row.file))));
        }
        let file = Arc::new(Self {
            connections: AtomicUsize::new(0),
            locks: Mutex::new(Some(locks)),
            notices: Mutex::default(),
        });
        files.insert(id, Row { file: Arc::clone(&file), stores: 1 });
        Ok(Some((id, file)))
    }

    /// Takes back what `register` did.
    pub fn unregister(id: FileId) {
        let mut files = locked(&Table::current().files);
        let Some(row) = files.get_mut(&id) else { return };
        row.stores -= 1;
        if row.close_if_unused() {
            files.remove(&id);
        }
    }

    /// Closes the descriptors of a file that no store uses any more, if they can be closed now.
    pub fn settle(id: FileId) {
        let mut files = locked(&Table::current().files);
        if files.get(&id).is_some_and(Row::close_if_unused) {
            files.remove(&id);
        }
    }

    /// Counts a connection, before it is opened.
    pub fn connects(&self) {
        let _locks = locked(&self.locks);
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back what `connects` did, if the connection could not be opened.
    pub fn failed_to_connect(&self) {
        let mut locks = locked(&self.locks);
        if self.connections.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(locks) = &mut *locks
        {
            locks.release();
        }
    }

    /// Holds the locks from now on. `index` is the file with the WAL index, which SQLite has open.
    pub fn hold(&self, index: &Path) -> std::io::Result<()> {
        locked(&self.locks).as_mut().map_or(Ok(()), |locks| locks.hold(index))
    }

    /// The reports on the file and those beside it. `None` where the system gives none.
    pub fn notices<'a>(&self, files: impl IntoIterator<Item = &'a Path>) -> Option<Arc<Notices>> {
        let mut known = locked(&self.notices);
        known.upgrade().or_else(|| {
            let notices = Arc::new(Notices::on(files)?);
            *known = Arc::downgrade(&notices);
            Some(notices)
        })
    }

    /// Closes a connection: the last one without the locks, so that it can take the log away. `before` is told whether
    /// it is the last, and how many names the file has.
    pub fn close(
        &self,
        connection: Connection,
        before: impl FnOnce(&Connection, bool, Option<u64>),
    ) -> rusqlite::Result<()> {
        let mut locks = locked(&self.locks);
        let is_last = self.connections.load(Ordering::Relaxed) == 1;
        before(&connection, is_last, locks.as_ref().and_then(Locks::names));
        if is_last && let Some(locks) = &mut *locks {
            locks.release();
        }
        let closed = connection.close().map_err(|(connection, error)| {
            // It will not close a second time either, and is not counted any more.
            drop(connection);
            error
        });
        self.connections.fetch_sub(1, Ordering::Relaxed);
        closed
    }

    /// Whether the lock to write, which a connection of this process believes to hold, is still there.
    pub fn has_write_lock(&self) -> bool {
        locked(&self.locks).as_ref().is_none_or(Locks::has_write_lock)
    }

    /// The version of the SQLite that has changed the header of the file last, where that can be read.
    pub fn last_version(&self) -> Option<u32> {
        locked(&self.locks).as_ref().and_then(Locks::last_version)
    }

    /// How many names the file has, where the system tells: zero once it was deleted.
    pub fn names(&self) -> Option<u64> {
        locked(&self.locks).as_ref().and_then(Locks::names)
    }
}
