//! The open files of all processes, and the locks of SQLite's on them.

use std::collections::BTreeMap;
use std::ffi::c_int;

use rusqlite::ffi;

use super::disk::FileId;
use super::world::Process;

/// An open file of one connection.
pub type HandleId = u64;

#[derive(Debug)]
pub struct Handle {
    pub file: FileId,
    /// By which name it was opened, if it had one.
    name: Option<String>,
    process: Process,
    /// A level of SQLite's, from none to exclusive.
    level: c_int,
    /// Whether it has the RESERVED lock. A connection that rolls back a journal has the EXCLUSIVE lock without it.
    reserved: bool,
}

#[derive(Debug, Default)]
pub struct Handles {
    open: BTreeMap<HandleId, Handle>,
    next: HandleId,
}

impl Handles {
    pub fn add(&mut self, file: FileId, name: Option<String>, process: Process) -> HandleId {
        self.next += 1;
        let handle = Handle { file, name, process, level: ffi::SQLITE_LOCK_NONE, reserved: false };
        self.open.insert(self.next, handle);
        self.next
    }

    /// The name by which a file was opened.
    pub fn name(&self, handle: HandleId) -> Option<String> {
        self.open.get(&handle)?.name.clone()
    }

    pub fn remove(&mut self, handle: HandleId) {
        self.open.remove(&handle);
    }

    pub fn file(&self, handle: HandleId) -> FileId {
        self.open.get(&handle).map_or(0, |handle| handle.file)
    }

    /// Those of one process.
    pub fn of(&self, process: Process) -> Vec<HandleId> {
        let own = self.open.iter().filter(|(_, handle)| handle.process == process);
        own.map(|(id, _)| *id).collect()
    }

    /// Drops the locks of a process.
    pub fn forget(&mut self, process: Process) {
        for handle in self.open.values_mut().filter(|handle| handle.process == process) {
            (handle.level, handle.reserved) = (ffi::SQLITE_LOCK_NONE, false);
        }
    }

    /// The highest level that another handle of the same file has.
    fn others(&self, own: HandleId) -> c_int {
        let file = self.file(own);
        let others = self.open.iter().filter(|(id, handle)| **id != own && handle.file == file);
        others.map(|(_, handle)| handle.level).max().unwrap_or(ffi::SQLITE_LOCK_NONE)
    }

    pub fn is_reserved(&self, handle: HandleId) -> bool {
        let Some(own) = self.open.get(&handle) else { return false };
        // SQLite's VFS knows the levels of its own process. For other processes it asks the system for the lock.
        let holds = |other: &Handle| {
            other.reserved || other.process == own.process && other.level > ffi::SQLITE_LOCK_SHARED
        };
        self.open.values().any(|other| other.file == own.file && holds(other))
    }

    fn level(&self, handle: HandleId) -> c_int {
        self.open.get(&handle).map_or(ffi::SQLITE_LOCK_NONE, |handle| handle.level)
    }

    fn set(&mut self, handle: HandleId, level: c_int) {
        if let Some(handle) = self.open.get_mut(&handle) {
            handle.level = level;
            handle.reserved = match level {
                ffi::SQLITE_LOCK_NONE | ffi::SQLITE_LOCK_SHARED => false,
                ffi::SQLITE_LOCK_RESERVED => true,
                _ => handle.reserved,
            };
        }
    }

    /// Takes a lock, as the page "File Locking And Concurrency" of SQLite's documentation says.
    pub fn lock(&mut self, handle: HandleId, level: c_int) -> c_int {
        let (own, others) = (self.level(handle), self.others(handle));
        if own >= level {
            return ffi::SQLITE_OK;
        }
        let is_free = match level {
            ffi::SQLITE_LOCK_SHARED => others < ffi::SQLITE_LOCK_PENDING,
            ffi::SQLITE_LOCK_RESERVED => others < ffi::SQLITE_LOCK_RESERVED,
            _ => {
                if others >= ffi::SQLITE_LOCK_RESERVED {
                    return ffi::SQLITE_BUSY;
                }
                self.set(handle, ffi::SQLITE_LOCK_PENDING);
                others < ffi::SQLITE_LOCK_SHARED
            }
        };
        if is_free {
            self.set(handle, level);
        }
        if is_free { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
    }

    pub fn unlock(&mut self, handle: HandleId, level: c_int) {
        if self.level(handle) > level {
            self.set(handle, level);
        }
    }
}
