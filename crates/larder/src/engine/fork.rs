//! Notices that this process was forked from the one that opened a store: the one file with `unsafe` for it.
//!
//! A forked child has a copy of the parent's memory, without the parent's threads and without its locks on files.
//! SQLite and a connection to a cluster are unusable there. So a store remembers the process that opened it.

#![cfg_attr(
    unix,
    expect(unsafe_code, reason = "only the C library tells of a fork, and only a C function can be told")
)]
#[cfg(unix)]
pub(crate) use self::unix::{OpenIn, Process};

#[cfg(not(unix))]
pub(crate) use self::elsewhere::{OpenIn, Process};

#[cfg(unix)]
mod unix {
    use std::sync::Once;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// How many forks lie between this process and the one that first opened a store.
    ///
    /// Relaxed: only the handler writes it, in a child that has one thread.
    static GENERATION: AtomicU32 = AtomicU32::new(0);

    /// The process that something was opened in.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Process {
        generation: u32,
    }

    impl Process {
        /// The process that calls this.
        pub fn current() -> Self {
            static NOTICED: Once = Once::new();
            NOTICED.call_once(|| {
                // SAFETY: the handler stays valid as long as this code is loaded, and does nothing that a forked
                // child may not do: it writes to atomics and closes descriptors.
                let registered = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
                if registered != 0 {
                    tracing::warn!("a store cannot notice a fork: there is no memory for it");
                }
            });
            Self { generation: GENERATION.load(Ordering::Relaxed) }
        }

        /// Whether this is the process that calls.
        #[inline]
        pub fn is_current(self) -> bool {
            self.generation == GENERATION.load(Ordering::Relaxed)
        }

        /// How many forks lie between this process and the one that first opened a store.
        pub fn depth(self) -> u32 {
            self.generation
        }
    }

    /// Whether something is open, and in which process: one comparison for both, because every read makes it.
    #[derive(Debug)]
    pub(crate) struct OpenIn {
        process: Process,
        /// The number of the process, or [`CLOSED`].
        generation: AtomicU32,
    }

    /// No process has this number.
    const CLOSED: u32 = u32::MAX;

    impl OpenIn {
        /// Open in the process that calls this.
        pub fn current() -> Self {
            let process = Process::current();
            Self { process, generation: AtomicU32::new(process.generation) }
        }

        /// The process that it was opened in.
        pub fn process(&self) -> Process {
            self.process
        }

        /// Whether it is open, and this is the process that it was opened in.
        #[inline]
        pub fn is_open_here(&self) -> bool {
            // Relaxed: it guards no data. A call that races with `close` may come before or after it.
            self.generation.load(Ordering::Relaxed) == GENERATION.load(Ordering::Relaxed)
        }

        /// Closes it. Returns whether it was open.
        pub fn close(&self) -> bool {
            // AcqRel: only the first call closes, and it sees all that was done before.
            self.generation.swap(CLOSED, Ordering::AcqRel) != CLOSED
        }
    }

    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        crate::engine::closed_in_child::close_all();
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// The process that something was opened in. There is no fork here.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Process;

    impl Process {
        pub fn current() -> Self {
            Self
        }

        #[inline]
        pub fn is_current(self) -> bool {
            true
        }

        pub fn depth(self) -> u32 {
            0
        }
    }

    /// Whether something is open.
    #[derive(Debug)]
    pub(crate) struct OpenIn(AtomicBool);

    impl OpenIn {
        pub fn current() -> Self {
            Self(AtomicBool::new(true))
        }

        pub fn process(&self) -> Process {
            Process
        }

        #[inline]
        pub fn is_open_here(&self) -> bool {
            // Relaxed: it guards no data. A call that races with `close` may come before or after it.
            self.0.load(Ordering::Relaxed)
        }

        /// Closes it. Returns whether it was open.
        pub fn close(&self) -> bool {
            // AcqRel: only the first call closes, and it sees all that was done before.
            self.0.swap(false, Ordering::AcqRel)
        }
    }
}
