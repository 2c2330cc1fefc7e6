//! Hears of the commits of other processes, while somebody watches.
//!
//! The operating system tells when the write-ahead log is written to. That is before the commit is
//! there: the word moves only once the log is on the disk. So after being told, one looks at the word
//! again and again for a while. Where the system tells nothing (a file system that cannot, no handles
//! left), a look every now and then has to do.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::beside::beside;
use super::cache::{StoreCache, StoreWord, Word};
use crate::engine::Sink;
use crate::engine::locked::locked;

/// How often one looks without being told to.
const POLL: Duration = Duration::from_millis(500);

/// How long one goes on looking after being told, and with which pauses.
const LOOKING: Duration = Duration::from_millis(100);
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(2);

/// How long one rests after others have committed, so that a busy writer does not keep a core busy here.
const REST: Duration = Duration::from_millis(1);

/// How long one rests where it was this process that committed. Its next commit will tell of others, too,
/// and its writers need the cores more.
const REST_AFTER_OWN: Duration = Duration::from_millis(4);

/// The thread that follows what others write, while it runs.
#[derive(Default)]
pub(super) struct Follower(Mutex<Option<Running>>);

struct Running {
    wake: SyncSender<()>,
    /// Relaxed: it guards nothing, and seen late it costs one more look.
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    /// Tells of writes to the log; `None` where the system cannot.
    _touched: Option<RecommendedWatcher>,
}

impl Follower {
    /// Starts following, unless that has begun. From when this returns, no commit goes unheard.
    pub fn start(&self, file: &Path, cache: &Arc<StoreCache>, sink: &Arc<dyn Sink>) -> std::io::Result<()> {
        let mut running = locked(&self.0);
        let Some(word @ StoreWord::Index(_)) = cache.word().filter(|_| running.is_none()) else {
            return Ok(());
        };
        let (wake, woken) = sync_channel(1);
        let touched = touched(file, wake.clone());
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let seen = word.word();
        let (cache, sink) = (Arc::downgrade(cache), Arc::clone(sink));
        let tell = move || {
            let others = cache.upgrade().is_some_and(|cache| cache.others_have_committed());
            if others {
                sink.others_committed();
            }
            others
        };
        let thread = std::thread::Builder::new().name("larder-follow".into());
        let thread = thread.spawn(move || follow(&word, seen, &woken, &stop, tell))?;
        *running = Some(Running { wake, stopping, thread, _touched: touched });
        Ok(())
    }

    /// Stops following, and waits until nothing of it is left.
    pub fn stop(&self) {
        if let Some(running) = locked(&self.0).take() {
            running.stopping.store(true, Ordering::Relaxed);
            // Where one wake waits already, that one will do.
            let _ = running.wake.try_send(());
            let _ = running.thread.join();
        }
    }
}

/// Wakes the follower whenever the log is written to.
fn touched(file: &Path, wake: SyncSender<()>) -> Option<RecommendedWatcher> {
    // Waits while the follower rests: the system makes one of what is written meanwhile, where else each
    // page that a writer of this process writes would wake a thread. Fails once the follower is gone.
    let told = move |_| {
        let _ = wake.send(());
    };
    let watcher = notify::recommended_watcher(told).and_then(|mut watcher| {
        watcher.watch(&beside(file, "-wal"), RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher.inspect_err(|error| tracing::warn!(%error, "other processes are heard of with some delay")).ok()
}

/// `tell` finds out whether others have committed, and tells of it.
fn follow(
    word: &StoreWord,
    mut seen: u64,
    woken: &Receiver<()>,
    stopping: &AtomicBool,
    tell: impl Fn() -> bool,
) {
    loop {
        let looking = match woken.recv_timeout(POLL) {
            Ok(()) => LOOKING,
            Err(RecvTimeoutError::Timeout) => Duration::ZERO,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut deadline = Instant::now() + looking;
        let mut pause = PAUSE_MIN;
        while !stopping.load(Ordering::Relaxed) {
            let now = word.word();
            if now != seen {
                seen = now;
                std::thread::sleep(if tell() { REST } else { REST_AFTER_OWN });
                break;
            }
            if Instant::now() >= deadline {
                break;
            }
            match woken.recv_timeout(pause) {
                // Another commit, it may be, and not the one that was looked for in vain.
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
