//! Counts allocations on demand. SQLite and LMDB allocate in C, so they are not counted.
#![expect(
    unsafe_code,
    reason = "an allocator needs unsafe code; it passes every call to the system's allocator"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Off during timing, so that timed code only pays for reading this flag.
static COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);
static PEAK_BYTES: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

/// The allocations of a piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Allocations {
    pub count: u64,
    /// The largest increase of allocated memory.
    pub peak_bytes: u64,
    /// By how much more memory is allocated afterwards.
    pub left_bytes: i64,
}

/// Does the work, and counts the allocations of all threads meanwhile.
pub fn during<T>(work: impl FnOnce() -> T) -> (T, Allocations) {
    COUNT.store(0, Ordering::Relaxed);
    LIVE_BYTES.store(0, Ordering::Relaxed);
    PEAK_BYTES.store(0, Ordering::Relaxed);
    COUNTING.store(true, Ordering::SeqCst);
    let done = work();
    COUNTING.store(false, Ordering::SeqCst);
    let peak_bytes = PEAK_BYTES.load(Ordering::Relaxed).unsigned_abs();
    let left_bytes = LIVE_BYTES.load(Ordering::Relaxed);
    (done, Allocations { count: COUNT.load(Ordering::Relaxed), peak_bytes, left_bytes })
}

fn grow(bytes: i64) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    let live = LIVE_BYTES.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK_BYTES.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is passed unchanged to the system's allocator, and its result is returned. The counters
// touch no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Ordering::Relaxed) {
            grow(layout.size() as i64);
        }
        // SAFETY: the caller fulfils `GlobalAlloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if COUNTING.load(Ordering::Relaxed) {
            grow(layout.size() as i64);
        }
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if COUNTING.load(Ordering::Relaxed) {
            grow(size as i64 - layout.size() as i64);
        }
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if COUNTING.load(Ordering::Relaxed) {
            LIVE_BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        }
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
