//! Streaming a large group entry by entry, not from the cache.

use larder::Store;

use super::check;
use crate::Outcome;
use crate::allocations;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::{Connected, Larder, RawSqlite};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};
use crate::scratch;
use crate::table::thousands;

pub const ROWS: &[&str] = &["stream-time"];

pub fn stream(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(effort.size(1_000_000, 50_000));
    let folder = scratch::folder()?;
    let path = folder.path().join("larder.db");
    let uncached = Store::options().cache_bytes(0);
    let larder = Larder::filled_with(&path, &sample, &uncached)?;
    // SQLite by hand reads larder's file, because the tables are the same.
    let connected = Connected::open(&path)?;
    let raw = RawSqlite::over(&connected)?;

    let (walked, allocated) = allocations::during(|| walk(&larder.store, &sample));
    walked?;
    let kib = allocated.peak_bytes as f64 / 1024.0;
    let target = format!("at most 1,024 KiB, over {} keys", thousands(sample.len() as f64));
    let memory = Row::single("stream", "KiB of heap", kib).with_target(target, kib <= 1024.0);

    let entries = sample.len() as f64;
    let contenders = vec![
        Contender::new("larder", |pieces| (0..pieces).try_for_each(|_| walk(&larder.store, &sample))),
        Contender::new("raw SQLite, stepping", |pieces| {
            for _ in 0..pieces {
                let mut keys = sample.keys();
                let mut right = true;
                let count = raw.step(|name, value| {
                    let is_right = |key| sample.is_right(key, value) && name == key.alone().as_bytes();
                    right &= keys.next().is_some_and(is_right);
                })?;
                check(right && count == sample.len())?;
            }
            Ok(())
        }),
    ];
    let figures = in_turn(effort, contenders)?;
    let per_entry: Vec<_> = figures.into_iter().map(|figure| figure.divided_by(entries)).collect();
    Ok(vec![memory, Row::of("stream-time", Unit::Nanoseconds, &per_entry)])
}

fn walk(store: &Store, sample: &Sample) -> Outcome {
    let mut keys = sample.keys();
    for entry in store.entries(GROUP)? {
        let entry = entry?;
        let is_right = |key| sample.is_right(key, entry.value.as_bytes()) && entry.key == key.alone();
        check(keys.next().is_some_and(is_right))?;
    }
    check(keys.next().is_none())
}
