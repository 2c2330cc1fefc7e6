//! Writing one entry.

use std::collections::BTreeMap;
use std::thread;

use larder::Store;

use super::{GROUP, KEYS, Numbers, fill, key, value};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::RawSqlite;
use crate::report::Row;

const THREADS: u64 = 64;

pub fn one_thread(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path().join("larder.db"))?;
    let raw = RawSqlite::open(Some(&folder.path().join("raw.db")))?;
    beside_raw(effort, &store, raw, "set-1", 1.15)
}

pub fn in_memory(effort: Effort) -> Outcome<Vec<Row>> {
    beside_raw(effort, &Store::in_memory()?, RawSqlite::open(None)?, "set-memory", 1.6)
}

fn beside_raw(effort: Effort, store: &Store, mut raw: RawSqlite, id: &str, most: f64) -> Outcome<Vec<Row>> {
    fill(store, GROUP, KEYS)?;
    raw.fill(GROUP, (0..KEYS).map(|number| (key(number), value(number))))?;
    let (mut ours, mut theirs) = (Numbers(1), Numbers(1));
    let timings = in_turn(
        effort,
        vec![
            Contender::new("larder", |pieces| {
                (0..pieces).try_for_each(|_| {
                    let number = ours.below(KEYS);
                    Ok(store.set(GROUP, key(number), value(number)).map(drop)?)
                })
            }),
            Contender::new("raw SQLite", |pieces| {
                (0..pieces).try_for_each(|_| {
                    let number = theirs.below(KEYS);
                    raw.set(GROUP, &key(number), &value(number))
                })
            }),
        ],
    )?;
    let within = |larder: f64, peers: &BTreeMap<String, f64>| Some(larder <= most * peers.get("raw SQLite")?);
    Ok(vec![Row::of(id, &timings, &format!("within {most} x of raw SQLite doing the same two rows"), within)])
}

/// A tenant's set beside a plain one, both of keys that are there, without a quota.
pub fn scoped(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path().join("larder.db"))?;
    let tenant = store.scoped("tenant-42")?;
    fill(&store, GROUP, KEYS)?;
    fill(&store, &format!("tenant-42:{GROUP}"), KEYS)?;
    let (mut scoped, mut plain) = (Numbers(1), Numbers(1));
    let timings = in_turn(
        effort,
        vec![
            Contender::new("larder", |pieces| {
                (0..pieces).try_for_each(|_| {
                    let number = scoped.below(KEYS);
                    Ok(tenant.set(GROUP, key(number), value(number)).map(drop)?)
                })
            }),
            Contender::new("larder, plain set", |pieces| {
                (0..pieces).try_for_each(|_| {
                    let number = plain.below(KEYS);
                    Ok(store.set(GROUP, key(number), value(number)).map(drop)?)
                })
            }),
        ],
    )?;
    Ok(vec![Row::of("set-scoped", &timings, "no figure named", |_, _| None)])
}

pub fn many_threads(effort: Effort) -> Outcome<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path().join("larder.db"))?;
    let alone = Store::open(folder.path().join("alone.db"))?;
    fill(&store, GROUP, KEYS)?;
    fill(&alone, GROUP, KEYS)?;
    let mut numbers = Numbers(1);
    let timings = in_turn(
        effort,
        vec![
            Contender::new("larder", |pieces| from_threads(&store, pieces)),
            Contender::new("larder, one thread", |pieces| {
                (0..pieces).try_for_each(|_| {
                    let number = numbers.below(KEYS);
                    Ok(alone.set(GROUP, key(number), value(number)).map(drop)?)
                })
            }),
        ],
    )?;
    Ok(vec![Row::of("set-64", &timings, "6 x set-1 (time a set, of 64 threads)", |larder, peers| {
        Some(larder * 6.0 <= *peers.get("larder, one thread")?)
    })])
}

/// `pieces` sets, shared out among the threads.
fn from_threads(store: &Store, pieces: u64) -> Outcome {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let mut numbers = Numbers(thread);
                    (thread..pieces).step_by(THREADS as usize).try_for_each(|_| {
                        let number = numbers.below(KEYS);
                        store.set(GROUP, key(number), value(number)).map(drop)
                    })
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => Ok(result?),
            Err(_) => Err("a thread that sets panicked".into()),
        })
    })
}
