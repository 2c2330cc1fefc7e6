//! Getting cached entries from one thread.

use super::KEYS;
use super::loops::{getting, read_all};
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::{BareMap, Connected, Fjall, Larder, Lmdb, Mdbx, RawSqlite, Redb, Table};
use crate::row::{Row, Unit};
use crate::sample::Sample;
use crate::scratch;

pub fn get_hit(effort: Effort) -> Outcome<Vec<Row>> {
    let row = of(effort, "get-hit", &Sample::of(KEYS))?;
    let met = row.larder * 3.5 <= row.peer("LMDB")? && row.larder <= 1.6 * row.peer("a bare map")?;
    Ok(vec![row.with_target("3.5 × as fast as LMDB, and within 1.6 × of a bare map", met)])
}

/// A row of gets beside every peer.
pub fn of(effort: Effort, id: &str, sample: &Sample) -> Outcome<Row> {
    let folder = scratch::folder()?;
    let larder = Larder::filled(&folder.path().join("larder.db"), sample)?;
    let lmdb = Lmdb::filled(&folder.path().join("lmdb"), sample)?;
    let mdbx = Mdbx::filled(&folder.path().join("mdbx"), sample)?;
    let redb = Redb::filled(&folder.path().join("redb"), sample)?;
    let fjall = Fjall::filled(&folder.path().join("fjall"), sample)?;
    let connected = Connected::filled(&folder.path().join("raw.db"), Table::WithoutRowid, sample)?;
    let raw = RawSqlite::over(&connected)?;
    let map = BareMap::filled(sample)?;
    read_all(&larder, sample)?;
    read_all(&lmdb, sample)?;
    mdbx.iter().try_for_each(|mdbx| read_all(mdbx, sample))?;
    read_all(&redb, sample)?;
    read_all(&fjall, sample)?;
    read_all(&raw, sample)?;
    let mut contenders = vec![
        getting("larder", &larder, sample),
        getting("LMDB", &lmdb, sample),
        getting("redb", &redb, sample),
        getting("fjall", &fjall, sample),
        getting("raw SQLite", &raw, sample),
        getting("a bare map", &map, sample),
    ];
    contenders.extend(mdbx.iter().map(|mdbx| getting("libmdbx", mdbx, sample)));
    Ok(Row::of(id, Unit::Nanoseconds, &in_turn(effort, contenders)?))
}
