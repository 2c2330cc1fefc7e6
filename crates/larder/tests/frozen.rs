//! A process that is frozen while it holds a lock: others learn which one it is, readers go on, and nothing is stale.
//!
//! In this test binary, some functions with which SQLite reads and changes files stop the process when they are called
//! on a certain file, as a debugger or `docker pause` would.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(unsafe_code)] // Replacing functions of the C library takes their C signatures.

mod outside;

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use larder::{Error, Store};
use outside::{Process, child_task, print_line, read_line};
use tempfile::TempDir;

#[repr(C)]
struct Piece {
    start: *mut c_void,
    length: usize,
}

unsafe extern "C" {
    fn preadv(file: c_int, pieces: *const Piece, count: c_int, offset: i64) -> isize;
    fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int;
    fn truncate(path: *const c_char, length: i64) -> c_int;
    fn raise(signal: c_int) -> c_int;
    fn kill(process: c_int, signal: c_int) -> c_int;
}

const SIGKILL: c_int = 9;
const SIGCONT: c_int = 18;
const SIGSTOP: c_int = 19;

/// Which function stops this process, and the end of the name of the file.
static FREEZES_AT: OnceLock<(&str, &str)> = OnceLock::new();

fn freeze_at(function: &str, name: &str) {
    if FREEZES_AT.get().is_some_and(|(at, end)| *at == function && name.ends_with(end)) {
        // SAFETY: a signal to this process itself; it goes on once another process says so.
        unsafe { raise(SIGSTOP) };
    }
}

fn name_of(file: c_int) -> String {
    std::fs::read_link(format!("/proc/self/fd/{file}")).unwrap_or_default().to_string_lossy().into_owned()
}

#[unsafe(no_mangle)]
extern "C" fn pread64(file: c_int, start: *mut c_void, length: usize, offset: i64) -> isize {
    if FREEZES_AT.get().is_some() {
        freeze_at("read", &name_of(file));
    }
    // SAFETY: the caller of `pread64` guarantees that the memory is valid.
    unsafe { preadv(file, &Piece { start, length }, 1, offset) }
}

#[unsafe(no_mangle)]
extern "C" fn pread(file: c_int, start: *mut c_void, length: usize, offset: i64) -> isize {
    pread64(file, start, length, offset)
}

