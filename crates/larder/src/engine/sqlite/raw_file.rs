//! SQLite's own handle of a database file, for what SQLite has no function for.
//!
//! A VFS gives each connection a handle with methods, and another one for its log. larder calls four of them: one that
//! maps the WAL index, one that reads the file or the log, one that syncs them, and one that locks the index against
//! checkpoints. And it asks
//! what the system said of an error, and whether the name of the file leads elsewhere by now: rusqlite has no functions
//! for these.

#![expect(unsafe_code, reason = "the handle is a C structure with a table of functions")]

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

use rusqlite::{Connection, ffi};

/// `WAL_CKPT_LOCK` of SQLite's `wal.c`: who holds it alone is the only one that checkpoints.
const CHECKPOINT_LOCK: c_int = 1;

/// What the system said of the last file operation of a connection that failed.
pub(super) fn system_error(connection: &Connection) -> Option<std::io::Error> {
    // SAFETY: the connection is open. SQLite returns a number that it keeps.
    let code = unsafe { ffi::sqlite3_system_errno(connection.handle()) };
    (code != 0).then(|| std::io::Error::from_raw_os_error(code))
}

/// Whether the name by which a connection has opened its file leads to another one by now, or to none. Only SQLite's VFS
/// knows which file it has open. `false` where it does not tell, as on Windows, which renames and deletes no open file.
pub(super) fn has_moved(connection: &Connection) -> bool {
    let mut moved: c_int = 0;
    // SAFETY: the connection is open, and SQLite writes a number to where the last argument points.
    let told = unsafe {
        let out: *mut c_void = (&raw mut moved).cast();
        ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), ffi::SQLITE_FCNTL_HAS_MOVED, out)
    };
    told == ffi::SQLITE_OK && moved != 0
}

/// The handle of a connection's database file. Not `Send`: it is used where its connection is.
pub(super) struct RawFile<'a> {
    file: NonNull<ffi::sqlite3_file>,
    methods: &'a ffi::sqlite3_io_methods,
    connection: PhantomData<&'a Connection>,
}

impl<'a> RawFile<'a> {
    /// The handle; `None` where the connection has no file.
    pub fn of(connection: &'a Connection) -> Option<Self> {
        Self::find(connection, ffi::SQLITE_FCNTL_FILE_POINTER)
    }

    /// The handle of the log; `None` where the connection has none open. It stays open while the connection reads
    /// through the log, so it is used at once.
    pub fn of_log(connection: &'a Connection) -> Option<Self> {
        Self::find(connection, ffi::SQLITE_FCNTL_JOURNAL_POINTER)
    }

    fn find(connection: &'a Connection, which: c_int) -> Option<Self> {
        let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
        // SAFETY: the connection is open, and SQLite writes a pointer to where the last argument points.
        let found = unsafe {
            let out: *mut c_void = (&raw mut file).cast();
            ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), which, out)
        };
        let file = NonNull::new(file).filter(|_| found == ffi::SQLITE_OK)?;
        // SAFETY: the handle lives as long as its connection, which `'a` keeps. Its table of methods is a constant of
        // the VFS, or null where no file is open.
        let methods = unsafe { file.as_ref().pMethods.as_ref()? };
        Some(Self { file, methods, connection: PhantomData })
    }

    /// The handle itself.
    pub fn handle(&self) -> NonNull<ffi::sqlite3_file> {
        self.file
    }

    /// The methods of the VFS.
    pub fn methods(&self) -> &'a ffi::sqlite3_io_methods {
        self.methods
    }

    /// Maps the first region of the WAL index, if there is one. It stays mapped while the connection is open.
    pub fn map_index(&self, region_bytes: c_int) -> Option<NonNull<c_void>> {
        let map = self.methods.xShmMap.filter(|_| self.has_shared_memory())?;
        let mut region: *mut c_void = std::ptr::null_mut();
        // SAFETY: as the VFS's contract asks: an open file, the size of SQLite's own regions, and 0 to create nothing.
        let mapped = unsafe { map(self.file.as_ptr(), 0, region_bytes, 0, &raw mut region) };
        NonNull::new(region).filter(|_| mapped == ffi::SQLITE_OK)
    }

    /// Reads bytes from a place on. Returns whether all of them were there.
    pub fn read(&self, into: &mut [u8], from: u64) -> bool {
        let (Some(read), Ok(length), Ok(from)) =
            (self.methods.xRead, c_int::try_from(into.len()), i64::try_from(from))
        else {
            return false;
        };
        // SAFETY: an open file, and as many bytes to write to as are asked for. Where fewer can be read, SQLite fills them up.
        unsafe { read(self.file.as_ptr(), into.as_mut_ptr().cast(), length, from) == ffi::SQLITE_OK }
    }

    /// Syncs the file, to the platter where the system makes a difference.
    pub fn sync(&self) -> rusqlite::Result<()> {
        let Some(sync) = self.methods.xSync else { return Ok(()) };
        // SAFETY: an open file, and flags that the VFS's contract lists.
        let code = unsafe { sync(self.file.as_ptr(), ffi::SQLITE_SYNC_FULL) };
        match code {
            ffi::SQLITE_OK => Ok(()),
            code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
        }
    }

    /// Runs `act` while no connection of any process can checkpoint. Returns whether the lock was free.
    pub fn without_checkpoints(&self, act: impl FnOnce()) -> bool {
        let lock = self.methods.xShmLock.filter(|_| self.has_shared_memory());
        let Some(lock) = lock else { return false };
        let change = |how| {
            // SAFETY: an open file whose index is mapped by this connection, one lock of those that SQLite has, and
            // flags that the VFS's contract lists. The lock is released below, by the connection that took it.
            unsafe { lock(self.file.as_ptr(), CHECKPOINT_LOCK, 1, how | ffi::SQLITE_SHM_EXCLUSIVE) }
        };
        let taken = change(ffi::SQLITE_SHM_LOCK) == ffi::SQLITE_OK;
        if taken {
            act();
            change(ffi::SQLITE_SHM_UNLOCK);
        }
        taken
    }

    /// Whether the VFS has the methods for shared memory, which came with their second version.
    fn has_shared_memory(&self) -> bool {
        self.methods.iVersion >= 2
    }
}
