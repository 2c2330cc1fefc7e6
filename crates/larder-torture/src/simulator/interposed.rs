//! Functions of the C library that this program replaces, so that threads, locks and clocks obey the simulation: the
//! room with `unsafe` for them.
//!
//! The standard library reaches futexes, threads, clocks and random numbers through these functions, and the linker
//! prefers the definitions of the program to those of the C library. A thread that belongs to no simulation, or is inside
//! the simulator itself, gets the function of the C library.

#![expect(unsafe_code, reason = "replacing functions of the C library takes their C signatures")]

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_long, c_uint, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use super::world::{self, Woken};

thread_local! {
    /// The number of this thread in the simulation that it belongs to.
    static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
    /// Whether this thread is inside the simulator, whose own locks are real.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The number of this thread, if it is one of the simulation and outside the simulator.
pub fn simulated() -> Option<usize> {
    if INSIDE.get() { None } else { THREAD.get() }
}

/// The number of this thread in the simulation.
pub fn thread() -> Option<usize> {
    THREAD.get()
}

/// Makes this thread one of the simulation, or ends that.
pub fn set_thread(number: Option<usize>) {
    THREAD.set(number);
}

/// While this lives, the thread is inside the simulator.
pub struct Inside(bool);

impl Inside {
    pub fn enter() -> Self {
        Self(INSIDE.replace(true))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

/// Holds back one thread until another lets it pass.
#[derive(Debug, Default)]
pub struct Gate(AtomicU32);

impl Gate {
    pub fn open(&self) {
        self.0.store(1, Ordering::Release);
        // SAFETY: the address is that of a living word; waking reads nothing else.
        unsafe { real_syscall()(libc::SYS_futex, self.address(), WAKE, 1, 0, 0, 0) };
    }

    pub fn pass(&self) {
        while self.0.swap(0, Ordering::Acquire) == 0 {
            // SAFETY: the address is that of a living word, and 0 is no deadline.
            unsafe { real_syscall()(libc::SYS_futex, self.address(), WAIT, 0, 0, 0, 0) };
        }
    }

    fn address(&self) -> c_long {
        self.0.as_ptr() as c_long
    }
}

const WAIT: c_long = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as c_long;
const WAKE: c_long = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as c_long;

/// The function of this name in the C library, found once.
fn real(name: &CStr, known: &AtomicPtr<c_void>) -> *mut c_void {
    let found = known.load(Ordering::Relaxed);
    if !found.is_null() {
        return found;
    }
    // SAFETY: the name ends with a NUL.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    assert!(!found.is_null(), "the C library has no {name:?}");
    known.store(found, Ordering::Relaxed);
    found
}

/// Declares a function that finds one of the C library.
macro_rules! real {
    ($finder:ident, $name:literal, $signature:ty) => {
        fn $finder() -> $signature {
            static KNOWN: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
            // SAFETY: the C library documents this signature for the function of this name.
            unsafe { std::mem::transmute::<*mut c_void, $signature>(real($name, &KNOWN)) }
        }
    };
}

// Where the macro is known.
mod files;

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create =
    unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Start, *mut c_void) -> c_int;
type Syscall = unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;

real!(real_syscall, c"syscall", Syscall);
real!(real_create, c"pthread_create", Create);
real!(real_join, c"pthread_join", unsafe extern "C" fn(libc::pthread_t, *mut *mut c_void) -> c_int);
real!(real_gettime, c"clock_gettime", unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int);
real!(
    real_sleep,
    c"clock_nanosleep",
    unsafe extern "C" fn(libc::clockid_t, c_int, *const libc::timespec, *mut libc::timespec) -> c_int
);
real!(real_yield, c"sched_yield", unsafe extern "C" fn() -> c_int);
real!(real_random, c"getrandom", unsafe extern "C" fn(*mut c_void, usize, c_uint) -> isize);

fn set_errno(code: c_int) {
    // SAFETY: each thread has its own errno, which lives as long as the thread.
    unsafe { *libc::__errno_location() = code };
}

const SECOND: u64 = 1_000_000_000;

fn nanoseconds(time: libc::timespec) -> u64 {
    time.tv_sec.unsigned_abs() * SECOND + time.tv_nsec.unsigned_abs()
}

/// A variable number of arguments arrives in the same registers as six, on the processors that larder is tested on.
#[unsafe(no_mangle)]
extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    let forward = || {
        // SAFETY: the arguments are passed on as they came; the caller guarantees what the system call asks for.
        unsafe { real_syscall()(number, first, second, third, fourth, fifth, sixth) }
    };
    if number != libc::SYS_futex {
        return forward();
    }
    let address = first as usize;
    let command = second as c_int & libc::FUTEX_CMD_MASK;
    if simulated().is_none() {
        if command == libc::FUTEX_WAKE && !INSIDE.get() {
            world::expect_no_waiter(address);
        }
        return forward();
    }
    match command {
        libc::FUTEX_WAKE => world::wake(address, third.unsigned_abs()) as c_long,
        libc::FUTEX_WAIT_BITSET => {
            let word = first as *const AtomicU32;
            // SAFETY: the caller waits on a word that it keeps alive. Nobody else runs between this look and the wait.
            if unsafe { &*word }.load(Ordering::SeqCst) != third as u32 {
                set_errno(libc::EAGAIN);
                return -1;
            }
            let deadline = fourth as *const libc::timespec;
            // SAFETY: it is null, or the caller's, who waits.
            let deadline = unsafe { deadline.as_ref() }.map(|time| nanoseconds(*time));
            match world::wait(address, deadline) {
                Woken::Called => 0,
                Woken::TimedOut => {
                    set_errno(libc::ETIMEDOUT);
                    -1
                }
            }
        }
        _ => forward(),
    }
}

/// What a thread of the simulation begins with.
struct Born {
    number: usize,
    start: Start,
    argument: *mut c_void,
}

extern "C" fn trampoline(born: *mut c_void) -> *mut c_void {
    // SAFETY: `pthread_create` below made it with `Box::into_raw`, for this thread alone.
    let Born { number, start, argument } = *unsafe { Box::from_raw(born.cast::<Born>()) };
    world::arrive(number);
    end_after(ROUNDS);
    start(argument)
}

/// In so many rounds the system calls what a thread is to do at its end: the destructors of thread-locals come before the
/// first, and may set some more going. POSIX has four.
const ROUNDS: usize = 3;

/// Has the thread end after so many rounds more. A thread-local may take a lock when it is destroyed, as that of
/// `ShardedLock` does. It belongs to the simulation until then: a thread outside would not wake one inside.
fn end_after(rounds: usize) {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: there is room for a key, and the function stays where it is.
        let created = unsafe { libc::pthread_key_create(&raw mut key, Some(end)) };
        (created == 0).then_some(key)
    });
    // SAFETY: the key exists. What is kept under it is a number.
    let is_set = key
        .is_some_and(|key| unsafe { libc::pthread_setspecific(key, ptr::without_provenance(rounds)) } == 0);
    if !is_set {
        world::give_up("the end of a thread cannot be told");
    }
}

