//! The time from a commit to a waiting watcher, in this process and in another, and the cost of waiting.

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

/// How long to wait for an event before the run fails.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The longest pause between two commits: long enough for the watcher to sleep again.
const PAUSE_US_MAX: u64 = 5_000;

const HERE_NS_MOST: f64 = 100_000.0;
const THERE_NS_MOST: f64 = 5_000_000.0;
const REST_PERCENT_MOST: f64 = 0.1;

pub fn feed_latency(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = scratch::folder()?;
    let path = folder.path().join("larder.db");
    let location = path.to_str().ok_or("the folder for temporary files has a name that is not UTF-8")?;
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
    // Only Linux reports it.
    if let Some(percent) = rest(&Follower::start(location)?, Duration::from_secs(seconds)) {
        let target = format!("under 0.1 % of a core, over {seconds} s");
        let rest = Row::single("feed-rest", "% of a core", percent);
        rows.push(rest.with_target(target, percent < REST_PERCENT_MOST));
    }
    Ok(rows)
}

/// A commit, and when the call began and returned.
pub struct Commit<T> {
    revision: Revision,
    pub called: T,
    pub returned: T,
}

/// Sets keys, with random pauses.
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

/// The nanoseconds from each commit, measured from `start`, until a thread of this process has its event. An
/// event that arrives before `start` counts as 0.
pub fn here(
    store: &Store,
    sample: &Sample,
    count: u64,
    start: fn(&Commit<Instant>) -> Instant,
) -> Outcome<Vec<f64>> {
    let watcher = store.watch(Pattern::all())?;
    // Makes the watcher live.
    watcher.try_recv()?;
    thread::scope(|scope| {
        let receiving = scope.spawn(|| {
            let mut received = Vec::new();
            for _ in 0..count {
                let event = watcher.recv_timeout(WAIT_MAX)?.ok_or("a change was not received")?;
                received.push((event.revision, Instant::now()));
            }
            Outcome::Ok(received)
        });
        let committed = commits(store, sample, count, Instant::now)?;
        let received = receiving.join().unwrap_or_else(|_| Err("the thread that watched panicked".into()))?;
        check_order(&committed, &received)?;
        let late = committed
            .iter()
            .zip(received)
            .map(|(commit, (_, at))| at.saturating_duration_since(start(commit)));
        Ok(late.map(|late| late.as_nanos() as f64).collect())
    })
}

/// The nanoseconds from the return of each set until another process has its event, by the system's clock.
pub fn there(store: &Store, location: &str, sample: &Sample, count: u64) -> Outcome<Vec<f64>> {
    let mut follower = Follower::start(location)?;
    thread::scope(|scope| {
        // Reads continuously, so that the other process never waits for a full pipe.
        let receiving = scope.spawn(move || (0..count).map(|_| follower.next()).collect::<Outcome<Vec<_>>>());
        let committed = commits(store, sample, count, SystemTime::now)?;
        let received = receiving.join().unwrap_or_else(|_| Err("the thread that watched panicked".into()))?;
        check_order(&committed, &received)?;
        let late = committed.iter().zip(received).map(|(commit, (_, at))| at.duration_since(commit.returned));
        Ok(late.map(|late| late.unwrap_or_default().as_nanos() as f64).collect())
    })
}

/// Fails unless each commit was received once, in order.
fn check_order<T, U>(committed: &[Commit<T>], received: &[(Revision, U)]) -> Outcome {
    let committed = committed.iter().map(|commit| commit.revision);
    super::check(committed.eq(received.iter().map(|(revision, _)| *revision)))
}

/// A row with the 99th percentile of the delay, and with its median and maximum.
pub fn tail(id: &str, late_ns: Vec<f64>) -> Row {
    let late = Figure::new("late", late_ns);
    let at = |name: &str, part: f64| Figure::new(name, vec![late.at(part)]);
    Row::of(id, Unit::Microseconds, &[at("larder", 0.99), at("half of them", 0.5), at("all of them", 1.0)])
}

/// The percentage of a core that an idle process with a watcher takes.
fn rest(follower: &Follower, time: Duration) -> Option<f64> {
    // Lets the process finish its startup.
    thread::sleep(Duration::from_millis(500));
    let before = follower.busy()?;
    thread::sleep(time);
    let busy = follower.busy()?.saturating_sub(before);
    Some(100.0 * busy.as_secs_f64() / time.as_secs_f64())
}
