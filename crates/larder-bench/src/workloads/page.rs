//! A page near the end of a large group, beside the first page, neither from the cache.

use super::check;
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::{Connected, Larder, RawSqlite};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};
use crate::scratch;
use crate::table::thousands;

/// The number of entries of a page.
const PAGE: usize = 100;

pub fn page(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(effort.size(1_000_000, 50_000));
    let deep = sample.len() / 100 * 99;
    let folder = scratch::folder()?;
    let path = folder.path().join("larder.db");
    let uncached = larder::Store::options().cache_bytes(0);
    let larder = Larder::filled_with(&path, &sample, &uncached)?;
    let connected = Connected::open(&path)?;
    let raw = RawSqlite::over(&connected)?;
    let paging = |after: Option<u64>| {
        let (larder, sample) = (&larder, &sample);
        move |pieces| {
            for _ in 0..pieces {
                let after = after.map(|number| (number, sample.key(number)));
                let page = larder.store.page(GROUP, after.map(|(_, key)| key.alone()), PAGE)?;
                let first = sample.key(after.map_or(0, |(number, _)| number + 1));
                let found = page.entries.first().filter(|_| page.entries.len() == PAGE);
                check(found.is_some_and(|entry| sample.is_right(first, entry.value.as_bytes())))?;
            }
            Ok(())
        }
    };
    let by_hand = |after: u64| {
        let (raw, sample) = (&raw, &sample);
        move |pieces| {
            for _ in 0..pieces {
                let page = raw.page(sample.key(after).alone(), PAGE)?;
                let found = page.first().filter(|_| page.len() == PAGE);
                check(found.is_some_and(|(_, value)| sample.is_right(sample.key(after + 1), value)))?;
            }
            Ok(())
        }
    };
    let contenders = vec![
        Contender::new("larder", paging(Some(deep))),
        Contender::new("larder, first page", paging(None)),
        Contender::new("raw SQLite", by_hand(deep)),
        Contender::new("raw SQLite, first page", by_hand(0)),
    ];
    let row = Row::of("page-deep", Unit::Microseconds, &in_turn(effort, contenders)?);
    let met = row.larder <= 1.2 * row.peer("larder, first page")?;
    let (deep, all) = (thousands(deep as f64), thousands(sample.len() as f64));
    let target = format!("after key {deep} of {all} within 1.2 × of the first page ({PAGE} entries)");
    Ok(vec![row.with_target(target, met)])
}
