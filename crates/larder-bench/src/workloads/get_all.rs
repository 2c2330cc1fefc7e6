//! Getting a whole group, not from the cache.

use std::hint::black_box;

use super::{KEYS, check};
use crate::Outcome;
use crate::allocations;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::{Connected, Fjall, Larder, Lmdb, Mdbx, RawSqlite, Redb, Strings, Table};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Key, Sample};
use crate::scratch;

pub const ROWS: &[&str] = &["get-all-allocations", "get-all-heap"];

pub fn get_all(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let uncached = larder::Store::options().cache_bytes(0);
    let larder = Larder::filled_with(&folder.path().join("larder.db"), &sample, &uncached)?;
    let lmdb = Lmdb::filled(&folder.path().join("lmdb"), &sample)?;
    let mdbx = Mdbx::filled(&folder.path().join("mdbx"), &sample)?;
    let redb = Redb::filled(&folder.path().join("redb"), &sample)?;
    let fjall = Fjall::filled(&folder.path().join("fjall"), &sample)?;
    let connected = Connected::filled(&folder.path().join("raw.db"), Table::WithoutRowid, &sample)?;
    let raw = RawSqlite::over(&connected)?;
    let prefix = sample.key(0).with_group().split_inclusive('/').next().unwrap_or_default();

    let (found, allocated) = allocations::during(|| larder.store.get_all(GROUP));
    let found = found?;
    check(found.len() as u64 == KEYS)?;
    for (key, (name, value)) in sample.keys().zip(&found) {
        check(key.alone() == name && sample.is_right(key, value.as_bytes()))?;
    }
    drop(found);
    let others = [lmdb.all(prefix), redb.all(prefix), fjall.all(prefix)];
    for strings in others.into_iter().chain(mdbx.iter().map(|mdbx| mdbx.all(prefix))) {
        let strings = strings?;
        check(
            strings.len() as u64 == KEYS && sample.keys().zip(&strings).all(|both| is_right(&sample, both)),
        )?;
    }

    let mut contenders = vec![
        Contender::new("larder", |pieces| {
            for _ in 0..pieces {
                check(black_box(larder.store.get_all(GROUP)?).len() as u64 == KEYS)?;
            }
            Ok(())
        }),
        strings("LMDB", || lmdb.all(prefix)),
        strings("redb", || redb.all(prefix)),
        strings("fjall", || fjall.all(prefix)),
        Contender::new("raw SQLite into an arena", |pieces| {
            for _ in 0..pieces {
                let (count, arena) = black_box(raw.all()?);
                check(count == KEYS && arena.len() as u64 == sample.data_bytes())?;
            }
            Ok(())
        }),
    ];
    contenders.extend(mdbx.iter().map(|mdbx| strings("libmdbx", || mdbx.all(prefix))));
    let row = Row::of("get-all", Unit::Milliseconds, &in_turn(effort, contenders)?);
    let met = row.larder <= row.peer("LMDB")?;
    let heap = allocated.peak_bytes as f64 / sample.data_bytes() as f64;
    Ok(vec![
        row.with_target("level with LMDB's prefix scan into Strings", met),
        Row::single("get-all-allocations", "allocations", allocated.count as f64)
            .with_target("at most 64", allocated.count <= 64),
        Row::single("get-all-heap", "× the data", heap).with_target("at most 1.25 × the data", heap <= 1.25),
    ])
}

fn strings<'a>(name: &str, all: impl Fn() -> Outcome<Strings> + 'a) -> Contender<'a> {
    Contender::new(name, move |pieces| {
        for _ in 0..pieces {
            check(black_box(all()?).len() as u64 == KEYS)?;
        }
        Ok(())
    })
}

fn is_right(sample: &Sample, (key, (name, value)): (Key<'_>, &(String, String))) -> bool {
    key.with_group() == name && sample.is_right(key, value.as_bytes())
}
