//! Reading and counting groups again, of which nothing has changed.

use std::hint::black_box;

use super::{KEYS, check};
use crate::Outcome;
use crate::measure::{Contender, Effort, in_turn};
use crate::peers::{Larder, Lmdb, Mdbx};
use crate::row::{Row, Unit};
use crate::sample::{GROUP, Key, Sample, key_text};
use crate::scratch;

pub const ROWS: &[&str] = &["page-hit", "count-hit", "count-all-hit"];

/// The number of entries of a page, and of a larger one.
const PAGE: usize = 10;
const LARGER: usize = 100;

/// The number of keys of a small group.
const SMALL: u64 = 10;

pub fn whole_groups(effort: Effort) -> Outcome<Vec<Row>> {
    let sample = Sample::of(KEYS);
    let folder = scratch::folder()?;
    let larder = Larder::filled(&folder.path().join("larder.db"), &sample)?;
    let lmdb = Lmdb::filled(&folder.path().join("lmdb"), &sample)?;
    let mdbx = Mdbx::filled(&folder.path().join("mdbx"), &sample)?;
    let prefix = sample.key(0).with_group().split_inclusive('/').next().unwrap_or_default();
    for _ in 0..2 {
        let found = larder.store.get_all(GROUP)?;
        let is_right = |(key, (name, value)): (Key<'_>, (&str, larder::Value))| {
            key.alone() == name && sample.is_right(key, value.as_bytes())
        };
        check(found.len() as u64 == KEYS && sample.keys().zip(&found).all(is_right))?;
    }

    let mut contenders = vec![
        Contender::new("larder", |pieces| {
            for _ in 0..pieces {
                check(black_box(larder.store.get_all(GROUP)?).len() as u64 == KEYS)?;
            }
            Ok(())
        }),
        Contender::new("LMDB", |pieces| {
            for _ in 0..pieces {
                check(black_box(lmdb.all(prefix)?).len() as u64 == KEYS)?;
            }
            Ok(())
        }),
    ];
    contenders.extend(mdbx.iter().map(|mdbx| {
        Contender::new("libmdbx", |pieces| {
            for _ in 0..pieces {
                check(black_box(mdbx.all(prefix)?).len() as u64 == KEYS)?;
            }
            Ok(())
        })
    }));
    let all = Row::of("get-all-hit", Unit::Nanoseconds, &in_turn(effort, contenders)?);
    let met = all.larder <= 300.0;
    let all = all.with_target("300 ns", met);

    let paging = |limit: usize| {
        let (larder, sample) = (&larder, &sample);
        let mut turn = 0;
        move |pieces| {
            for _ in 0..pieces {
                // Pages far from each other follow each other.
                turn = (turn + 7919) % (KEYS - LARGER as u64 - 1);
                let page = larder.store.page(GROUP, Some(sample.key(turn).alone()), limit)?;
                let first = page.entries.first().filter(|_| page.entries.len() == limit);
                check(
                    first.is_some_and(|first| sample.is_right(sample.key(turn + 1), first.value.as_bytes())),
                )?;
            }
            Ok(())
        }
    };
    let contenders =
        vec![Contender::new("larder", paging(PAGE)), Contender::new("a page of 100", paging(LARGER))];
    let pages = Row::of("page-hit", Unit::Microseconds, &in_turn(effort, contenders)?);
    let met = pages.larder <= 1.0;
    let pages = pages.with_target(format!("1 µs ({PAGE} entries)"), met);
    let [count, count_all] = counts(effort, &larder, &sample)?;
    Ok(vec![all, pages, count, count_all])
}

fn counts(effort: Effort, larder: &Larder, sample: &Sample) -> Outcome<[Row; 2]> {
    // One group that nobody has read, so that it is counted without its entries, and some more groups.
    for number in 0..SMALL {
        larder.store.set("small", key_text(number), "little")?;
        larder.store.set(format!("group {number}"), "key", "little")?;
    }
    for _ in 0..3 {
        check(larder.store.get_all(GROUP)?.len() as u64 == KEYS)?;
    }
    let counting = |group: &'static str, keys: u64| {
        move |pieces| (0..pieces).try_for_each(|_| check(larder.store.count(group)? == keys))
    };
    let contenders = vec![
        Contender::new("larder", counting(GROUP, sample.len())),
        Contender::new("a group that was never read", counting("small", SMALL)),
    ];
    let count = Row::of("count-hit", Unit::Nanoseconds, &in_turn(effort, contenders)?);
    let met = count.larder <= 150.0;
    let count = count.with_target("150 ns", met);

    let keys = sample.len() + 2 * SMALL;
    let all = Contender::new("larder", |pieces| {
        (0..pieces).try_for_each(|_| check(larder.store.count_all("")? == keys))
    });
    let count_all = Row::of("count-all-hit", Unit::Nanoseconds, &in_turn(effort, vec![all])?);
    let met = count_all.larder <= 1000.0;
    Ok([count, count_all.with_target("1,000 ns", met)])
}
