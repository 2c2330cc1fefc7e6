//! Keeps SQLite's global locks usable in a forked process.
//!
//! A forked process has one thread. A lock that another thread of its parent held stays held there, and the next call
//! of SQLite would wait for it for ever. So the thread that forks takes SQLite's global locks first, and both processes
//! release them. The C library does the same for its allocator.

#![expect(unsafe_code, reason = "SQLite's locks and the moment of a fork are reached by C functions only")]

use std::sync::Once;

use rusqlite::ffi;

/// In the order in which SQLite takes one while it holds another. Where the order is wrong, two threads wait for each
/// other. SQLite opens a file under the locks `OPEN` and `MAIN`, frees pages under `LRU`, and counts memory under `MEM`
/// while it may hold any other.
const LOCKS: [i32; 9] = [
    ffi::SQLITE_MUTEX_STATIC_OPEN,
    ffi::SQLITE_MUTEX_STATIC_MAIN,
    ffi::SQLITE_MUTEX_STATIC_VFS1,
    ffi::SQLITE_MUTEX_STATIC_VFS2,
    ffi::SQLITE_MUTEX_STATIC_VFS3,
    ffi::SQLITE_MUTEX_STATIC_LRU,
    ffi::SQLITE_MUTEX_STATIC_LRU2,
    ffi::SQLITE_MUTEX_STATIC_PRNG,
    ffi::SQLITE_MUTEX_STATIC_MEM,
];

/// To be called before a connection is opened.
pub(super) fn keep_usable() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: any thread may initialize SQLite, any number of times. If it fails, so does each opening, which tells.
        unsafe { ffi::sqlite3_initialize() };
        // SAFETY: the handlers stay valid as long as this code is loaded. They do nothing but take and release locks.
        let registered = unsafe { libc::pthread_atfork(Some(take), Some(release), Some(release)) };
        if registered != 0 {
            tracing::warn!("a forked process may find SQLite's locks held: there is no memory to prevent it");
        }
    });
}

extern "C" fn take() {
    for lock in LOCKS {
        // SAFETY: each number stands for a lock that lives for ever. This thread holds none of them: SQLite does not
        // call the program while it holds one.
        unsafe { ffi::sqlite3_mutex_enter(ffi::sqlite3_mutex_alloc(lock)) };
    }
}

extern "C" fn release() {
    for lock in LOCKS.into_iter().rev() {
        // SAFETY: `take` has taken it on this thread, or on the one that this thread is the copy of.
        unsafe { ffi::sqlite3_mutex_leave(ffi::sqlite3_mutex_alloc(lock)) };
    }
}
