//! Counts the bytes that are allocated. SQLite allocates in C, so what it takes is not counted.
#![expect(
    unsafe_code,
    reason = "an allocator needs unsafe code; it passes every call to the system's allocator"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

static LIVE: AtomicIsize = AtomicIsize::new(0);
static PEAK: AtomicIsize = AtomicIsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

/// How much more memory there was during some work, at most, and how much more afterwards.
pub struct Memory {
    pub peak: usize,
    pub left: usize,
}

pub fn during<T>(work: impl FnOnce() -> T) -> (T, Memory) {
    let before = LIVE.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let done = work();
    let more = |bytes: isize| usize::try_from(bytes - before).unwrap_or_default();
    (done, Memory { peak: more(PEAK.load(Ordering::SeqCst)), left: more(LIVE.load(Ordering::SeqCst)) })
}

fn grow(bytes: isize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is passed unchanged to the system's allocator, and its result is returned. The counters
// touch no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size() as isize);
        // SAFETY: the caller fulfils `GlobalAlloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller fulfils `GlobalAlloc`'s contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old place and the new one may both be there for a moment.
        grow(size as isize);
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller fulfils `GlobalAlloc`'s contract, which is the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
