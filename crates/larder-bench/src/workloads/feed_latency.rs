//! From a commit to the watcher that waits for it, in this process and in another; and what it costs to
//! wait.

use std::thread;
use std::time::{Duration, Instant, SystemTime};

use larder::{Durability, Pattern, Revision, Store};

use super::KEYS;
use crate::Outcome;
use crate::follower::Follower;
use crate::measure::{Effort, Figure};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Numbers, Sample};
use crate::scratch;

pub const ROWS: &[&str] = &["feed-latency-set", "feed-latency-process", "feed-rest"];

/// How long to wait for an event that should be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long lies between two commits, at the most: the watcher sleeps again by then.
const PAUSE_US_MAX: u64 = 5_000;

const HERE_NS_MOST: f64 = 100_000.0;
const THERE_NS_MOST: f64 = 5_000_000.0;
const REST_PERCENT_MOST: f64 = 0.1;

pub fn feed_latency(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = scratch::folder()?;
    let path = folder.path().join("larder.db");
    let location = path.to_str().ok_or("the folder for temporary files has a name that is no text")?;
    let commits = effort.size(2_000, 100);
    let sample = Sample::of(KEYS);
    let store = Store::open(&path)?;
    let here = tail("feed-latency", here(&store, &sample, commits, |commit| commit.returned)?);
    let met = here.larder * 1e3 <= HERE_NS_MOST;
    let here = here.with_target("99 of 100 within 100 µs, from the return of a durable set", met);

    let relaxed = Store::options().durability(Durability::Relaxed).open(folder.path().join("relaxed.db"))?;
    let whole = tail("feed-latency-set", self::here(&relaxed, &sample, commits, |commit| commit.called)?);

    let there = tail("feed-latency-process", there(&store, location, &sample, commits)?);
    let met = there.larder * 1e3 <= THERE_NS_MOST;
    let there = there.with_target("99 of 100 within 5 ms, in another process", met);

    let mut rows = vec![here, whole, there];
    let seconds = effort.size(10, 2);
    // Only Linux tells.
    if let Some(percent) = rest(&Follower::start(location)?, Duration::from_secs(seconds)) {
        let target = format!("under 0.1 % of a core, over {seconds} s");
        let rest = Row::single("feed-rest", "% of a core", percent);
        rows.push(rest.with_target(target, percent < REST_PERCENT_MOST));
    }
    Ok(rows)
}

/// A commit, and when it was asked for and answered.
pub struct Commit<T> {
    revision: Revision,
    pub called: T,
    pub returned: T,
}

/// Sets a key now and then.
fn commits<T>(store: &Store, sample: &Sample, count: u64, now: fn() -> T) -> Outcome<Vec<Commit<T>>> {
    let (mut numbers, mut values) = (Numbers::from(1), sample.values());
    let mut commits = Vec::new();
    for _ in 0..count {
        thread::sleep(Duration::from_micros(numbers.below(PAUSE_US_MAX)));
        let key = sample.key(numbers.below(sample.len()));
        let called = now();
        let revision = store.set(GROUP, key.alone(), values.of(key))?;
        commits.push(Commit { revision, called, returned: now() });
    }
    Ok(commits)
}

/// How many nanoseconds after a commit, measured from `start`, a thread of this process has its event. One
/// that is there before that counts as 0.
pub fn here(
    store: &Store,
    sample: &Sample,
    count: u64,
    start: fn(&Commit<Instant>) -> Instant,
) -> Outcome<Vec<f64>> {
    let watcher = store.watch(Pattern::all())?;
    // Goes over to live delivery.
    watcher.try_recv()?;
    thread::scope(|scope| {
        let hearing = scope.spawn(|| {
            let mut heard = Vec::new();
            for _ in 0..count {
                let event = watcher.recv_timeout(PATIENCE)?.ok_or("a change was not heard of")?;
                heard.push((event.revision, Instant::now()));
            }
            Outcome::Ok(heard)
        });
        let committed = commits(store, sample, count, Instant::now)?;
        let heard = hearing.join().unwrap_or_else(|_| Err("the thread that watched panicked".into()))?;
        in_step(&committed, &heard)?;
        let late =
            committed.iter().zip(heard).map(|(commit, (_, at))| at.saturating_duration_since(start(commit)));
        Ok(late.map(|late| late.as_nanos() as f64).collect())
    })
}

/// How many nanoseconds after a set returned another process has its event, by the clock that all
/// processes share.
pub fn there(store: &Store, location: &str, sample: &Sample, count: u64) -> Outcome<Vec<f64>> {
    let mut follower = Follower::start(location)?;
    thread::scope(|scope| {
        // Read as it comes, so that the other process never waits for room in the pipe.
        let hearing = scope.spawn(move || (0..count).map(|_| follower.next()).collect::<Outcome<Vec<_>>>());
        let committed = commits(store, sample, count, SystemTime::now)?;
        let heard = hearing.join().unwrap_or_else(|_| Err("the thread that listened panicked".into()))?;
        in_step(&committed, &heard)?;
        let late = committed.iter().zip(heard).map(|(commit, (_, at))| at.duration_since(commit.returned));
        Ok(late.map(|late| late.unwrap_or_default().as_nanos() as f64).collect())
    })
}

/// Fails unless each commit was heard of once, in order.
fn in_step<T, U>(committed: &[Commit<T>], heard: &[(Revision, U)]) -> Outcome {
    let committed = committed.iter().map(|commit| commit.revision);
    super::check(committed.eq(heard.iter().map(|(revision, _)| *revision)))
}

/// A row of how late most are, with how late half and all of them are.
pub fn tail(id: &str, late_ns: Vec<f64>) -> Row {
    let late = Figure::new("late", late_ns);
    let at = |name: &str, part: f64| Figure::new(name, vec![late.at(part)]);
    Row::of(id, Unit::Microseconds, &[at("larder", 0.99), at("half of them", 0.5), at("all of them", 1.0)])
}

/// What part of a core, in percent, a process with a watcher takes while nothing happens.
fn rest(follower: &Follower, time: Duration) -> Option<f64> {
    // What it had to do to begin with is done by then.
    thread::sleep(Duration::from_millis(500));
    let before = follower.busy()?;
    thread::sleep(time);
    let busy = follower.busy()?.saturating_sub(before);
    Some(100.0 * busy.as_secs_f64() / time.as_secs_f64())
}
