//! What larder does with files past SQLite, through the standard library: it writes whole files, gives files other
//! names, removes and syncs them. These are calls of the world, too. They may fail, and a killed process makes none.

use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicPtr;

use rusqlite::ffi;

use super::{Inside, real, set_errno, simulated};
use crate::simulator::disk::FileId;
use crate::simulator::plan::Call;
use crate::simulator::vfs::mark;
use crate::simulator::world::{self, World};

real!(real_rename, c"rename", unsafe extern "C" fn(*const c_char, *const c_char) -> c_int);
real!(real_unlink, c"unlink", unsafe extern "C" fn(*const c_char) -> c_int);
real!(real_write, c"write", unsafe extern "C" fn(c_int, *const c_void, usize) -> isize);
real!(real_fsync, c"fsync", unsafe extern "C" fn(c_int) -> c_int);
real!(real_fdatasync, c"fdatasync", unsafe extern "C" fn(c_int) -> c_int);

type Statx = unsafe extern "C" fn(c_int, *const c_char, c_int, c_uint, *mut libc::statx) -> c_int;
real!(real_statx, c"statx", Statx);

/// The system's code of the last call of this thread that failed.
fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// The part of a path that names a file in its folder.
fn name_in(path: &CStr) -> String {
    let path = path.to_string_lossy();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Makes a call of the world. `act` returns what the C library does, and leaves its error in errno.
fn call(what: Call, path: Option<&CStr>, act: impl FnOnce(&mut World) -> c_int) -> c_int {
    world::with(World::look_at_names);
    let detail = path.map_or(0, |path| mark(&name_in(path)));
    let mut error = libc::EIO;
    let code = world::call(what, detail, |world| {
        if act(world) == 0 {
            world.look_at_names();
            return ffi::SQLITE_OK;
        }
        error = errno();
        ffi::SQLITE_IOERR
    });
    if code == ffi::SQLITE_OK {
        return 0;
    }
    set_errno(if code == ffi::SQLITE_FULL { libc::ENOSPC } else { error });
    -1
}

#[unsafe(no_mangle)]
extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the arguments are passed on as they came.
    let forward = || unsafe { real_rename()(from, to) };
    if simulated().is_none() {
        return forward();
    }
    // SAFETY: the caller's paths end with a NUL.
    call(Call::Rename, Some(unsafe { CStr::from_ptr(to) }), |_| forward())
}

#[unsafe(no_mangle)]
extern "C" fn unlink(path: *const c_char) -> c_int {
    if simulated().is_none() {
        // SAFETY: the argument is passed on as it came.
        return unsafe { real_unlink()(path) };
    }
    // SAFETY: the caller's path ends with a NUL.
    let path = unsafe { CStr::from_ptr(path) };
    call(Call::Delete, Some(path), |world| if world.disk.unlink(&name_in(path)) { 0 } else { -1 })
}

/// The path that a descriptor was opened with, if it is one of a file.
fn path_of(descriptor: c_int) -> Option<PathBuf> {
    let path = std::fs::read_link(format!("/proc/self/fd/{descriptor}")).ok()?;
    path.is_absolute().then_some(path)
}

/// Writes where the descriptor stands, on the disk of the world. What is no file of it goes where it was to go.
#[unsafe(no_mangle)]
extern "C" fn write(descriptor: c_int, data: *const c_void, bytes: usize) -> isize {
    // SAFETY: the arguments are passed on as they came.
    let forward = || unsafe { real_write()(descriptor, data, bytes) };
    if simulated().is_none() {
        return forward();
    }
    let _inside = Inside::enter();
    let file = path_of(descriptor).and_then(|path| world::with(|world| world.disk.known(&path)));
    let Some(id) = file else { return forward() };
    // SAFETY: the caller's descriptor stays open, and is not closed here.
    let mut file = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
    // SAFETY: the caller passes so many bytes.
    let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), bytes) };
    let written = call(Call::Write, None, |world| {
        let Ok(place) = file.stream_position() else { return -1 };
        world.disk.write(id, usize::try_from(place).unwrap_or(usize::MAX), data);
        if file.seek(SeekFrom::Start(place + data.len() as u64)).is_ok() { 0 } else { -1 }
    });
    if written == 0 { isize::try_from(bytes).unwrap_or(isize::MAX) } else { -1 }
}

/// Syncs a file or the folder, on the disk of the world.
fn sync(descriptor: c_int) -> c_int {
    let _inside = Inside::enter();
    // SAFETY: the caller's descriptor stays open, and is not closed here.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) });
    let Ok(found) = file.metadata() else { return -1 };
    call(Call::Sync, None, |world| {
        if world.plan.ignores_syncs {
            return 0;
        }
        if found.is_dir() {
            world.disk.sync_folder();
        } else if let Some(id) = world.disk.of_inode(found.ino()) {
            world.disk.sync(id);
        }
        0
    })
}

#[unsafe(no_mangle)]
extern "C" fn fsync(descriptor: c_int) -> c_int {
    if simulated().is_none() {
        // SAFETY: the argument is passed on as it came.
        return unsafe { real_fsync()(descriptor) };
    }
    sync(descriptor)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    if simulated().is_none() {
        // SAFETY: the argument is passed on as it came.
        return unsafe { real_fdatasync()(descriptor) };
    }
    sync(descriptor)
}

/// When a file was created, each at another time: larder knows a file by that, and the system tells it only to some
/// milliseconds.
#[unsafe(no_mangle)]
extern "C" fn statx(
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mask: c_uint,
    found: *mut libc::statx,
) -> c_int {
    // SAFETY: the arguments are passed on as they came.
    let done = unsafe { real_statx()(folder, path, flags, mask, found) };
    if done == 0 && simulated().is_some() {
        // SAFETY: the caller has room for this structure there, and the system has filled it in.
        let found = unsafe { &mut *found };
        let known = world::with(|world| world.disk.of_inode(found.stx_ino));
        let id = known.or_else(|| named(folder, path)).unwrap_or_default();
        found.stx_btime.tv_sec = i64::try_from(id).unwrap_or_default();
        found.stx_btime.tv_nsec = 0;
    }
    done
}

/// The file of a path that was given to the system, if it is one of the world that the disk has not seen yet.
fn named(folder: c_int, path: *const c_char) -> Option<FileId> {
    if folder != libc::AT_FDCWD || path.is_null() {
        return None;
    }
    // SAFETY: the caller's path ends with a NUL.
    let path = Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(path) }.to_bytes()));
    world::with(|world| world.disk.known(path))
}
