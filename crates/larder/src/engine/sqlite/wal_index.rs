//! Reads SQLite's WAL index: the one file with `unsafe`.
//!
//! The WAL index is memory that all connections of all processes share. It begins with a header, which every
//! commit rewrites. Section 2.1 of "WAL-mode File Format" in SQLite's documentation has its layout: at byte 8 a
//! counter of commits, at 16 the number of frames in the log, at 32 the log's salts, at 40 a checksum of all of
//! that. A second copy of the header follows the first.

#![expect(unsafe_code, reason = "SQLite hands out the address of its shared memory, and no more")]

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use rusqlite::{Connection, ffi};

use super::cache::CommitMark;
use super::store_file::StoreFile;

/// The size of the regions in which SQLite maps the index, in bytes.
const REGION_BYTES: c_int = 32 << 10;

/// The header as SQLite writes it, in the machine's own byte order.
#[repr(C)]
struct Header {
    version: AtomicU32,
    unused: AtomicU32,
    change: AtomicU32,
    flags_and_page_size: AtomicU32,
    frames: AtomicU32,
    pages: AtomicU32,
    frame_checksum: [AtomicU32; 2],
    /// The first, in big-endian order, grows by one each time the log starts over.
    salts: [AtomicU32; 2],
    checksum: AtomicU64,
}

/// The header of a file's WAL index, mapped while this is alive.
pub(super) struct WalIndex {
    header: NonNull<Header>,
    /// Keeps the index mapped: SQLite unmaps it with the last connection of the process, and the file cannot
    /// leave WAL mode while there is one. The lock is never taken; it makes the connection `Sync`.
    _connection: Mutex<Connection>,
}

// SAFETY: `header` points to memory that any thread and any process may read and write at any time,
// and that stays mapped until `_connection` is dropped. It is only read, and only as atomics.
unsafe impl Send for WalIndex {}
// SAFETY: as above.
unsafe impl Sync for WalIndex {}

impl WalIndex {
    /// Finds the index through a connection that is used for nothing else. `None` for a file that is not in WAL
    /// mode, or a VFS without shared memory.
    pub fn open(connection: Connection, file: &StoreFile) -> rusqlite::Result<Option<Self>> {
        // The index is mapped by the first read.
        file.wait_for_lock(|| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))?;
        let header = map(&connection);
        Ok(header.map(|header| Self { header, _connection: Mutex::new(connection) }))
    }

    /// The checksum of the header: no two commits have the same.
    #[inline]
    pub fn word(&self) -> u64 {
        // Acquire: later reads from SQLite or from the cache see at least this commit.
        self.header().checksum.load(Ordering::Acquire)
    }

    /// The header; `None` while a process writes it.
    pub fn mark(&self) -> Option<CommitMark> {
        let header = self.header();
        let word = self.word();
        let mark = CommitMark {
            word,
            change: header.change.load(Ordering::Relaxed),
            frames: header.frames.load(Ordering::Relaxed),
            restarts: u32::from_be(header.salts[0].load(Ordering::Relaxed)),
        };
        // The loads above come before the one below: between two equal words the header did not change.
        fence(Ordering::Acquire);
        (header.checksum.load(Ordering::Relaxed) == word).then_some(mark)
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: `header` is mapped while `self` is alive. Any bytes are a valid `Header`. Writes of another
        // process are like those of another thread: to the processor there is no difference. SQLite aligns
        // the index to a page.
        unsafe { self.header.as_ref() }
    }
}

/// Asks SQLite where it has mapped the first region of the index.
fn map(connection: &Connection) -> Option<NonNull<Header>> {
    let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
    let mut region: *mut c_void = std::ptr::null_mut();
    // SAFETY: the handle belongs to an open connection that only this thread has. SQLite writes a pointer to
    // where the last argument points. The file behind it lives as long as the connection. Its methods are those
    // of its VFS, which has `xShmMap` from version 2 on. With 0 for `extend` it maps what exists and changes
    // nothing.
    let mapped = unsafe {
        let out = (&raw mut file).cast();
        let found = ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            out,
        );
        if found != ffi::SQLITE_OK {
            return None;
        }
        let methods = file.as_ref()?.pMethods.as_ref()?;
        if methods.iVersion < 2 {
            return None;
        }
        methods.xShmMap?(file, 0, REGION_BYTES, 0, &raw mut region)
    };
    if mapped == ffi::SQLITE_OK { NonNull::new(region.cast()) } else { None }
}
