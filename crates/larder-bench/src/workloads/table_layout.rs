//! Entries ordered by key (`WITHOUT ROWID`, like larder's) beside entries ordered by SQLite's rowid with an
//! index of the keys.

use std::hint::black_box;

use larder::Store;

use super::loops::{getting, read_all, setting};
use super::{KEYS, check};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::{Connected, Larder, RawSqlite, Table};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Sample};
use crate::scratch;

pub const ROWS: &[&str] = &[
    "table-get-100",
    "table-scan-100",
    "table-set-durable-100",
    "table-set-memory-100",
    "table-get-4096",
    "table-scan-4096",
    "table-set-durable-4096",
    "table-set-memory-4096",
];

pub fn table_layout(effort: Effort) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for value_bytes in [100, 4096] {
        let sample = Sample::with_values(KEYS, value_bytes);
        rows.extend(in_files(effort, &sample)?);
        rows.push(in_memory(effort, &sample)?);
    }
    Ok(rows)
}

/// The three stores that are timed, with the same sample.
struct Three {
    larder: Larder,
    by_key: Connected,
    by_number: Connected,
}

fn in_files(effort: Effort, sample: &Sample) -> Outcome<Vec<Row>> {
    let folder = scratch::folder()?;
    let file = |name: &str| folder.path().join(name);
    let uncached = Store::options().cache_bytes(0);
    let three = Three {
        larder: Larder::filled_with(&file("larder.db"), sample, &uncached)?,
        by_key: Connected::filled(&file("by_key.db"), Table::WithoutRowid, sample)?,
        by_number: Connected::filled(&file("by_number.db"), Table::Rowid, sample)?,
    };
    let (by_key, by_number) = (RawSqlite::over(&three.by_key)?, RawSqlite::over(&three.by_number)?);
    for raw in [&by_key, &by_number] {
        read_all(raw, sample)?;
    }
    let get = vec![
        getting("larder", &three.larder, sample),
        getting("WITHOUT ROWID", &by_key, sample),
        getting("with a rowid", &by_number, sample),
    ];
    let get = Row::of(id("get", sample), Unit::Nanoseconds, &in_turn(effort, get)?);
    let scan = vec![
        Contender::new("larder", |pieces| {
            (0..pieces)
                .try_for_each(|_| check(black_box(three.larder.store.get_all(GROUP)?).len() as u64 == KEYS))
        }),
        scanning("WITHOUT ROWID", &by_key),
        scanning("with a rowid", &by_number),
    ];
    let scan = Row::of(id("scan", sample), Unit::Milliseconds, &in_turn(effort, scan)?);
    let set = set(effort, "set-durable", sample, &three.larder, [&by_key, &by_number])?;
    Ok(vec![get, scan, set])
}

fn in_memory(effort: Effort, sample: &Sample) -> Outcome<Row> {
    let larder = Larder::in_memory(sample)?;
    let (by_key, by_number) = (
        Connected::filled_in_memory(Table::WithoutRowid, sample)?,
        Connected::filled_in_memory(Table::Rowid, sample)?,
    );
    let (by_key, by_number) = (RawSqlite::over(&by_key)?, RawSqlite::over(&by_number)?);
    set(effort, "set-memory", sample, &larder, [&by_key, &by_number])
}

fn set(
    effort: Effort,
    work: &str,
    sample: &Sample,
    larder: &Larder,
    raw: [&RawSqlite<'_>; 2],
) -> Outcome<Row> {
    let contenders = vec![
        setting("larder", larder, sample),
        setting("WITHOUT ROWID", raw[0], sample),
        setting("with a rowid", raw[1], sample),
    ];
    Ok(Row::of(id(work, sample), Unit::Microseconds, &in_turn(effort, contenders)?))
}

fn scanning<'a>(name: &str, raw: &'a RawSqlite<'_>) -> Contender<'a> {
    Contender::new(name, |pieces| (0..pieces).try_for_each(|_| check(black_box(raw.all()?).0 == KEYS)))
}

fn id(work: &str, sample: &Sample) -> String {
    format!("table-{work}-{}", sample.value_bytes())
}
