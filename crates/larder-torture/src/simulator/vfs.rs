//! The VFS by which SQLite reaches the world of a run: the room with `unsafe` for its table of C functions.
//!
//! It is the default of this program, so larder opens its files through it. Each function translates its arguments and
//! leaves the rest to the world.

#![expect(unsafe_code, reason = "a VFS is a table of C functions")]

mod index;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::sync::Once;

use rusqlite::ffi;

use self::index::{shm_barrier, shm_lock, shm_map, shm_unmap};
use super::handles::HandleId;
use super::interposed;
use super::plan::Call;
use super::world;

/// What SQLite has of an open file.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    handle: HandleId,
    process: world::Process,
}

thread_local! {
    /// What the system would say of the last call that failed.
    static LAST_ERROR: Cell<c_int> = const { Cell::new(0) };
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Makes the world what SQLite reads and writes, in this program.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<File>() as c_int,
            mxPathname: 1024,
            pNext: std::ptr::null_mut(),
            zName: c"larder-torture".as_ptr(),
            pAppData: std::ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: Some(get_last_error),
            xCurrentTimeInt64: Some(current_time_ms),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the table lives for ever, and its functions keep to the contract of a VFS.
        let registered = unsafe { ffi::sqlite3_vfs_register(vfs, 1) };
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite takes no VFS");
        // SAFETY: this control takes a function of this signature, which lives for ever.
        unsafe { ffi::sqlite3_test_control(ffi::SQLITE_TESTCTRL_FAULT_INSTALL, fault_point as FaultPoint) };
    });
}

type FaultPoint = extern "C" fn(c_int) -> c_int;

/// The point of SQLite's own tests between the moment at which a checkpoint reads the WAL index and the moment at which it
/// begins to copy. It lies between two calls of the VFS.
const CHECKPOINT_BEGINS: c_int = 660;

/// SQLite calls this at the points at which its own tests simulate faults. No lock of SQLite's is held at the one that is
/// used here.
extern "C" fn fault_point(number: c_int) -> c_int {
    if number == CHECKPOINT_BEGINS && interposed::simulated().is_some() {
        world::call(Call::Barrier, number.unsigned_abs().into(), |_| ffi::SQLITE_OK);
    }
    0
}

/// Lets SQLite's random numbers begin anew, with those of the world.
pub fn forget_randomness() {
    // SAFETY: without room for a result, SQLite only forgets its state.
    unsafe { ffi::sqlite3_randomness(0, std::ptr::null_mut()) };
}

/// Notes what the system says of a code, and returns the code.
fn told(code: c_int) -> c_int {
    LAST_ERROR.set(match code & 0xff {
        ffi::SQLITE_FULL => libc::ENOSPC,
        ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN => libc::EIO,
        _ => 0,
    });
    code
}

/// The part of a path that names a file in its folder.
fn name_of(path: *const c_char) -> String {
    // SAFETY: SQLite's paths end with a NUL.
    let path = unsafe { CStr::from_ptr(path) }.to_string_lossy();
    let name = Path::new(&*path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A number for a name that is the same in each run. The names of unfinished files have the process and random numbers in
/// them, so it leaves out whatever may be a digit.
pub fn mark(name: &str) -> u64 {
    let letters = name.bytes().filter(|byte| !byte.is_ascii_hexdigit());
    letters.fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
}

fn of(file: *mut ffi::sqlite3_file) -> (HandleId, world::Process) {
    // SAFETY: SQLite passes the file that `open` has filled in.
    let file = unsafe { &*file.cast::<File>() };
    (file.handle, file.process)
}

fn size(number: c_int) -> usize {
    usize::try_from(number).unwrap_or_default()
}

fn place(number: i64) -> usize {
    usize::try_from(number).unwrap_or_default()
}

fn is_new_store(name: &str, flags: c_int) -> bool {
    let is_written = flags & ffi::SQLITE_OPEN_MAIN_DB != 0 && flags & ffi::SQLITE_OPEN_READWRITE != 0;
    is_written && Path::new(name).exists()
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let file = file.cast::<File>();
    // SAFETY: SQLite has room for a file there. Without methods it does not close it.
    unsafe { (*file).base.pMethods = std::ptr::null() };
    let name = (!path.is_null()).then(|| name_of(path));
    let mut opened = None;
    let code = world::call(Call::Open, name.as_deref().map_or(0, mark), |world| {
        let is_log = flags & (ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_WAL) != 0;
        let found = match &name {
            None => Some(world.disk.create_nameless()),
            Some(name) if flags & ffi::SQLITE_OPEN_CREATE != 0 => Some(world.disk.create(name, is_log)),
            // larder makes a new file itself, as a real one.
            Some(name) if is_new_store(name, flags) => Some(world.disk.create(name, is_log)),
            Some(name) => world.disk.find(name),
        };
        let Some(found) = found else { return ffi::SQLITE_CANTOPEN };
        let process = world.process();
        opened = Some((world.handles.add(found, name.clone(), process), process));
        ffi::SQLITE_OK
    });
    if let Some((handle, process)) = opened {
        // SAFETY: as above; `out` is null, or SQLite has room there.
        unsafe {
            (*file).handle = handle;
            (*file).process = process;
            (*file).base.pMethods = &raw const METHODS;
            if let Some(out) = out.as_mut() {
                *out = flags;
            }
        }
    }
    told(code)
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let (handle, process) = of(file);
    world::with(|world| {
        let (file, left) = (world.handles.file(handle), world.handles.of(process));
        world.memory.unmap((process, handle, file), &left, false);
        world.handles.remove(handle);
    });
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    room: *mut c_void,
    bytes: c_int,
    offset: i64,
) -> c_int {
    let (handle, _) = of(file);
    // SAFETY: SQLite has room for so many bytes there.
    let room = unsafe { std::slice::from_raw_parts_mut(room.cast::<u8>(), size(bytes)) };
    told(world::call(Call::Read, offset.unsigned_abs(), |world| {
        let read = world.disk.read(world.handles.file(handle), place(offset), room);
        room[read..].fill(0);
        if read == room.len() { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_SHORT_READ }
    }))
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    bytes: c_int,
    offset: i64,
) -> c_int {
    let (handle, _) = of(file);
    // SAFETY: SQLite passes so many bytes.
    let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size(bytes)) };
    told(world::call(Call::Write, offset.unsigned_abs() ^ (data.len() as u64) << 40, |world| {
        world.disk.write(world.handles.file(handle), place(offset), data);
        ffi::SQLITE_OK
    }))
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    let (handle, _) = of(file);
    told(world::call(Call::Truncate, length.unsigned_abs(), |world| {
        world.disk.truncate(world.handles.file(handle), place(length));
        ffi::SQLITE_OK
    }))
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    let (handle, _) = of(file);
    told(world::call(Call::Sync, 0, |world| {
        if !world.plan.ignores_syncs {
            world.disk.sync(world.handles.file(handle));
        }
        ffi::SQLITE_OK
    }))
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    let (handle, _) = of(file);
    told(world::call(Call::Size, 0, |world| {
        let length = world.disk.length(world.handles.file(handle));
        // SAFETY: SQLite has room for a number there.
        unsafe { *out = i64::try_from(length).unwrap_or(i64::MAX) };
        ffi::SQLITE_OK
    }))
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    let (handle, _) = of(file);
    let level = level.unsigned_abs();
    told(world::call(Call::Lock, level.into(), |world| world.handles.lock(handle, level.cast_signed())))
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    let (handle, _) = of(file);
    told(world::call(Call::Unlock, level.unsigned_abs().into(), |world| {
        world.handles.unlock(handle, level);
        ffi::SQLITE_OK
    }))
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    let (handle, _) = of(file);
    told(world::call(Call::Reserved, 0, |world| {
        // SAFETY: SQLite has room for a number there.
        unsafe { *out = world.handles.is_reserved(handle).into() };
        ffi::SQLITE_OK
    }))
}

