//! The delay of expiry events: for very many entries that expire within a second, and for single ones.

use std::thread;
use std::time::{Duration, SystemTime};

use larder::{EventKind, Pattern, Store, Watcher};

use super::check;
use crate::Outcome;
use crate::measure::{Effort, Figure};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};
use crate::scratch;
use crate::table::thousands;

pub const ROWS: &[&str] = &["expire-single"];

/// How long to wait for an event before the run fails.
const WAIT_MAX: Duration = Duration::from_secs(30);

const ALL_MS_MOST: f64 = 2_000.0;
const ONE_MS_MOST: f64 = 50.0;

pub fn expire(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = scratch::folder()?;
    let store = Store::open(folder.path().join("larder.db"))?;
    let keys = effort.size(100_000, 5_000);
    // Enough time to set all of them.
    let lead = Duration::from_secs(effort.size(8, 2));
    let all = row("expire", many(&store, keys, lead)?);
    let target = format!("the last of {} that are due in one second within 2 s", thousands(keys as f64));
    let met = all.larder <= ALL_MS_MOST;
    let all = all.with_target(target, met);
    let rounds = effort.size(100, 10);
    let one = row("expire-single", one_by_one(&store, rounds)?);
    let met = one.larder <= ONE_MS_MOST;
    let one = one.with_target(format!("the latest of {rounds}, each alone, within 50 ms"), met);
    Ok(vec![all, one])
}

/// A row with the maximum and the median of the delays.
fn row(id: &str, late_ns: Vec<f64>) -> Row {
    let late = Figure::new("late", late_ns);
    let at = |name: &str, part: f64| Figure::new(name, vec![late.at(part)]);
    Row::of(id, Unit::Milliseconds, &[at("larder", 1.0), at("half of them", 0.5)])
}

/// The delays, in nanoseconds, of many entries that expire within one second, after a lead.
fn many(store: &Store, keys: u64, lead: Duration) -> Outcome<Vec<f64>> {
    let sample = Sample::of(keys);
    let first = SystemTime::now() + lead;
    let due = |number: u64| first + Duration::from_secs(1).mul_f64(number as f64 / keys as f64);
    let mut values = sample.values();
    store.transaction(|tx| {
        (0..keys)
            .map(|number| (number, sample.key(number)))
            .try_for_each(|(number, key)| tx.set_until(GROUP, key.alone(), values.of(key), Some(due(number))))
    })?;
    let watcher = store.watch(Pattern::all())?;
    // Makes the watcher live.
    watcher.try_recv()?;
    if SystemTime::now() > first {
        return Err("this machine is too slow to set all entries before the first is due".into());
    }
    let late = (0..keys).map(|_| lateness(&watcher)).collect::<Outcome<Vec<_>>>()?;
    check(store.count(GROUP)? == 0 && watcher.try_recv()?.is_none())?;
    Ok(late)
}

/// The delays, in nanoseconds, of single entries that expire while nothing else happens.
fn one_by_one(store: &Store, rounds: u64) -> Outcome<Vec<f64>> {
    let mut late = Vec::new();
    for round in 0..rounds {
        let lifetime = Duration::from_millis(20 + round % 50);
        store.set_with_ttl(GROUP, "alone", "v", lifetime)?;
        let watcher = store.watch(Pattern::all())?;
        late.push(lateness(&watcher)?);
        thread::sleep(Duration::from_millis(1));
    }
    Ok(late)
}

/// Waits for the next entry to expire, and returns by how many nanoseconds the event is late.
fn lateness(watcher: &Watcher) -> Outcome<f64> {
    let event = watcher.recv_timeout(WAIT_MAX)?.ok_or("an entry did not expire")?;
    check(event.kind == EventKind::Expire)?;
    let due = event.expires_at.ok_or("an entry without an expiry expired")?;
    // An early event is wrong.
    Ok(SystemTime::now().duration_since(due)?.as_nanos() as f64)
}
