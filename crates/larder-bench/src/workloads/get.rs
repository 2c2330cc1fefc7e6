//! Reading one entry, and all of a group.

use std::hint::black_box;

use larder::Store;

use super::{GROUP, KEYS, Numbers, check, fill, key, value};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::RawSqlite;
use crate::report::Row;

pub fn miss(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let (store, raw) = both(folder.path())?;
    let (mut ours, mut theirs) = (Numbers(1), Numbers(1));
    let timings = in_turn(
        effort,
        vec![
            Contender::new("larder", |pieces| {
                (0..pieces).try_for_each(|_| {
                    let number = ours.below(KEYS);
                    check(store.get(GROUP, key(number))?.is_some_and(|found| found == value(number)))
                })
            }),
            Contender::new("raw SQLite", |pieces| {
                (0..pieces).try_for_each(|_| {
                    let number = theirs.below(KEYS);
                    check(raw.get(GROUP, &key(number))? == value(number).as_bytes())
                })
            }),
        ],
    )?;
    Ok(vec![Row::of("get-miss", &timings, "within 1.1 x of raw SELECT", |larder, peers| {
        Some(larder <= 1.1 * peers.get("raw SQLite")?)
    })])
}

pub fn all(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let (store, raw) = both(folder.path())?;
    let timings = in_turn(
        effort,
        vec![
            Contender::new("larder", |pieces| {
                (0..pieces).try_for_each(|_| check(black_box(store.get_all(GROUP)?).len() as u64 == KEYS))
            }),
            Contender::new("raw SQLite into an arena", |pieces| {
                (0..pieces).try_for_each(|_| check(black_box(raw.get_all(GROUP)?).0 as u64 == KEYS))
            }),
        ],
    )?;
    Ok(vec![Row::of("get-all", &timings, "1.5 x LMDB's prefix scan into Strings", |_, _| None)])
}

fn both(folder: &std::path::Path) -> Outcome<(Store, RawSqlite)> {
    let store = Store::open(folder.join("larder.db"))?;
    fill(&store, GROUP, KEYS)?;
    let mut raw = RawSqlite::open(Some(&folder.join("raw.db")))?;
    raw.fill(GROUP, (0..KEYS).map(|number| (key(number), value(number))))?;
    Ok((store, raw))
}
