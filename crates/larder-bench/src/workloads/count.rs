//! Counting a group, small and large.

use std::collections::BTreeMap;

use larder::Store;

use super::{GROUP, check, fill};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::report::Row;

const LARGE: u64 = 1_000_000;

pub fn count(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path().join("larder.db"))?;
    fill(&store, "small", 10)?;
    fill(&store, GROUP, LARGE)?;
    let counting = |group: &'static str, keys: u64| {
        let store = &store;
        move |pieces| (0..pieces).try_for_each(|_| check(store.count(group)? == keys))
    };
    let timings = in_turn(
        effort,
        vec![
            Contender::new("larder", counting(GROUP, LARGE)),
            Contender::new("larder, 10 keys", counting("small", 10)),
        ],
    )?;
    let flat = |larder: f64, peers: &BTreeMap<String, f64>| {
        Some(larder <= 10.0 && larder <= 1.2 * peers.get("larder, 10 keys")?)
    };
    Ok(vec![Row::of("count", &timings, "at most 10 µs, the same at 10 and 1,000,000 keys", flat)])
}