/// # Safety
/// As for the function of the C library: a C string.
#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    const AT_FDCWD: c_int = -100;
    // SAFETY: the caller of `unlink` guarantees that it is a C string.
    unsafe {
        freeze_at("unlink", &CStr::from_ptr(path).to_string_lossy());
        unlinkat(AT_FDCWD, path, 0)
    }
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(file: c_int, length: i64) -> c_int {
    if FREEZES_AT.get().is_some() {
        freeze_at("truncate", &name_of(file));
    }
    let path = std::ffi::CString::new(format!("/proc/self/fd/{file}")).unwrap();
    // SAFETY: a C string. By this path, `truncate` reaches the open file.
    unsafe { truncate(path.as_ptr(), length) }
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(file: c_int, length: i64) -> c_int {
    ftruncate64(file, length)
}

fn signal(process: &Process, signal: c_int) {
    // SAFETY: a signal to a child of this process, which has not been waited for.
    assert_eq!(unsafe { kill(process.child.id() as c_int, signal) }, 0);
}

fn wait_until_frozen(process: &Process) {
    let begun = Instant::now();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.child.id())).unwrap();
        // `4321 (name) T …`
        if stat.rsplit(')').next().unwrap().trim_start().starts_with('T') {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "the process does not stop: {stat}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn new_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

fn open(path: &Path) -> larder::Result<Store> {
    Store::options().timeout(Duration::from_millis(100)).open(path)
}

fn is_busy_with(error: &Error, process: &Process) -> bool {
    matches!(error, Error::Busy { holder, .. } if *holder == Some(process.child.id()))
}

/// Writes to a store, and freezes where the words say.
fn task() -> bool {
    let Some((path, words)) = child_task() else { return false };
    let at = match words[0].as_str() {
        "recovers" => Some(("read", "-wal")),
        "opens" => Some(("truncate", "-shm")),
        "closes" => Some(("unlink", "-wal")),
        _ => None,
    };
    if let Some(at) = at {
        FREEZES_AT.set(at).unwrap();
    }
    let store = Store::open(&path).unwrap();
    store.set("g", "child", "v").unwrap();
    print_line("has written");
    if words[0] == "transacts" {
        let transact = store.transaction(|tx| {
            tx.set("g", "k", "new")?;
            print_line("transacts");
            read_line();
            Ok(())
        });
        transact.unwrap();
        print_line("has committed");
        read_line();
    }
    if words[0] == "dies" {
        read_line();
    }
    store.close().unwrap();
    true
}

#[test]
fn a_process_frozen_in_a_transaction_holds_up_writers_and_no_readers() {
    if task() {
        return;
    }
    let (_folder, path) = new_path();
    let store = open(&path).unwrap();
    store.set("g", "k", "old").unwrap();
    let me = "a_process_frozen_in_a_transaction_holds_up_writers_and_no_readers";
    let mut process = Process::start(me, &path, "transacts");
    while process.next_line().unwrap() != "transacts" {}
    signal(&process, SIGSTOP);
    wait_until_frozen(&process);
    let error = store.set("g", "k", "mine").unwrap_err();
    assert!(is_busy_with(&error, &process), "{error:?}");
    // From the cache, from SQLite, and in a store that is opened now.
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "old");
    assert_eq!(store.get_all("g").unwrap().len(), 2);
    assert_eq!(open(&path).unwrap().get("g", "k").unwrap().unwrap(), "old");
    signal(&process, SIGCONT);
    process.send_line("go on");
    while process.next_line().unwrap() != "has committed" {}
    signal(&process, SIGSTOP);
    wait_until_frozen(&process);
    assert_eq!(store.get("g", "k").unwrap().unwrap(), "new", "a stale hit");
    store.set("g", "k", "mine").unwrap();
    signal(&process, SIGCONT);
    process.send_line("go on");
    process.finish();
}

#[test]
fn a_process_frozen_while_it_recovers_the_log_is_named() {
    if task() {
        return;
    }
    let me = "a_process_frozen_while_it_recovers_the_log_is_named";
    let (_folder, path) = new_path();
    let mut dies = Process::start(me, &path, "dies");
    while dies.next_line().unwrap() != "has written" {}
    signal(&dies, SIGKILL);
    dies.child.wait().unwrap();
    frozen_while_it(me, "recovers", &path);
    assert!(open(&path).unwrap().exists("g", "child").unwrap());
}

#[test]
fn a_process_frozen_while_it_opens_the_shared_memory_is_named() {
    if !task() {
        let (_folder, path) = new_path();
        Store::open(&path).unwrap().close().unwrap();
        frozen_while_it("a_process_frozen_while_it_opens_the_shared_memory_is_named", "opens", &path);
    }
}

#[test]
fn a_process_frozen_while_it_closes_the_file_is_named() {
    if !task() {
        let (_folder, path) = new_path();
        Store::open(&path).unwrap().close().unwrap();
        frozen_while_it("a_process_frozen_while_it_closes_the_file_is_named", "closes", &path);
    }
}

/// Others get `Busy` with the process, and everything works once it goes on.
fn frozen_while_it(test: &str, what: &str, path: &Path) {
    let process = Process::start(test, path, what);
    wait_until_frozen(&process);
    let error = open(path).unwrap_err();
    assert!(is_busy_with(&error, &process), "{error:?}");
    // The function may be called more than once.
    let begun = Instant::now();
    let store = loop {
        signal(&process, SIGCONT);
        match open(path) {
            Ok(store) => break store,
            Err(error) => assert!(is_busy_with(&error, &process), "{error:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "still frozen");
    };
    store.set("g", "mine", "v").unwrap();
    drop(store);
    loop {
        signal(&process, SIGCONT);
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.child.id())).unwrap();
        if stat.rsplit(')').next().unwrap().trim_start().starts_with('Z') {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    process.finish();
}
