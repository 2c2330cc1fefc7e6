//! Setting an entry in a store in memory.

use super::KEYS;
use super::loops::{read_all, setting};
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::{Connected, Larder, RawSqlite, Table};
use crate::row::{Row, Unit};
use crate::sample::Sample;

pub fn set_memory(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let larder = Larder::in_memory(&sample)?;
    let connected = Connected::filled_in_memory(Table::WithoutRowid, &sample)?;
    let raw = RawSqlite::over(&connected)?;
    let contenders = vec![setting("larder", &larder, &sample), setting("raw SQLite", &raw, &sample)];
    let row = Row::of("set-memory", Unit::Microseconds, &in_turn(effort, contenders)?);
    read_all(&larder, &sample)?;
    read_all(&raw, &sample)?;
    let met = row.larder <= 1.6 * row.peer("raw SQLite")?;
    Ok(vec![row.with_target("within 1.6 × of raw SQLite doing the same two rows", met)])
}
