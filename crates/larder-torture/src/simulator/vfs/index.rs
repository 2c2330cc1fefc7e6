//! The WAL index: the memory that SQLite's connections share, and their locks on it.

use std::ffi::{c_int, c_void};

use rusqlite::ffi;

use super::{of, size, told};
use crate::simulator::plan::Call;
use crate::simulator::world::{self, World};

pub unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    let (handle, process) = of(file);
    // SAFETY: SQLite has room for a pointer there.
    unsafe { *out = std::ptr::null_mut() };
    told(world::call(Call::Map, region.unsigned_abs().into(), |world| {
        let owner = (process, handle, world.handles.file(handle));
        let World { memory, disk, .. } = world;
        let index = || disk.path_of(owner.2).map(|path| format!("{}-shm", path.display()).into());
        match memory.map(owner, size(region), size(bytes), extend != 0, index) {
            Ok(address) => {
                // SAFETY: as above.
                unsafe { *out = address };
                ffi::SQLITE_OK
            }
            Err(code) => code,
        }
    }))
}

pub unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    let (handle, _) = of(file);
    let detail = [first, count, flags].iter().fold(0, |sum, part| sum << 8 | u64::from(part.unsigned_abs()));
    let act = |world: &mut World| {
        let file = world.handles.file(handle);
        world.memory.lock(file, handle, size(first), size(count), flags)
    };
    told(if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
        let has_written =
            world::with(|world| world.memory.has_just_written(world.handles.file(handle), handle));
        world::call(if has_written { Call::WriteEnded } else { Call::MemoryUnlock }, detail, act)
    } else {
        world::call(Call::MemoryLock, detail, act)
    })
}

pub unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    let (handle, _) = of(file);
    let writes = world::with(|world| world.memory.has_write_lock(world.handles.file(handle), handle));
    world::call(if writes { Call::Header } else { Call::Barrier }, 0, |_| ffi::SQLITE_OK);
}

pub unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, deletes: c_int) -> c_int {
    let (handle, process) = of(file);
    let is_alive = !world::is_dead();
    world::with(|world| {
        let file = world.handles.file(handle);
        let left: Vec<_> = world.handles.of(process);
        world.memory.unmap((process, handle, file), &left, deletes != 0 && is_alive);
    });
    ffi::SQLITE_OK
}
