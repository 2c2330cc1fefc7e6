//! What the system reports of changed names, at a price that each commit can pay.
//!
//! Linux reports through `inotify` that a file was renamed, deleted or linked to: its report is there before the call
//! that changed the name returns. Asking whether there is one is one system call that looks at no file. Asking for the
//! names themselves takes several, and each has to walk a path.
//!
//! There is one `inotify` descriptor for the whole process, since a user has few of them. So a report only says that
//! something has happened to some store, and each store then looks at its own names.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::data::locked;
use crate::engine::{ClosedInChild, Process};

/// The reports of one process.
#[derive(Debug)]
struct Reports {
    process: Process,
    descriptor: OwnedFd,
    _closed_in_child: ClosedInChild,
    /// How often somebody has found a report.
    ///
    /// It grows before a report is taken out of the queue. So whoever finds the queue empty finds this grown, if there
    /// was a report since.
    found: AtomicU64,
    /// Held by whoever takes reports out.
    taking: Mutex<()>,
}

/// The reports on the files of one store. All stores of this process on the same file share it, because the system has
/// one watch for each file.
#[derive(Debug)]
pub(super) struct Notices {
    reports: &'static Reports,
    watches: Vec<i32>,
}

impl Reports {
    /// Those of this process. `None` in a forked process, and where the system has no descriptor left.
    fn of_process() -> Option<&'static Self> {
        static REPORTS: OnceLock<Option<Reports>> = OnceLock::new();
        let reports = REPORTS.get_or_init(|| {
            let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
                .inspect_err(|error| tracing::debug!(%error, "no reports of changed names"))
                .ok()?;
            Some(Self {
                process: Process::current(),
                _closed_in_child: ClosedInChild::new(std::os::fd::AsRawFd::as_raw_fd(&descriptor)),
                descriptor,
                found: AtomicU64::new(0),
                taking: Mutex::new(()),
            })
        });
        reports.as_ref().filter(|reports| reports.process.is_current())
    }

    /// How many reports wait, in bytes.
    fn waiting(&self) -> u64 {
        // If the system does not answer, the names are looked at.
        rustix::io::ioctl_fionread(&self.descriptor).unwrap_or(u64::MAX)
    }

    /// Takes out what waits.
    fn take(&self) {
        let _taking = locked(&self.taking);
        let waiting = self.waiting();
        // SeqCst: see `found`.
        self.found.fetch_add(1, Ordering::SeqCst);
        let mut room = [0_u8; 4096];
        // Not more than what was there when `found` grew.
        let bytes = usize::try_from(waiting).unwrap_or(usize::MAX).min(room.len());
        let _ = rustix::io::read(&self.descriptor, &mut room[..bytes]);
    }
}

impl Notices {
    /// Asks for reports on files. `None` where the system gives none.
    pub fn on<'a>(files: impl IntoIterator<Item = &'a Path>) -> Option<Self> {
        let reports = Reports::of_process()?;
        // A file is deleted when its last descriptor is closed, which this store has. Its count of links changes at
        // once, and so do its attributes.
        let what = WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        let mut notices = Self { reports, watches: Vec::new() };
        for file in files {
            match inotify::add_watch(&reports.descriptor, file, what) {
                Ok(watch) => notices.watches.push(watch),
                Err(error) => {
                    tracing::debug!(%error, "no reports of changed names");
                    return None;
                }
            }
        }
        Some(notices)
    }

    /// How many reports there were, of any store. It grows with each.
    #[inline]
    pub fn count(&self) -> u64 {
        if self.reports.waiting() > 0 {
            self.reports.take();
        }
        self.reports.found.load(Ordering::SeqCst)
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        if !self.reports.process.is_current() {
            return;
        }
        for watch in &self.watches {
            // It ended by itself if the file is gone.
            let _ = inotify::remove_watch(&self.reports.descriptor, *watch);
        }
    }
}
