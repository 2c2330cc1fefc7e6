//! Getting an entry without the cache.

use larder::Store;

use super::KEYS;
use super::loops::{getting, read_all};
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::{Connected, Larder, RawSqlite, Table};
use crate::row::{Row, Unit};
use crate::sample::Sample;
use crate::scratch;

pub fn get_miss(effort: Effort) -> Outcome<Vec<Row>> {
    let row = of(effort, "get-miss", &Sample::of(KEYS))?;
    let met = row.larder <= 0.4 * row.peer("raw SQLite")?;
    Ok(vec![row.with_target("within 0.4 × of raw SELECT", met)])
}

/// A row of gets without the cache, beside SQLite by hand.
pub fn of(effort: Effort, id: &str, sample: &Sample) -> Outcome<Row> {
    let folder = scratch::folder()?;
    let uncached = Store::options().cache_bytes(0);
    let larder = Larder::filled_with(&folder.path().join("larder.db"), sample, &uncached)?;
    let connected = Connected::filled(&folder.path().join("raw.db"), Table::WithoutRowid, sample)?;
    let raw = RawSqlite::over(&connected)?;
    read_all(&larder, sample)?;
    read_all(&raw, sample)?;
    let contenders = vec![getting("larder", &larder, sample), getting("raw SQLite", &raw, sample)];
    Ok(Row::of(id, Unit::Nanoseconds, &in_turn(effort, contenders)?))
}
