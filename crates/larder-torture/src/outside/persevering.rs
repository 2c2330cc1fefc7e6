//! A process that goes on whatever fails: it prints each answer, and opens its store again where larder wants that.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread::{self, sleep};
use std::time::Duration;

use larder::{ErrorKind, Store};

use super::lines::{acknowledge, begin, print, say};
use super::worker::{FOLLOWER, HOLDER, READER, THREADS};
use super::write::write;
use super::{Plant, following};

/// How long larder's calls may wait for a lock.
pub const TIMEOUT: Duration = Duration::from_millis(500);

/// For how long a thread says nothing, where that is planted: longer than any call may take.
pub const SILENCE: Duration = Duration::from_secs(30);

/// How long a caller rests after an error.
pub const REST: Duration = Duration::from_millis(2);

/// The store of all threads.
struct Shared {
    path: PathBuf,
    /// The store, and how often it was opened; none while it is closed.
    store: Mutex<(u64, Option<Store>)>,
    has_to_end: AtomicBool,
}

fn open(path: &Path) -> larder::Result<Store> {
    // The disk may be gone for a moment. Then nothing is to be made in its place.
    Store::options().create(false).history(2_000, 1 << 20).timeout(TIMEOUT).open(path)
}

/// Writes and reads until the standard input ends.
pub fn persevere(path: &Path, plant: Option<Plant>) -> Result<(), Box<dyn Error>> {
    let shared =
        Shared { path: path.into(), store: Mutex::new((0, None)), has_to_end: AtomicBool::new(false) };
    begin();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let shared = &shared;
            scope.spawn(move || shared.write_on(thread, plant));
        }
        scope.spawn(|| shared.read_on());
        scope.spawn(|| shared.follow_on(plant));
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        // Relaxed: it guards no data.
        shared.has_to_end.store(true, Ordering::Relaxed);
    });
    let mut store = shared.store.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(store.1.take().map_or(Ok(()), |store| store.close())?)
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.has_to_end.load(Ordering::Relaxed)
    }

    /// The store, opened if it is closed. Nothing if that failed, or if another thread is about it.
    fn store(&self, thread: u64) -> Option<(u64, Store)> {
        let mut held = match self.store.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => {
                say("waits", thread, "");
                sleep(REST);
                return None;
            }
        };
        if held.1.is_none() {
            match open(&self.path) {
                Ok(store) => *held = (held.0 + 1, Some(store)),
                Err(error) => {
                    say("unopened", thread, error.kind().as_str());
                    complain_of_nonsense(&error);
                    sleep(REST);
                    return None;
                }
            }
            if held.0 > 1 {
                say("reopened", thread, "");
            }
        }
        held.1.clone().map(|store| (held.0, store))
    }

    /// Rests after an error, and closes the store if it has to be opened again.
    fn failed(&self, number: u64, error: &larder::Error) {
        use larder::Error::{Closed, ReadOnly, Replaced, WritesStopped};
        complain_of_nonsense(error);
        if matches!(error, Closed | ReadOnly { .. } | Replaced { .. } | WritesStopped { .. }) {
            let mut held = self.store.lock().unwrap_or_else(PoisonError::into_inner);
            if held.0 == number
                && let Some(store) = held.1.take()
            {
                // Whatever this says, the files are let go.
                let _ = store.close();
            }
        }
        sleep(REST);
    }

    /// Each write has a number of the thread's own. One that was refused is made again.
    fn write_on(&self, thread: u64, plant: Option<Plant>) {
        let mut known = Known::default();
        let mut is_resigned = false;
        while self.goes_on() {
            if is_resigned {
                say("refused", thread, "failed");
                sleep(REST);
                continue;
            }
            let Some((opened, store)) = self.store(thread) else { continue };
            if let Err(error) = known.look(&store, opened, thread) {
                say("unread", thread, error.kind().as_str());
                self.failed(opened, &error);
                continue;
            }
            let number = known.last + 1;
            match write(&store, thread, number) {
                Ok(()) => {
                    acknowledge(thread, number);
                    known.last = number;
                    known.is_in_doubt = false;
                    known.expect(&store, thread);
                }
                Err(_) if plant == Some(Plant::Ignored) => {
                    acknowledge(thread, number);
                    known.last = number;
                }
                Err(error) => {
                    let kind = error.kind();
                    let is_unknown = kind == ErrorKind::OutcomeUnknown;
                    say(if is_unknown { "unknown" } else { "refused" }, thread, kind.as_str());
                    if plant == Some(Plant::Silent) {
                        sleep(SILENCE);
                    }
                    is_resigned = plant == Some(Plant::Resigned);
                    known.is_in_doubt |= is_unknown;
                    known.expect(&store, thread);
                    self.failed(opened, &error);
                }
            }
        }
    }

    fn read_on(&self) {
        let mut round = 0_u64;
        while self.goes_on() {
            round += 1;
            let Some((opened, store)) = self.store(READER) else { continue };
            match read(&store, &self.path, round) {
                Ok(()) => say("read", READER, ""),
                Err(error) => {
                    say("unread", READER, error.kind().as_str());
                    self.failed(opened, &error);
                }
            }
        }
    }

    /// Watches what is written, from now on, each time that the store was opened.
    fn follow_on(&self, plant: Option<Plant>) {
        while self.goes_on() {
            let Some((opened, store)) = self.store(FOLLOWER) else { continue };
            match following::watch(&store) {
                Ok(watcher) => {
                    drop(store);
                    following::follow(&watcher, plant, || self.goes_on());
                }
                Err(error) => {
                    say("untold", FOLLOWER, error.kind().as_str());
                    self.failed(opened, &error);
                }
            }
        }
    }
}

