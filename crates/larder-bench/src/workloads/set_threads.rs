//! Durable sets from many threads.

use super::KEYS;
use super::loops::{read_all, setting, setting_from};
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::{Connected, Fjall, Larder, Lmdb, Mdbx, Redb, SharedSqlite, Table};
use crate::row::{Row, Unit};
use crate::sample::Sample;
use crate::scratch;
use crate::second_process;

pub const THREADS: u64 = 64;

pub fn set_threads(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let larder = Larder::filled(&folder.path().join("larder.db"), &sample)?;
    let alone = Larder::filled(&folder.path().join("alone.db"), &sample)?;
    let raw =
        SharedSqlite::new(Connected::filled(&folder.path().join("raw.db"), Table::WithoutRowid, &sample)?)?;
    let lmdb = Lmdb::filled(&folder.path().join("lmdb"), &sample)?;
    let mdbx = Mdbx::filled(&folder.path().join("mdbx"), &sample)?;
    let redb = Redb::filled(&folder.path().join("redb"), &sample)?;
    let fjall = Fjall::filled(&folder.path().join("fjall"), &sample)?;
    second_process::sync_files(folder.path())?;
    let mut contenders = vec![
        setting_from(THREADS, "larder", &larder, &sample),
        setting("larder, one thread", &alone, &sample),
        setting_from(THREADS, "raw SQLite", &raw, &sample),
        setting_from(THREADS, "LMDB", &lmdb, &sample),
        setting_from(THREADS, "redb", &redb, &sample),
        setting_from(THREADS, "fjall", &fjall, &sample),
    ];
    contenders.extend(mdbx.iter().map(|mdbx| setting_from(THREADS, "libmdbx", mdbx, &sample)));
    let row = Row::of("set-64", Unit::PerSecond, &in_turn(effort, contenders)?);
    read_all(&larder, &sample)?;
    let alone = row.peer("larder, one thread")?;
    let ahead = row.larder >= 10.0 * row.peer("LMDB")?.max(row.peer("redb")?);
    let met = row.larder >= 8.0 * alone && ahead;
    Ok(vec![row.with_target("8 × as many as from one thread, and 10 × as many as LMDB and redb", met)])
}
