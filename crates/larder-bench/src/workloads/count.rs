//! Counting a small and a large group, not from the cache.

use super::check;
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::{Connected, Larder, RawSqlite};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample, key_text};
use crate::scratch;
use crate::table::thousands;

const SMALL: u64 = 10;

pub fn count(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(effort.size(1_000_000, 50_000));
    let folder = scratch::folder()?;
    let path = folder.path().join("larder.db");
    let uncached = larder::Store::options().cache_bytes(0);
    let larder = Larder::filled_with(&path, &sample, &uncached)?;
    for number in 0..SMALL {
        larder.store.set("small", key_text(number), "little")?;
    }
    let connected = Connected::open(&path)?;
    let raw = RawSqlite::over(&connected)?;
    let counting = |group: &'static str, keys: u64| {
        let store = &larder.store;
        move |pieces| (0..pieces).try_for_each(|_| check(store.count(group)? == keys))
    };
    let contenders = vec![
        Contender::new("larder", counting(GROUP, sample.len())),
        Contender::new("larder, 10 keys", counting("small", SMALL)),
        Contender::new("raw SQLite's count(*)", |pieces| {
            (0..pieces).try_for_each(|_| check(raw.count()? == sample.len()))
        }),
    ];
    let row = Row::of("count", Unit::Microseconds, &in_turn(effort, contenders)?);
    let met = row.larder <= 10.0 && row.larder <= 1.2 * row.peer("larder, 10 keys")?;
    let target = format!("at most 10 µs, the same at 10 and at {} keys", thousands(sample.len() as f64));
    Ok(vec![row.with_target(target, met)])
}