/// Whatever is missing, nothing is damaged, and nothing wrong is asked for.
fn complain_of_nonsense(error: &larder::Error) {
    use ErrorKind::{Busy, Closed, Denied, Failed, NoStore, OutcomeUnknown};
    if !matches!(error.kind(), Busy | Closed | Denied | Failed | NoStore | OutcomeUnknown) {
        print(&format!("wrong: a call fails with {error:#}."));
    }
}

fn last(store: &Store, thread: u64) -> larder::Result<u64> {
    let value = store.get(format!("tenant-{thread}:numbers"), "last")?;
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or_default())
}

/// What a writer knows of its own writes.
#[derive(Default)]
struct Known {
    /// The number of the last one that is there.
    last: u64,
    /// Whether nobody knows if the next one is there, too. It is not seen while the store is open, and may be afterwards.
    is_in_doubt: bool,
    /// How often the store was opened when that was known.
    opened: u64,
}

impl Known {
    /// Looks again in a store that was opened anew.
    fn look(&mut self, store: &Store, opened: u64, thread: u64) -> larder::Result<()> {
        if self.opened == opened {
            return Ok(());
        }
        let found = last(store, thread)?;
        if self.opened > 0 {
            self.compare(found, thread, "after opening");
        } else {
            // The trial knows what an earlier process was told.
            say("found", thread, &found.to_string());
        }
        *self = Self { last: found, is_in_doubt: false, opened };
        Ok(())
    }

    fn expect(&self, store: &Store, thread: u64) {
        // The reader counts errors.
        if let Ok(found) = last(store, thread) {
            self.compare(found, thread, "afterwards");
        }
    }

    fn compare(&self, found: u64, thread: u64, when: &str) {
        let Self { last, is_in_doubt, .. } = *self;
        if found < last {
            return say("lost", thread, &format!("{found} {last}"));
        }
        if found != last && !(is_in_doubt && found == last + 1) {
            print(&format!("wrong: thread {thread} wrote {last}, and reads {found} {when}."));
        }
    }
}

/// Reads by turns in all ways. Everything that was written together has to be seen together.
fn read(store: &Store, path: &Path, round: u64) -> larder::Result<()> {
    match round % 7 {
        0 => {
            let snapshot = store.snapshot()?;
            let mut numbers = BTreeMap::new();
            for thread in 0..=HOLDER {
                let value = snapshot.get(format!("tenant-{thread}:numbers"), "last")?;
                numbers.insert(thread, value.and_then(|value| value.parse::<u64>().ok()).unwrap_or_default());
            }
            let sum = snapshot.get("sum", "all")?.and_then(|sum| sum.parse::<u64>().ok()).unwrap_or_default();
            if sum != numbers.values().sum::<u64>() {
                print(&format!(
                    "wrong: a snapshot shows half of a commit: the sum is {sum}, of {numbers:?}."
                ));
            }
        }
        1 => drop(store.groups("")?),
        2 => drop(store.get_all(format!("thread-{}-{}", round % THREADS, round % 7))?),
        3 => drop(store.count("sum")?),
        // Each needs descriptors of its own.
        4 => drop((0..4).map(|_| store.snapshot()).collect::<larder::Result<Vec<_>>>()?),
        5 if round.is_multiple_of(5) => open(path)?.close()?,
        _ if round.is_multiple_of(20) => {
            let findings = store.check()?;
            if !findings.is_empty() {
                print(&format!("wrong: check finds {findings:?}."));
            }
        }
        _ => drop(store.stats()?),
    }
    Ok(())
}

/// Writes in transactions that take a while, and prints when one has written.
pub fn hold(path: &Path) -> Result<(), Box<dyn Error>> {
    begin();
    let store = open(path)?;
    let mut number = last(&store, HOLDER)? + 1;
    say("found", HOLDER, &(number - 1).to_string());
    loop {
        let held = store.transaction(|tx| {
            tx.set(format!("tenant-{HOLDER}:numbers"), "last", number.to_string())?;
            tx.increment("sum", "all", 1)?;
            print("holds");
            sleep(Duration::from_millis(20));
            Ok(())
        });
        match held {
            Ok(()) => {
                acknowledge(HOLDER, number);
                number += 1;
            }
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => number = last(&store, HOLDER)? + 1,
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error.into()),
        }
        sleep(REST);
    }
}
