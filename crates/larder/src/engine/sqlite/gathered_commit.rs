//! Runs a commit whose frames go to the log with one call, with `unsafe`.
//!
//! A handle of SQLite begins with a pointer to the methods of its VFS. While a commit runs, the handle of the log has
//! methods of larder's: they hold frames back, and call the VFS for everything else. Before and after, and while the VFS is
//! called, it has those of the VFS. [`GatheredFrames`] decides what is held back; `docs/unsafe.md` argues why this is sound.

#![expect(unsafe_code, reason = "the handle is a C structure with a table of functions")]

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

use rusqlite::{Connection, ffi};

use super::gathered_frames::{Code, GatheredFrames};
use super::raw_file::RawFile;

/// The version of a VFS's methods that came with shared memory, and so with the log.
const VERSION: c_int = 2;

/// Runs `commit`, which commits the transaction of a connection in WAL mode. Nothing may end that mode meanwhile.
pub(super) fn gathered<T>(
    frames: &mut GatheredFrames,
    connection: &Connection,
    commit: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    frames.begin();
    let log = RawFile::of_log(connection).filter(|log| log.methods().iVersion >= VERSION);
    let Some(log) = log else { return commit() };
    let vfs = log.methods();
    let mut replaced = Replaced { methods: over(vfs), vfs, frames, is_closed: false };
    let in_place = InPlace::new(log.handle(), &mut replaced);
    let done = commit();
    drop(in_place);
    debug_assert!(done.is_err() || frames.is_empty(), "a commit that is not in the log");
    done
}

/// What the handle of the log leads to while a commit runs.
#[repr(C)]
struct Replaced<'a> {
    /// First, so that a pointer to it leads to the rest.
    methods: ffi::sqlite3_io_methods,
    vfs: &'a ffi::sqlite3_io_methods,
    frames: &'a mut GatheredFrames,
    /// Whether SQLite has closed the log, so that its handle is gone.
    is_closed: bool,
}

/// The methods of a VFS, but for those that write to the log, or see what was written.
fn over(vfs: &ffi::sqlite3_io_methods) -> ffi::sqlite3_io_methods {
    ffi::sqlite3_io_methods {
        iVersion: VERSION,
        xClose: Some(close),
        xRead: Some(read),
        xWrite: Some(write),
        xTruncate: Some(truncate),
        xSync: Some(sync),
        xFileSize: Some(file_size),
        xLock: vfs.xLock,
        xUnlock: vfs.xUnlock,
        xCheckReservedLock: vfs.xCheckReservedLock,
        xFileControl: vfs.xFileControl,
        xSectorSize: vfs.xSectorSize,
        xDeviceCharacteristics: vfs.xDeviceCharacteristics,
        xShmMap: vfs.xShmMap,
        xShmLock: vfs.xShmLock,
        xShmBarrier: vfs.xShmBarrier,
        xShmUnmap: vfs.xShmUnmap,
        // Of the third version, and never asked of a log.
        xFetch: None,
        xUnfetch: None,
    }
}

/// The methods in their place, until this is dropped.
struct InPlace<'r, 'a> {
    file: NonNull<ffi::sqlite3_file>,
    replaced: NonNull<Replaced<'a>>,
    borrowed: PhantomData<&'r mut Replaced<'a>>,
}

impl<'r, 'a> InPlace<'r, 'a> {
    fn new(file: NonNull<ffi::sqlite3_file>, replaced: &'r mut Replaced<'a>) -> Self {
        let replaced = NonNull::from(replaced);
        // SAFETY: the handle is open, and only this thread uses it: it has the connection. What the pointer leads to stays
        // where it is, and nobody else uses it, while `'r` lasts.
        unsafe { (*file.as_ptr()).pMethods = replaced.as_ptr().cast() };
        Self { file, replaced, borrowed: PhantomData }
    }
}

impl Drop for InPlace<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: no call of SQLite's is under way that could use what the pointer led to. The handle is there unless `close`
        // was called.
        unsafe {
            let replaced = self.replaced.as_ref();
            if !replaced.is_closed {
                (*self.file.as_ptr()).pMethods = replaced.vfs;
            }
        }
    }
}

