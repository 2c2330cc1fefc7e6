//! Locks that outlive a closed descriptor: the one file with `unsafe` for locks.
//!
//! SQLite marks a file as in use with POSIX locks. When a process closes *any* descriptor of a file, the system drops
//! all POSIX locks of the process on it, also those of other descriptors. So a program that once reads its own
//! database file, to copy or to hash it, leaves it unlocked, and the next process to close it believes that it is the
//! last, and deletes the log.
//!
//! Linux has other locks, which belong to an open descriptor (`F_OFD_SETLK` in `fcntl(2)`) and conflict with POSIX
//! locks. Each process has one such descriptor for each file, and holds a second lock where SQLite holds its own:
//! shared on the bytes that say "somebody has this database open", and on the byte of the WAL index that says "somebody
//! uses this index". No process gets an exclusive lock on these while the file is open.

#![expect(unsafe_code, reason = "the standard library has no locks on ranges of bytes")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::file_id::FileId;
use crate::engine::ClosedInChild;

/// Where SQLite locks a database that it reads: see `SHARED_FIRST` and `SHARED_SIZE` in its `os.h`.
const IN_USE: Range = Range { first: 0x4000_0002, length: 510 };

/// The "dead man switch" of the WAL index: see `UNIX_SHM_DMS` in SQLite's `os_unix.c`.
const INDEX_IN_USE: Range = Range { first: 128, length: 1 };

/// The byte of the WAL index that whoever writes has locked: `WAL_WRITE_LOCK` in `wal.c`.
const WRITE_LOCK: Range = Range { first: 120, length: 1 };

/// Every byte. A length of 0 reaches to the end of any file.
const EVERYTHING: Range = Range { first: 0, length: 0 };

#[derive(Clone, Copy)]
struct Range {
    first: libc::off_t,
    length: libc::off_t,
}

/// The descriptors of one file by which this process holds its locks.
#[derive(Debug)]
pub(super) struct Locks {
    database: Descriptor,
    /// Of the WAL index.
    index: Option<Descriptor>,
    /// Descriptors of an index that was replaced, which may not be closed yet.
    spare: Vec<Descriptor>,
    held: bool,
}

/// A descriptor. To close it drops every POSIX lock that this process has on its file.
#[derive(Debug)]
struct Descriptor {
    file: OwnedFd,
    _closed_in_child: ClosedInChild,
}

impl Descriptor {
    fn open(path: &Path) -> io::Result<(Self, Option<FileId>)> {
        let mut options = OpenOptions::new();
        options.read(true);
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
        let file: File = options.open(path)?;
        let closed = ClosedInChild::new(file.as_raw_fd());
        let id = FileId::in_metadata(&file.metadata()?);
        Ok((Self { file: file.into(), _closed_in_child: closed }, id))
    }

    fn set(&self, kind: libc::c_int, range: Range) -> io::Result<()> {
        let lock = lock(kind, range);
        // SAFETY: the descriptor is open, and `lock` lives until the call has returned.
        let done = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The first lock in a range, of anybody but this descriptor, that conflicts with one of this kind: its kind, and
    /// the process that has it.
    fn conflict(&self, kind: libc::c_int, range: Range) -> io::Result<Option<(libc::c_int, libc::pid_t)>> {
        let mut lock = lock(kind, range);
        // SAFETY: as in `set`; the system writes its answer into `lock`.
        let done = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        let kind = libc::c_int::from(lock.l_type);
        Ok((kind != libc::F_UNLCK).then_some((kind, lock.l_pid)))
    }

    /// Whether this process may hold a POSIX lock on the file. If another process holds one as well, the system may
    /// name only that one.
    fn may_have_posix_locks(&self) -> bool {
        !matches!(self.conflict(libc::F_WRLCK, EVERYTHING), Ok(None))
    }
}

fn lock(kind: libc::c_int, range: Range) -> libc::flock {
    // SAFETY: a structure of numbers. Zero is what the system asks for in those that are not set below.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = range.first;
    lock.l_len = range.length;
    lock
}

impl Locks {
    /// Opens a file, and locks nothing yet.
    pub fn open(path: &Path) -> io::Result<(Self, Option<FileId>)> {
        let (database, id) = Descriptor::open(path)?;
        Ok((Self { database, index: None, spare: Vec::new(), held: false }, id))
    }

    /// Keeps other descriptors of the same file open as long as these.
    pub fn keep(&mut self, other: Self) {
        self.spare.push(other.database);
    }

    /// Holds the locks, while SQLite holds its own. `index` is the file with the WAL index.
    pub fn hold(&mut self, index: &Path) -> io::Result<()> {
        if self.held {
            return Ok(());
        }
        let (index, id) = Descriptor::open(index)?;
        if let Some(old) = self.index.replace(index) {
            let is_same = FileId::of_descriptor(&old.file) == id;
            // The same file again: the newer descriptor is the spare one, because neither may be closed now.
            if is_same {
                self.spare.extend(self.index.replace(old));
            } else {
                self.spare.push(old);
            }
        }
        self.database.set(libc::F_RDLCK, IN_USE)?;
        self.held = true;
        if let Some(index) = &self.index {
            index.set(libc::F_RDLCK, INDEX_IN_USE)?;
        }
        Ok(())
    }

    /// Releases the locks, so that SQLite's last close can take the file for itself, checkpoint and delete the log.
    pub fn release(&mut self) {
        if !self.held {
            return;
        }
        let database = self.database.set(libc::F_UNLCK, IN_USE);
        let index = self.index.as_ref().map_or(Ok(()), |index| index.set(libc::F_UNLCK, INDEX_IN_USE));
        if let Err(error) = database.and(index) {
            tracing::warn!(%error, "a lock of a store could not be released, so its log stays");
        }
        self.held = false;
    }

    /// Whether the descriptors can be closed without dropping a lock of some other part of this process.
    pub fn may_be_closed(&self) -> bool {
        let all = self.index.iter().chain(&self.spare).chain([&self.database]);
        !self.held && all.into_iter().all(|descriptor| !descriptor.may_have_posix_locks())
    }

    /// Whether SQLite's lock to write, which a connection of this process believes to hold, is still there.
    pub fn has_write_lock(&self) -> bool {
        let Some(index) = self.index.as_ref().filter(|_| self.held) else { return true };
        match index.conflict(libc::F_RDLCK, WRITE_LOCK) {
            Ok(found) => found.is_some_and(|(kind, process)| {
                kind == libc::F_WRLCK && process.cast_unsigned() == std::process::id()
            }),
            // The system does not tell.
            Err(_) => true,
        }
    }

    /// The version of the SQLite that has changed the header of the database last: bytes 96 to 99 of the file.
    pub fn last_version(&self) -> Option<u32> {
        let mut bytes = [0; 4];
        let read = rustix::io::pread(&self.database.file, &mut bytes, 96).ok()?;
        let version = u32::from_be_bytes(bytes);
        (read == bytes.len() && version > 0).then_some(version)
    }

    /// How many names the database has: zero once it was deleted.
    pub fn names(&self) -> Option<u64> {
        rustix::fs::fstat(&self.database.file).ok().map(|found| {
            #[allow(clippy::useless_conversion, reason = "the type differs between architectures")]
            u64::from(found.st_nlink)
        })
    }
}
