//! How many bytes of its own heap larder takes. Each row is about one thing: a cached entry, an entry of a group that is
//! kept as a whole, an entry of a store in memory, a watcher, an idle store. What SQLite allocates is not counted.

use std::path::Path;

use larder::{Pattern, Store};

use super::{KEYS, check};
use crate::Outcome;
use crate::allocations;
use crate::measure::{Effort, Figure};
use crate::peers::{Dashmap, Larder, Moka};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};
use crate::scratch;

pub const ROWS: &[&str] =
    &["bytes-cached-entry", "bytes-kept-group", "bytes-memory-entry", "bytes-watcher", "bytes-idle-store"];

const WATCHERS: u32 = 1000;

pub fn bytes(_: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let path = folder.path().join("larder.db");
    Larder::filled(&path, &sample)?.store.close()?;
    Ok(vec![
        cached_entry(&path, &sample)?,
        kept_group(&path, &sample)?,
        memory_entry(&sample)?,
        watcher(&path)?,
        idle_store(&path)?,
    ])
}

/// What a piece of work leaves on the heap.
fn left_by<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, f64)> {
    let (done, allocated) = allocations::during(work);
    Ok((done?, allocated.left_bytes as f64))
}

fn cached_entry(path: &Path, sample: &Sample) -> Outcome<Row> {
    let store = Store::open(path)?;
    let entries = sample.len() as f64;
    let ((), left) = left_by(|| {
        sample.keys().try_for_each(|key| {
            let found = store.get(GROUP, key.alone())?;
            check(found.is_some_and(|value| sample.is_right(key, value.as_bytes())))
        })
    })?;
    let (_moka, moka) = left_by(|| Moka::filled(sample))?;
    let (_map, map) = left_by(|| Dashmap::filled(sample))?;
    let figures = [("larder", left), ("moka", moka), ("dashmap", map)];
    let figures = figures.map(|(name, bytes)| Figure::new(name, vec![bytes / entries]));
    Ok(Row::of("bytes-cached-entry", Unit::Plain("bytes"), &figures))
}

fn kept_group(path: &Path, sample: &Sample) -> Outcome<Row> {
    let store = Store::open(path)?;
    let ((), left) =
        left_by(|| (0..3).try_for_each(|_| check(store.get_all(GROUP)?.len() as u64 == sample.len())))?;
    Ok(Row::single("bytes-kept-group", "bytes an entry", left / sample.len() as f64))
}

fn memory_entry(sample: &Sample) -> Outcome<Row> {
    let (_larder, left) = left_by(|| Larder::in_memory(sample))?;
    Ok(Row::single("bytes-memory-entry", "bytes", left / sample.len() as f64))
}

fn watcher(path: &Path) -> Outcome<Row> {
    let store = Store::open(path)?;
    // The first one starts what all of them use.
    let _first = store.watch(Pattern::key(GROUP, "first"))?;
    let (_watchers, left) = left_by(|| {
        (0..WATCHERS)
            .map(|number| Ok(store.watch(Pattern::key(GROUP, number.to_string()))?))
            .collect::<Outcome<Vec<_>>>()
    })?;
    Ok(Row::single("bytes-watcher", "bytes", left / f64::from(WATCHERS)))
}

fn idle_store(path: &Path) -> Outcome<Row> {
    let (_store, left) = left_by(|| Ok(Store::open(path)?))?;
    Ok(Row::single("bytes-idle-store", "bytes", left))
}
