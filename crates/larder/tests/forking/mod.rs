//! Forks the process of a test.

#![expect(unsafe_code, reason = "a fork is a call of the C library")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Longer than any child should take, in seconds.
const CHILD_MAX: u32 = 30;

/// Which side of a fork this is.
#[derive(Clone, Copy)]
pub enum Fork {
    Child,
    /// The parent, with the id of the child.
    Parent(libc::pid_t),
}

#[allow(dead_code)] // Only some tests go on in both.
impl Fork {
    /// Forks this process. A child that does not end in time is ended.
    pub fn begin() -> Self {
        // SAFETY: the child goes on with one thread, and ends without returning to what started it. The C library makes
        // its allocator usable in a forked child, whatever other threads did.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "the process could not be forked");
        if child > 0 {
            return Self::Parent(child);
        }
        // SAFETY: a timer of this process, which ends it.
        unsafe { libc::alarm(CHILD_MAX) };
        Self::Child
    }

    /// Ends the child at once, without what the parent has registered for its own end.
    pub fn end(done: bool) -> ! {
        // SAFETY: it does not return.
        unsafe { libc::_exit(i32::from(!done)) }
    }

    /// Waits for the end of the child, in the parent. Fails unless it has succeeded.
    pub fn wait(self) {
        let Self::Parent(child) = self else { return };
        let mut status = 0;
        // SAFETY: `status` lives until the call has returned.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(
            (waited, status),
            (child, 0),
            "the forked child failed, or did not end within {CHILD_MAX} s"
        );
    }
}

/// Runs a closure in a forked child, and waits for its end. Fails if it panics, or does not end.
pub fn in_forked_child(work: impl FnOnce()) {
    match Fork::begin() {
        Fork::Child => Fork::end(catch_unwind(AssertUnwindSafe(work)).is_ok()),
        parent => parent.wait(),
    }
}

/// Fails unless a call in a forked child was refused for that.
#[track_caller]
pub fn assert_forked<T: std::fmt::Debug>(result: larder::Result<T>) {
    assert!(matches!(result, Err(larder::Error::ForkedProcess)), "{result:?}");
}

/// Runs `work` while other threads do each of these things again and again.
pub fn beside(others: &[&(dyn Fn() + Sync)], work: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    let is_over = &is_over;
    thread::scope(|scope| {
        for other in others {
            scope.spawn(move || {
                // Relaxed: it guards no data.
                while !is_over.load(Ordering::Relaxed) {
                    other();
                }
            });
        }
        let worked = catch_unwind(AssertUnwindSafe(work));
        is_over.store(true, Ordering::Relaxed);
        worked.unwrap_or_else(|panic| resume_unwind(panic));
    });
}