/// Runs `act` on what the handle leads to, with the methods of the VFS in their place: it sees no others.
///
/// # Safety
/// SQLite has called one of the methods above with this handle.
unsafe fn with_vfs(
    file: *mut ffi::sqlite3_file,
    act: impl FnOnce(&mut GatheredFrames, &ffi::sqlite3_io_methods) -> Result<(), Code>,
) -> c_int {
    // SAFETY: SQLite calls these methods only while they are in their place, on the thread that has placed them, and so
    // not while another of them runs.
    unsafe {
        let placed = (*file).pMethods;
        let replaced = &mut *placed.cast_mut().cast::<Replaced<'_>>();
        (*file).pMethods = replaced.vfs;
        let done = act(replaced.frames, replaced.vfs);
        (*file).pMethods = placed;
        done.err().unwrap_or(ffi::SQLITE_OK)
    }
}

/// Writes to the log by the VFS.
fn put(
    file: *mut ffi::sqlite3_file,
    vfs: &ffi::sqlite3_io_methods,
) -> impl FnMut(&[u8], i64) -> Result<(), Code> {
    move |data, offset| {
        let write = vfs.xWrite.ok_or(ffi::SQLITE_IOERR_WRITE)?;
        // A frame is at most 64 KiB long, and what is held back at most 128 KiB.
        let bytes = c_int::try_from(data.len()).map_err(|_| ffi::SQLITE_IOERR_WRITE)?;
        // SAFETY: an open file of this VFS, and so many bytes.
        code(unsafe { write(file, data.as_ptr().cast(), bytes, offset) })
    }
}

fn code(code: c_int) -> Result<(), Code> {
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(code) }
}

/// Calls the VFS once nothing is held back.
///
/// # Safety
/// As of [`with_vfs`].
unsafe fn flushed(
    file: *mut ffi::sqlite3_file,
    call: impl FnOnce(&ffi::sqlite3_io_methods) -> c_int,
) -> c_int {
    let act = |frames: &mut GatheredFrames, vfs: &ffi::sqlite3_io_methods| {
        frames.flush(&mut put(file, vfs))?;
        code(call(vfs))
    };
    // SAFETY: as the caller says.
    unsafe { with_vfs(file, act) }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    bytes: c_int,
    offset: i64,
) -> c_int {
    let bytes = usize::try_from(bytes).unwrap_or_default();
    // SAFETY: SQLite calls this, and passes so many bytes.
    unsafe {
        let data = std::slice::from_raw_parts(data.cast::<u8>(), bytes);
        with_vfs(file, |frames, vfs| frames.write(data, offset, &mut put(file, vfs)))
    }
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    room: *mut c_void,
    bytes: c_int,
    offset: i64,
) -> c_int {
    let act = |frames: &mut GatheredFrames, vfs: &ffi::sqlite3_io_methods| {
        frames.before_read(offset, bytes.unsigned_abs(), &mut put(file, vfs))?;
        // SAFETY: the VFS gets what SQLite has passed.
        code(vfs.xRead.map_or(ffi::SQLITE_IOERR_READ, |read| unsafe { read(file, room, bytes, offset) }))
    };
    // SAFETY: SQLite calls this.
    unsafe { with_vfs(file, act) }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: SQLite calls this, and the VFS gets what it has passed.
    unsafe {
        flushed(file, |vfs| vfs.xTruncate.map_or(ffi::SQLITE_IOERR_TRUNCATE, |call| call(file, length)))
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: as above.
    unsafe { flushed(file, |vfs| vfs.xSync.map_or(ffi::SQLITE_IOERR_FSYNC, |call| call(file, flags))) }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: as above.
    unsafe { flushed(file, |vfs| vfs.xFileSize.map_or(ffi::SQLITE_IOERR_FSTAT, |call| call(file, out))) }
}

/// Not called during a commit. Whoever closes the log has no lock to write to it any more, so nothing is written.
unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite calls this while these methods are in their place, and uses the handle no more afterwards.
    unsafe {
        let replaced = &mut *(*file).pMethods.cast_mut().cast::<Replaced<'_>>();
        replaced.is_closed = true;
        replaced.frames.drop_all();
        (*file).pMethods = replaced.vfs;
        replaced.vfs.xClose.map_or(ffi::SQLITE_OK, |close| close(file))
    }
}

#[cfg(test)]
mod tests;
