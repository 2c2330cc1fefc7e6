//! Receives the commits of other processes, while there are watchers.
//!
//! The operating system reports writes to the write-ahead log. That is before the commit: the word moves only
//! once the log is on the disk. So after a report the follower polls the word for a while. If the system reports
//! nothing (a file system without support, no handles left), a poll now and then finds the commit.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::beside::beside;
use super::cache::{StoreCache, StoreWord, Word};
use super::store_file::StoreFile;
use crate::data::{contained, locked};
use crate::engine::sabotage::is_simulated;
use crate::engine::{Duty, Sink};

/// How often to poll without a report.
const POLL: Duration = Duration::from_millis(500);

/// How long to poll after a report, and with which pauses.
const LOOKING: Duration = Duration::from_millis(100);
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(2);

/// How long to rest after a foreign commit, so that a busy writer does not keep a core busy here.
const REST: Duration = Duration::from_millis(1);

/// How long to rest after a commit of this process. Its next commit finds foreign ones too, and its writers need
/// the cores more.
const REST_AFTER_OWN: Duration = Duration::from_millis(4);

/// How long to wait at most until the thread of the reports has ended. It has nothing left to do.
const END_MAX: Duration = Duration::from_secs(1);

/// The thread that follows foreign commits, while it runs.
#[derive(Default)]
pub(super) struct Follower(Mutex<Option<Running>>);

struct Running {
    wake: SyncSender<()>,
    /// Relaxed: it guards no data. Seen late, it costs one more poll.
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    /// `None` where the system cannot report.
    reports: Option<Reports>,
}

/// Reports of writes to the log.
struct Reports {
    watcher: RecommendedWatcher,
    /// Disconnected once the thread of the reports has ended, and with it what it had open.
    ended: Receiver<()>,
}

impl Reports {
    /// Ends them, and waits for that: a closed store has nothing open.
    fn end(self) {
        drop(self.watcher);
        let _ = self.ended.recv_timeout(END_MAX);
    }
}

impl Follower {
    /// Starts following, unless it runs already. Once this returns, no commit is missed.
    pub fn start(
        &self,
        place: &StoreFile,
        cache: &Arc<StoreCache>,
        sink: &Arc<dyn Sink>,
    ) -> std::io::Result<()> {
        let Some(file) = &place.path else { return Ok(()) };
        let mut running = locked(&self.0);
        let Some(word) = cache.word().filter(|_| running.is_none()) else {
            return Ok(());
        };
        let (wake, woken) = sync_channel(1);
        let reports = reports(file, wake.clone());
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let seen = word.word();
        let (cache, sink) = (Arc::downgrade(cache), Arc::clone(sink));
        let (place, stopped_sink) = (place.clone(), Arc::clone(&sink));
        let is_stopped = move || {
            let is_stopped = place.before_read().is_err();
            if is_stopped {
                // Watchers read on in the log, and learn there why.
                let _ = contained("what learns that a store was stopped", || stopped_sink.others_committed());
            }
            is_stopped
        };
        let tell = move || {
            let others = cache.upgrade().is_some_and(|cache| cache.others_have_committed());
            if others {
                sink.others_committed();
            }
            others
        };
        let thread = std::thread::Builder::new().name("larder-follow".into());
        let thread = thread.spawn(move || follow(&word, seen, &woken, &stop, tell, is_stopped))?;
        *running = Some(Running { wake, stopping, thread, reports });
        Ok(())
    }

    /// Stops following, and waits until the thread has ended.
    pub fn stop(&self) {
        if let Some(running) = locked(&self.0).take() {
            running.stopping.store(true, Ordering::Relaxed);
            // One pending wake is enough.
            let _ = running.wake.try_send(());
            // A watcher's waker, which runs on the follower's thread, may drop the last handle.
            if running.thread.thread().id() != std::thread::current().id() {
                let _ = running.thread.join();
                // A report waits for that thread.
                if let Some(reports) = running.reports {
                    reports.end();
                }
            }
        }
    }
}

/// Wakes the follower whenever the log is written to.
fn reports(file: &Path, wake: SyncSender<()>) -> Option<Reports> {
    if is_simulated() {
        return None;
    }
    let (lives, ended) = sync_channel(0);
    // Blocks while the follower rests, so the system merges the writes of that time into one report. Otherwise
    // each page that this process writes would wake a thread. Fails once the follower is gone.
    let told = move |_| {
        let _lives = &lives;
        let _ = wake.send(());
    };
    let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
        watcher.watch(&beside(file, "-wal"), RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .map(|watcher| Reports { watcher, ended })
        .inspect_err(|error| tracing::warn!(%error, "commits of other processes arrive with some delay"))
        .ok()
}

/// `tell` finds out whether another process has committed, and passes that on. `is_stopped` finds out whether the files
/// were taken away, and passes that on.
fn follow(
    word: &StoreWord,
    mut seen: u64,
    woken: &Receiver<()>,
    stopping: &AtomicBool,
    tell: impl Fn() -> bool,
    is_stopped: impl Fn() -> bool,
) {
    let _duty = Duty::begin();
    loop {
        let looking = match woken.recv_timeout(POLL) {
            Ok(()) => LOOKING,
            Err(RecvTimeoutError::Timeout) if is_stopped() => return,
            Err(RecvTimeoutError::Timeout) => Duration::ZERO,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut deadline = Instant::now() + looking;
        let mut pause = PAUSE_MIN;
        while !stopping.load(Ordering::Relaxed) {
            let now = word.word();
            if now != seen {
                seen = now;
                if is_stopped() {
                    return;
                }
                let others = contained("what learns of other processes' commits", &tell).unwrap_or(true);
                std::thread::sleep(if others { REST } else { REST_AFTER_OWN });
                break;
            }
            if Instant::now() >= deadline {
                break;
            }
            match woken.recv_timeout(pause) {
                // Perhaps another commit; poll for it from the beginning.
                Ok(()) => (deadline, pause) = (Instant::now() + LOOKING, PAUSE_MIN),
                Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(PAUSE_MAX),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        if stopping.load(Ordering::Relaxed) {
            return;
        }
    }
}
