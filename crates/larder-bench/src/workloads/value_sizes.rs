//! Sets and gets of small and large values.

use super::{KEYS, get_hit as hit, get_miss as miss, set as durable_set};
use crate::Outcome;
use crate::measure::Effort;
use crate::row::Row;
use crate::sample::Sample;

pub const GET_HIT: &[&str] = &[
    "get-hit-size-10",
    "get-hit-size-100",
    "get-hit-size-1024",
    "get-hit-size-10240",
    "get-hit-size-1048576",
];
pub const GET_MISS: &[&str] = &[
    "get-miss-size-10",
    "get-miss-size-100",
    "get-miss-size-1024",
    "get-miss-size-10240",
    "get-miss-size-1048576",
];
pub const SET: &[&str] =
    &["set-1-size-10", "set-1-size-100", "set-1-size-1024", "set-1-size-10240", "set-1-size-1048576"];
const SIZES: [usize; 5] = [10, 100, 1 << 10, 10 << 10, 1 << 20];

/// The most bytes of values, so that each store fits into every contender's cache.
const DATA_BYTES_MAX: u64 = 16 << 20;

pub fn get_hit(effort: Effort) -> Outcome<Vec<Row>> {
    each(GET_HIT, |id, sample| hit::of(effort, id, sample))
}

pub fn get_miss(effort: Effort) -> Outcome<Vec<Row>> {
    each(GET_MISS, |id, sample| miss::of(effort, id, sample))
}

pub fn set(effort: Effort) -> Outcome<Vec<Row>> {
    each(SET, |id, sample| durable_set::of(effort, id, sample))
}

fn each(ids: &[&str], row: impl Fn(&str, &Sample) -> Outcome<Row>) -> Outcome<Vec<Row>> {
    let sizes = ids.iter().zip(SIZES);
    sizes
        .map(|(id, bytes)| {
            let keys = (DATA_BYTES_MAX / bytes as u64).min(KEYS);
            row(id, &Sample::with_values(keys, bytes))
        })
        .collect()
}
