//! A store in memory: setting and getting an entry, and taking a snapshot.

use super::loops::{getting, read_all, setting};
use super::{KEYS, check};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::{BareMap, Connected, Dashmap, Larder, Moka, RawSqlite, Table};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};
use crate::scratch;
use crate::table::thousands;

pub const SNAPSHOTS: &[&str] = &["snapshot-memory-10000", "snapshot-memory-1000000"];

/// What a snapshot may take, in nanoseconds.
const SNAPSHOT_MOST: f64 = 1_000.0;

pub fn set(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let larder = Larder::in_memory(&sample)?;
    let connected = Connected::filled_in_memory(Table::WithoutRowid, &sample)?;
    let raw = RawSqlite::over(&connected)?;
    let (moka, map) = (Moka::filled(&sample)?, Dashmap::filled(&sample)?);
    let contenders = vec![
        setting("larder", &larder, &sample),
        setting("raw SQLite", &raw, &sample),
        setting("moka", &moka, &sample),
        setting("dashmap", &map, &sample),
    ];
    let row = Row::of("set-memory", Unit::Microseconds, &in_turn(effort, contenders)?);
    read_all(&larder, &sample)?;
    read_all(&raw, &sample)?;
    read_all(&moka, &sample)?;
    read_all(&map, &sample)?;
    let met = row.larder <= 0.5 * row.peer("raw SQLite")?;
    Ok(vec![row.with_target("0.5 × of raw SQLite doing the same two rows", met)])
}

pub fn get(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let (larder, file) =
        (Larder::in_memory(&sample)?, Larder::filled(&folder.path().join("larder.db"), &sample)?);
    let (moka, map, bare) = (Moka::filled(&sample)?, Dashmap::filled(&sample)?, BareMap::filled(&sample)?);
    read_all(&larder, &sample)?;
    read_all(&file, &sample)?;
    read_all(&moka, &sample)?;
    read_all(&map, &sample)?;
    let contenders = vec![
        getting("larder", &larder, &sample),
        getting("larder, cached from a file", &file, &sample),
        getting("moka", &moka, &sample),
        getting("dashmap", &map, &sample),
        getting("a bare map", &bare, &sample),
    ];
    Ok(vec![Row::of("get-memory", Unit::Nanoseconds, &in_turn(effort, contenders)?)])
}

/// Snapshots, and what the first set after one costs: it copies what it shares with the snapshot.
pub fn snapshots(effort: Effort) -> Outcome<Vec<Row>> {
    let sizes = [10_000, effort.size(1_000_000, 50_000)];
    let rows = SNAPSHOTS
        .iter()
        .zip(sizes)
        .map(|(id, keys)| snapshot(effort, id, keys))
        .collect::<Outcome<Vec<_>>>()?;
    let largest = rows.last().ok_or("no snapshot was timed")?;
    let all = rows.iter().all(|row| row.met == Some(true));
    let target = format!("1 µs at 10,000 and at {} keys", thousands(sizes[1] as f64));
    let summary = Row { id: "snapshot-memory".into(), ..largest.clone() }.with_target(target, all);
    Ok([vec![summary], rows].concat())
}

fn snapshot(effort: Effort, id: &str, keys: u64) -> Outcome<Row> {
    let sample = Sample::of(keys);
    let larder = Larder::in_memory(&sample)?;
    let store = &larder.store;
    let mut values = sample.values();
    let mut set = move |number: u64| -> Outcome {
        let key = sample.key(number % sample.len());
        store.set(GROUP, key.alone(), values.of(key))?;
        Ok(())
    };
    let contenders = vec![
        Contender::new("larder", |pieces| {
            (0..pieces).try_for_each(|_| store.snapshot().map(drop))?;
            Ok(())
        }),
        Contender::new("larder, and a set while it is held", move |pieces| {
            (0..pieces).try_for_each(|number| {
                let snapshot = store.snapshot()?;
                set(number * 7919)?;
                check(snapshot.count(GROUP)? == keys)
            })
        }),
    ];
    let row = Row::of(id, Unit::Nanoseconds, &in_turn(effort, contenders)?);
    let met = row.larder <= SNAPSHOT_MOST;
    Ok(row.with_target(format!("1 µs at {} keys", thousands(keys as f64)), met))
}
