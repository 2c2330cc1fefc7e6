//! A look at SQLite's WAL index: the one file with `unsafe`.
//!
//! The WAL index is memory that all connections to a file share, in all processes. It begins with a
//! header, which every commit writes anew. Its layout is part of SQLite's file format, in section 2.1
//! of "WAL-mode File Format" in SQLite's documentation: at byte 8 a counter of commits, at 16 the
//! number of frames in the log, at 32 the log's salts, at 40 a checksum of all of that. A second copy
//! of the header follows the first.

#![expect(unsafe_code, reason = "SQLite hands out the address of its shared memory, and no more")]

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use rusqlite::{Connection, ffi};

use super::cache::CommitMark;
use super::store_file::StoreFile;

/// How large the regions are in which SQLite maps the index.
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
    /// The first, in big-endian order, is one more each time the log starts over.
    salts: [AtomicU32; 2],
    checksum: AtomicU64,
}

/// The header of a file's WAL index, for as long as this is alive.
pub(super) struct WalIndex {
    header: NonNull<Header>,
    /// Keeps the index mapped. SQLite unmaps it only with the last connection of the process, and the
    /// file cannot leave WAL mode as long as there is one. Behind a lock, since connections are not
    /// shared between threads; nobody takes it.
    _connection: Mutex<Connection>,
}

// SAFETY: `header` points to memory that any thread and any process may read and write at any time,
// and that stays mapped until `_connection` is dropped. It is only read, and only as atomics.
unsafe impl Send for WalIndex {}
// SAFETY: as above.
unsafe impl Sync for WalIndex {}

impl WalIndex {
    /// Finds the index by a connection that is used for nothing else. `None` where there is none: a
    /// file that is not in WAL mode, or a VFS without shared memory.
    pub fn open(connection: Connection, file: &StoreFile) -> rusqlite::Result<Option<Self>> {
        // The index is there once something was read.
        file.wait_for_lock(|| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))?;
        let header = map(&connection);
        Ok(header.map(|header| Self { header, _connection: Mutex::new(connection) }))
    }

    /// The checksum of the header: no two commits have the same.
    #[inline]
    pub fn word(&self) -> u64 {
        // Acquire: what is read from SQLite or from the cache afterwards is at least as new.
        self.header().checksum.load(Ordering::Acquire)
    }

    /// The header, if nobody is writing it just now.
    pub fn mark(&self) -> Option<CommitMark> {
        let header = self.header();
        let word = self.word();
        let mark = CommitMark {
            word,
            change: header.change.load(Ordering::Relaxed),
            frames: header.frames.load(Ordering::Relaxed),
            restarts: u32::from_be(header.salts[0].load(Ordering::Relaxed)),
        };
        // The loads above come before the one below: what lies between two equal words is theirs.
        fence(Ordering::Acquire);
        (header.checksum.load(Ordering::Relaxed) == word).then_some(mark)
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: see `header`. Any bytes are a valid `Header`, and those of another process that
        // writes them are as good as those of another thread: the processor does not know the
        // difference. SQLite aligns the index to a page.
        unsafe { self.header.as_ref() }
    }
}

/// Asks SQLite where it has mapped the first region of the index.
fn map(connection: &Connection) -> Option<NonNull<Header>> {
    let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
    let mut region: *mut c_void = std::ptr::null_mut();
    // SAFETY: the handle is that of an open connection, which this thread alone has; SQLite writes a
    // pointer to where the last argument points. The file it names lives as long as the connection,
    // and its methods are those of its VFS, of which `xShmMap` exists from version 2 on. With 0 for
    // `extend` it maps what is there, and changes nothing.
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