unsafe extern "C" fn end(rounds: *mut c_void) {
    match rounds.addr() - 1 {
        0 => world::finish(),
        left => end_after(left),
    }
}

#[unsafe(no_mangle)]
extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    if simulated().is_none() {
        // SAFETY: the arguments are passed on as they came.
        return unsafe { real_create()(thread, attributes, start, argument) };
    }
    let number = world::bear();
    let born = Box::into_raw(Box::new(Born { number, start, argument })).cast();
    // SAFETY: as above; `trampoline` takes what it is given.
    let created = unsafe { real_create()(thread, attributes, trampoline, born) };
    if created == 0 {
        // SAFETY: it was created, so its name was written.
        world::name(number, unsafe { *thread });
    } else {
        // SAFETY: no thread has it.
        drop(unsafe { Box::from_raw(born.cast::<Born>()) });
        world::stillborn(number);
    }
    created
}

#[unsafe(no_mangle)]
extern "C" fn pthread_join(thread: libc::pthread_t, result: *mut *mut c_void) -> c_int {
    if simulated().is_some() {
        world::join(thread);
    }
    // SAFETY: the arguments are passed on as they came.
    unsafe { real_join()(thread, result) }
}

#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    if simulated().is_none() {
        // SAFETY: the arguments are passed on as they came.
        return unsafe { real_gettime()(clock, time) };
    }
    let is_wall = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    let now = world::now(is_wall);
    // SAFETY: the caller has room for a time there.
    unsafe {
        (*time).tv_sec = (now / SECOND) as libc::time_t;
        (*time).tv_nsec = (now % SECOND) as c_long;
    }
    0
}

#[unsafe(no_mangle)]
extern "C" fn clock_nanosleep(
    clock: libc::clockid_t,
    flags: c_int,
    time: *const libc::timespec,
    left: *mut libc::timespec,
) -> c_int {
    if simulated().is_none() || flags != 0 {
        // SAFETY: the arguments are passed on as they came.
        return unsafe { real_sleep()(clock, flags, time, left) };
    }
    // SAFETY: the caller's time.
    world::sleep(nanoseconds(unsafe { *time }));
    0
}

#[unsafe(no_mangle)]
extern "C" fn sched_yield() -> c_int {
    if simulated().is_none() {
        // SAFETY: it takes nothing.
        return unsafe { real_yield()() };
    }
    world::sleep(1000);
    0
}

/// The order in which hash tables list their keys depends on it.
#[unsafe(no_mangle)]
extern "C" fn getrandom(room: *mut c_void, length: usize, flags: c_uint) -> isize {
    if simulated().is_none() {
        // SAFETY: the arguments are passed on as they came.
        return unsafe { real_random()(room, length, flags) };
    }
    // SAFETY: the caller has so much room there.
    world::fill(unsafe { std::slice::from_raw_parts_mut(room.cast::<u8>(), length) });
    length.cast_signed()
}
