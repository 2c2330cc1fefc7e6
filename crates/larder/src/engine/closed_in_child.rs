//! Descriptors that a forked process closes at once.

#![expect(unsafe_code, reason = "what runs right after a fork may neither take a lock nor free memory")]

use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

/// All slots, the newest first. They are leaked, and used again.
static SLOTS: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());

struct Slot {
    descriptor: AtomicI32,
    next: *mut Slot,
}

const FREE: i32 = -1;

/// A descriptor that a forked process closes at once, while this lives. A child that kept it would keep its locks,
/// beyond the end of the parent.
///
/// Its owner must check the process before it drops the descriptor.
#[derive(Debug)]
pub(crate) struct ClosedInChild(&'static AtomicI32);

impl ClosedInChild {
    pub fn new(descriptor: RawFd) -> Self {
        let mut slot = SLOTS.load(Ordering::Acquire);
        // SAFETY: slots are leaked, so each pointer stays valid.
        while let Some(found) = unsafe { slot.as_ref() } {
            let taken =
                found.descriptor.compare_exchange(FREE, descriptor, Ordering::Relaxed, Ordering::Relaxed);
            if taken.is_ok() {
                return Self(&found.descriptor);
            }
            slot = found.next;
        }
        let mut next = SLOTS.load(Ordering::Acquire);
        let new = ptr::from_mut(Box::leak(Box::new(Slot { descriptor: AtomicI32::new(descriptor), next })));
        loop {
            // SAFETY: the slot is private to this thread until the exchange below succeeds.
            unsafe { (*new).next = next };
            match SLOTS.compare_exchange_weak(next, new, Ordering::Release, Ordering::Acquire) {
                // SAFETY: leaked, and from here on only its atomic changes.
                Ok(_) => return Self(unsafe { &(*new).descriptor }),
                Err(newer) => next = newer,
            }
        }
    }
}

impl Drop for ClosedInChild {
    fn drop(&mut self) {
        self.0.store(FREE, Ordering::Relaxed);
    }
}

/// Closes all of them, in a process that was just forked.
pub(super) fn close_all() {
    let mut slot = SLOTS.load(Ordering::Acquire);
    // SAFETY: slots are leaked, so each pointer stays valid.
    while let Some(found) = unsafe { slot.as_ref() } {
        let descriptor = found.descriptor.swap(FREE, Ordering::Relaxed);
        if descriptor >= 0 {
            // SAFETY: the descriptor is open. Its owner belongs to the parent: in this process it is never used, and
            // never closed again.
            unsafe { libc::close(descriptor) };
        }
        slot = found.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots() -> usize {
        let mut count = 0;
        let mut slot = SLOTS.load(Ordering::Acquire);
        // SAFETY: slots are leaked, so each pointer stays valid.
        while let Some(found) = unsafe { slot.as_ref() } {
            count += 1;
            slot = found.next;
        }
        count
    }

    #[test]
    fn threads_that_come_at_once_get_a_slot_each_and_slots_are_used_again() {
        let (threads, rounds) = (4, if cfg!(miri) { 10 } else { 1000 });
        let taken = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..threads)
                .map(|thread| {
                    scope.spawn(move || {
                        // Descriptors that no process has.
                        let descriptor = 1_000_000_000 + thread;
                        for _ in 0..rounds {
                            let held = ClosedInChild::new(descriptor);
                            std::thread::yield_now();
                            assert_eq!(held.0.load(Ordering::Relaxed), descriptor);
                        }
                    })
                })
                .collect();
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).filter(Result::is_ok).count()
        });
        assert_eq!(taken, threads as usize);
        let before = slots();
        drop(ClosedInChild::new(1_000_000_000));
        // Other tests of this process may take slots meanwhile, but not hundreds.
        assert!(before < 500 && slots() < 500, "{before}");
    }
}
