//! Durable sets from one thread.

use std::fs::File;
use std::io::Write;

use super::KEYS;
use super::loops::setting;
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::{Connected, Fjall, Larder, Lmdb, Mdbx, RawSqlite, Redb, Table};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Numbers, Sample};
use crate::scratch;
use crate::second_process;

pub fn set(effort: Effort) -> Outcome<Vec<Row>> {
    let row = of(effort, "set-1", &Sample::of(KEYS))?;
    let met = row.larder <= 1.1 * row.peer("raw SQLite")?
        && row.larder < row.peer("LMDB")?
        && row.larder < row.peer("redb")?;
    Ok(vec![
        row.with_target("within 1.1 × of raw SQLite doing the same two rows; ahead of LMDB and redb", met),
    ])
}

/// A row of sets beside every peer. Only SQLite by hand also keeps a change log.
pub fn of(effort: Effort, id: &str, sample: &Sample) -> Outcome<Row> {
    let folder = scratch::folder()?;
    let larder = Larder::filled(&folder.path().join("larder.db"), sample)?;
    let connected = Connected::filled(&folder.path().join("raw.db"), Table::WithoutRowid, sample)?;
    let raw = RawSqlite::over(&connected)?;
    let lmdb = Lmdb::filled(&folder.path().join("lmdb"), sample)?;
    let mdbx = Mdbx::filled(&folder.path().join("mdbx"), sample)?;
    let redb = Redb::filled(&folder.path().join("redb"), sample)?;
    let fjall = Fjall::filled(&folder.path().join("fjall"), sample)?;
    second_process::sync_files(folder.path())?;
    let mut file = File::create(folder.path().join("appended"))?;
    let appended = vec![b'a'; sample.value_bytes()];
    let mut contenders = vec![
        setting("larder", &larder, sample),
        setting("raw SQLite", &raw, sample),
        setting("LMDB", &lmdb, sample),
        setting("redb", &redb, sample),
        setting("fjall", &fjall, sample),
        Contender::new("a bare fdatasync", |pieces| {
            for _ in 0..pieces {
                file.write_all(&appended)?;
                file.sync_data()?;
            }
            Ok(())
        }),
    ];
    contenders.extend(mdbx.iter().map(|mdbx| setting("libmdbx", mdbx, sample)));
    Ok(Row::of(id, Unit::Microseconds, &in_turn(effort, contenders)?))
}

/// A set through a scoped store beside a plain one, both of existing keys, without a quota.
pub fn scoped(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let larder = Larder::filled(&folder.path().join("larder.db"), &sample)?;
    let tenant = larder.store.scoped("tenant-42")?;
    let mut values = sample.values();
    tenant.transaction(|tx| sample.keys().try_for_each(|key| tx.set(GROUP, key.alone(), values.of(key))))?;
    let mut numbers = Numbers::from(1);
    let contenders = vec![
        Contender::new("larder", |pieces| {
            for _ in 0..pieces {
                let key = sample.key(numbers.below(KEYS));
                tenant.set(GROUP, key.alone(), values.of(key))?;
            }
            Ok(())
        }),
        setting("larder, plain set", &larder, &sample),
    ];
    Ok(vec![Row::of("set-scoped", Unit::Microseconds, &in_turn(effort, contenders)?)])
}