unsafe extern "C" fn file_control(file: *mut ffi::sqlite3_file, what: c_int, out: *mut c_void) -> c_int {
    if what != ffi::SQLITE_FCNTL_HAS_MOVED {
        return ffi::SQLITE_NOTFOUND;
    }
    let (handle, _) = of(file);
    let has_moved = world::with(|world| {
        let name = world.handles.name(handle);
        name.is_none_or(|name| world.disk.find(&name) != Some(world.handles.file(handle)))
    });
    // SAFETY: SQLite has room for a number there.
    unsafe { *out.cast::<c_int>() = has_moved.into() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

/// As SQLite's own VFS says by default: what was not written is not touched by a write beside it.
unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, path: *const c_char, sync_folder: c_int) -> c_int {
    let name = name_of(path);
    told(world::call(Call::Delete, mark(&name), |world| {
        if !world.disk.delete(&name) {
            return ffi::SQLITE_IOERR_DELETE_NOENT;
        }
        if sync_folder != 0 && !world.plan.ignores_syncs {
            world.disk.sync_folder();
        }
        ffi::SQLITE_OK
    }))
}

unsafe extern "C" fn access(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let name = name_of(path);
    told(world::call(Call::Access, mark(&name), |world| {
        let found = world.disk.find(&name);
        // As SQLite's own VFS: an empty file does not exist.
        let exists =
            found.is_some_and(|found| flags != ffi::SQLITE_ACCESS_EXISTS || world.disk.length(found) > 0);
        // SAFETY: SQLite has room for a number there.
        unsafe { *out = exists.into() };
        ffi::SQLITE_OK
    }))
}

unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    bytes: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite's paths end with a NUL.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes_with_nul();
    if path.len() > size(bytes) {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: there is room for so many bytes, and the path is no part of it.
    unsafe { std::ptr::copy_nonoverlapping(path.as_ptr(), out.cast(), path.len()) };
    ffi::SQLITE_OK
}

unsafe extern "C" fn randomness(_: *mut ffi::sqlite3_vfs, bytes: c_int, room: *mut c_char) -> c_int {
    // SAFETY: SQLite has room for so many bytes there.
    let room = unsafe { std::slice::from_raw_parts_mut(room.cast::<u8>(), size(bytes)) };
    world::fill(room);
    bytes
}

unsafe extern "C" fn sleep(_: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    if !world::is_dead() {
        world::sleep(u64::from(microseconds.unsigned_abs()) * 1000);
    }
    microseconds
}

/// 1970, in milliseconds since the days of Julius Scaliger begin.
const JULIAN_MS: i64 = 210_866_760_000_000;

fn julian_ms() -> i64 {
    JULIAN_MS + i64::try_from(world::now(true) / 1_000_000).unwrap_or_default()
}

unsafe extern "C" fn current_time(_: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    // SAFETY: SQLite has room for a number there.
    unsafe { *out = julian_ms() as f64 / 86_400_000.0 };
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_ms(_: *mut ffi::sqlite3_vfs, out: *mut i64) -> c_int {
    // SAFETY: as above.
    unsafe { *out = julian_ms() };
    ffi::SQLITE_OK
}

unsafe extern "C" fn get_last_error(_: *mut ffi::sqlite3_vfs, _: c_int, _: *mut c_char) -> c_int {
    LAST_ERROR.get()
}
