//! The cost of the change log for a write: SQLite by hand with the log's row and without.

use super::KEYS;
use super::loops::setting;
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::{Connected, Larder, RawSqlite, Table};
use crate::row::{Row, Unit};
use crate::sample::Sample;
use crate::scratch;

pub const ROWS: &[&str] = &["change-log-memory", "change-log-durable"];

pub fn change_log(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let file = |name: &str| folder.path().join(name);
    let larder = Larder::in_memory(&sample)?;
    let in_memory = || Connected::filled_in_memory(Table::WithoutRowid, &sample);
    let memory = row(effort, "change-log-memory", &sample, &larder, [&in_memory()?, &in_memory()?])?;
    let larder = Larder::filled(&file("larder.db"), &sample)?;
    let in_file = |name| Connected::filled(&file(name), Table::WithoutRowid, &sample);
    let files = [&in_file("with.db")?, &in_file("without.db")?];
    Ok(vec![memory, row(effort, "change-log-durable", &sample, &larder, files)?])
}

fn row(effort: Effort, id: &str, sample: &Sample, larder: &Larder, raw: [&Connected; 2]) -> Outcome<Row> {
    let (with, without) = (RawSqlite::over(raw[0])?, RawSqlite::without_log(raw[1])?);
    let contenders = vec![
        setting("larder", larder, sample),
        setting("raw SQLite, with the log's row", &with, sample),
        setting("raw SQLite, without", &without, sample),
    ];
    Ok(Row::of(id, Unit::Microseconds, &in_turn(effort, contenders)?))
}
