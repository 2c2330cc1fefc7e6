//! Where the system has no locks that outlive a closed descriptor: SQLite's own have to do.
//!
//! Nothing is opened here, because to close it again would drop SQLite's locks.

use std::io;
use std::path::Path;

use super::file_id::FileId;

/// Holds nothing.
#[derive(Debug)]
pub(super) struct Locks;

impl Locks {
    pub fn open(path: &Path) -> io::Result<(Self, Option<FileId>)> {
        Ok((Self, FileId::of(path)?))
    }

    pub fn keep(&mut self, _other: Self) {}

    pub fn hold(&mut self, _index: &Path) -> io::Result<()> {
        Ok(())
    }

    pub fn release(&mut self) {}

    pub fn may_be_closed(&self) -> bool {
        true
    }

    pub fn has_write_lock(&self) -> bool {
        true
    }

    pub fn last_version(&self) -> Option<u32> {
        None
    }

    pub fn names(&self) -> Option<u64> {
        None
    }
}
