//! Reading cached values where they are, from one thread and from two: random keys, and one key that all want.

use super::KEYS;
use super::loops::{getting_from, read_all};
use crate::Outcome;
use crate::measure::{Effort, in_turn};
use crate::peers::{Larder, LarderInPlace};
use crate::row::{Row, Unit};
use crate::sample::Sample;
use crate::scratch;

pub const ROWS: &[&str] = &["get-with-threads", "get-with-threads-hot"];

pub fn get_with(effort: Effort) -> Outcome<Vec<Row>> {
    let uniform = of(effort, "get-with-threads", &Sample::of(KEYS))?;
    let hot = of(effort, "get-with-threads-hot", &Sample::of(1))?;
    Ok(vec![uniform, hot])
}

fn of(effort: Effort, id: &str, sample: &Sample) -> Outcome<Row> {
    let folder = scratch::folder()?;
    let counted = Larder::filled(&folder.path().join("larder.db"), sample)?;
    read_all(&counted, sample)?;
    let in_place = LarderInPlace(&counted);
    let contenders = vec![
        getting_from(2, "larder", &in_place, sample),
        getting_from(1, "get_with, one thread", &in_place, sample),
        getting_from(2, "get, two threads", &counted, sample),
        getting_from(1, "get, one thread", &counted, sample),
    ];
    let row = Row::of(id, Unit::MillionPerSecond, &in_turn(effort, contenders)?);
    let met = row.larder >= 1.8 * row.peer("get_with, one thread")?
        && row.peer("get_with, one thread")? >= 1.3 * row.peer("get, one thread")?;
    Ok(row.with_target("1.8 × one thread, which has 1.3 × the gets", met))
}
