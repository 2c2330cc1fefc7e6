//! Checkpoints: copies the log back into the file, off the path of the writers, and notices what fails.
//!
//! SQLite's own checkpoints run inside a commit and swallow their errors. So they are off, and each store that writes
//! has a thread and a connection for them. The thread starts with the first log that is long enough. A commit looks
//! at the length of the log, and wakes the thread.
//!
//! [`round`] is one checkpoint, [`signal`] is how writers and the thread talk to each other.

mod round;
mod signal;

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

pub(super) use self::round::{Mode, Parts, copy};
use self::round::{Progress, Round};
use self::signal::Signal;
use super::log_length::frames_to_copy;
use super::store_file::is_failed_sync;
use super::writer::Writer;
use crate::data::{Error, OldestReader, locked, report};

/// How long the log is when a reader that keeps it is warned of, and again each time it has doubled.
const BYTES_TO_WARN: u64 = 64 << 20;

/// How long to rest after a checkpoint that could not finish, at first and at most.
const REST_MIN: Duration = Duration::from_millis(20);
const REST_MAX: Duration = Duration::from_secs(1);

/// How many times as long as readers were held back in vain: so they wait for a tenth of the time at most.
const REST_FOR_READERS: u32 = 9;

/// Checkpoints one file.
pub(super) struct Checkpointer {
    signal: Arc<Signal>,
    work: Mutex<Work>,
}

enum Work {
    /// No log was long enough so far.
    Idle(Parts),
    Running(JoinHandle<()>),
    /// There is no thread, so the leader of a commit does it.
    Alone,
    Over,
}

/// Says whether SQLite checkpoints in the commits of a connection, as it does where there is no shared memory, or
/// larder does.
pub(super) fn leave_to_sqlite(connection: &Connection, is_left: bool) -> rusqlite::Result<()> {
    connection.pragma_update(None, "wal_autocheckpoint", if is_left { frames_to_copy() } else { 0 })
}

impl Checkpointer {
    pub fn new(parts: Parts) -> Self {
        Self { signal: Arc::default(), work: Mutex::new(Work::Idle(parts)) }
    }

    /// Call this after a commit.
    #[inline]
    pub fn after_commit(&self, writer: &mut Writer) {
        let Some(index) = &writer.index else { return };
        let frames = index.frames();
        if frames >= frames_to_copy() {
            self.see_to(frames, writer);
        }
    }

    /// Waits a little, before a commit, for a checkpoint that the writers have outrun.
    #[inline]
    pub fn let_catch_up(&self) {
        self.signal.let_catch_up();
    }

    #[cold]
    fn see_to(&self, frames: u32, writer: &mut Writer) {
        // With so many, writers wait for a checkpoint that is at work.
        if !self.signal.call(frames >= 4 * frames_to_copy()) {
            return;
        }
        let mut work = locked(&self.work);
        match std::mem::replace(&mut *work, Work::Over) {
            Work::Idle(parts) => *work = self.start(parts),
            other => *work = other,
        }
        if let Work::Alone = *work {
            drop(work);
            copy_alone(writer);
            self.signal.arm();
        }
    }

    fn start(&self, parts: Parts) -> Work {
        let signal = Arc::clone(&self.signal);
        let thread = thread::Builder::new().name("larder-checkpoint".into());
        match thread.spawn(move || run(&signal, &parts)) {
            Ok(thread) => Work::Running(thread),
            Err(error) => {
                report(|| tracing::warn!(%error, "no thread for checkpoints; writers make them"));
                Work::Alone
            }
        }
    }

    /// Ends the thread, and waits for it.
    pub fn stop(&self) {
        self.signal.stop();
        let work = std::mem::replace(&mut *locked(&self.work), Work::Over);
        if let Work::Running(thread) = work {
            let _ = thread.join();
        }
    }
}

fn run(signal: &Signal, parts: &Parts) {
    let mut opened: Option<Round<'_>> = None;
    while signal.wait() {
        let mut rest = REST_MIN;
        let mut warn_from = BYTES_TO_WARN;
        loop {
            match checkpoint(parts, &mut opened) {
                Ok(Progress::Done) => break,
                Ok(Progress::Closed) => return,
                Ok(Progress::Held { readers_held }) => {
                    rest = rest.max(readers_held * REST_FOR_READERS);
                    warn_from = warn(parts, warn_from);
                }
                Err(error) if is_failed_sync(&error) => return stop_writes(parts, error),
                Err(error) => {
                    report(
                        || tracing::warn!(%error, location = parts.file.location, "a checkpoint failed; will retry"),
                    );
                }
            }
            if signal.rest(rest) {
                return;
            }
            rest = (rest * 2).min(REST_MAX);
            signal.resume();
        }
        signal.arm();
    }
}

/// Warns of a reader that keeps a long log from being reused. Returns from which length on to warn again.
fn warn(parts: &Parts, from: u64) -> u64 {
    let log_bytes = parts.index.bytes(parts.index.frames());
    if log_bytes < from {
        return from;
    }
    if let Some(OldestReader { process, age, .. }) = parts.readers.find(&parts.index) {
        let location = &parts.file.location;
        let who = process.map_or_else(|| "an unknown process".to_owned(), |id| format!("process {id}"));
        report(|| {
            tracing::warn!(
                location,
                log_bytes,
                "a reader of {who} keeps the log growing, for {age:?} so far"
            );
        });
    }
    log_bytes.saturating_mul(2)
}

fn checkpoint<'a>(parts: &'a Parts, opened: &mut Option<Round<'a>>) -> rusqlite::Result<Progress> {
    let round = match opened.take() {
        Some(round) => round,
        None => Round::open(parts)?,
    };
    opened.insert(round).run()
}

/// After a failed sync, pages that earlier checkpoints copied may be missing on the disk, although later syncs
/// succeed: the system reports the loss once. The log still has them, so they have to be copied again, from its
/// beginning, before it may start over.
fn stop_writes(parts: &Parts, error: rusqlite::Error) {
    if let Ok(mut lease) = parts.writer.lease()
        && let Some(writer) = &mut lease.writer
    {
        fail(writer, error);
    }
}

/// Takes no more writes, and returns why.
pub(super) fn fail(writer: &mut Writer, error: rusqlite::Error) -> Error {
    report(|| tracing::error!(%error, "a checkpoint could not be confirmed by the disk; no more writes"));
    let forgotten = writer.index.as_ref().is_some_and(|index| index.forget_copied());
    if !forgotten {
        report(|| tracing::warn!("another process checkpoints the file meanwhile"));
    }
    let location = writer.file.location.clone();
    let stopped = Error::WritesStopped { location, source: Arc::new(error) };
    writer.stopped = Some(stopped.clone());
    stopped
}

/// A checkpoint by the leader of a commit, which holds up the writers.
fn copy_alone(writer: &mut Writer) {
    match copy(&writer.connection, Mode::Passive) {
        Ok(_) => {}
        Err(error) if is_failed_sync(&error) => drop(fail(writer, error)),
        Err(error) => report(|| tracing::warn!(%error, "a checkpoint failed; will retry")),
    }
}
